import numpy as np
import pytest

from lvmmed_jax import class_metrics, probes


def _blobs(seed, count=60):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, count)
    return np.eye(3)[labels] * 5 + generator.normal(0, 0.5, (count, 3)), labels


@pytest.mark.parametrize("probe", [probes.knn, probes.linear])
def test_separable_classes_are_found(probe):
    train, labels = _blobs(0)
    test, truth = _blobs(1)
    assert (probe(train, labels, test) == truth).mean() > 0.95
    shuffled = np.random.default_rng(2).permutation(labels)
    assert (probe(train, shuffled, test) == truth).mean() < 0.7


def test_class_shares_of_cells():
    mask = np.array([[0, 0, 1, 1], [0, 1, 1, 1]])
    shares = probes.class_shares(mask, (1, 2), 2)
    np.testing.assert_allclose(shares[0], [[0.75, 0.25], [0.0, 1.0]])


def test_segmentation_reads_class_maps_at_full_resolution():
    mask = np.zeros((32, 48), int)
    mask[:16, 12:36] = 1
    mask[16:, 12:36] = 2
    shares = probes.class_shares(mask, (8, 12), 3)
    maps = np.stack([shares, shares]).astype(np.float32)
    found = probes.linear_segmentation(maps, [mask, mask], maps[:1], [mask.shape], 3)
    assert found[0].shape == mask.shape
    assert (found[0] == mask).mean() > 0.9


def test_bootstrap_has_the_width_of_the_normal_approximation():
    values = np.random.default_rng(0).normal(2.0, 1.0, 400)
    value, low, high = probes.bootstrap(values, seed=0)
    assert value == pytest.approx(values.mean())
    expected = 1.96 * values.std() / np.sqrt(400)
    assert high - value == pytest.approx(expected, rel=0.1)
    assert value - low == pytest.approx(expected, rel=0.1)


def test_groups_are_drawn_whole():
    values = np.random.default_rng(0).normal(2.0, 1.0, 60)
    alone = probes.bootstrap(values, seed=0)
    copies, groups = np.repeat(values, 7), np.repeat(np.arange(60), 7)
    assert probes.bootstrap(copies, seed=0, groups=groups) == pytest.approx(alone)
    narrow = probes.bootstrap(copies, seed=0)
    assert narrow.high - narrow.low < 0.5 * (alone.high - alone.low)
    several = np.stack([values, values + 1])
    expected = probes.bootstrap_seeds(several, seed=0)
    found = probes.bootstrap_seeds(np.repeat(several, 7, 1), seed=0, groups=groups)
    assert found == pytest.approx(expected)
    uneven = np.repeat(np.arange(100), np.arange(100))  # large groups, large values
    found = probes.bootstrap(uneven.astype(float), seed=0, groups=uneven)
    assert found.low < found.value < found.high  # of images, not of groups
    assert found.low > 49.5


def test_knn_takes_fewer_neighbours_where_there_are_fewer():
    train, labels = np.eye(3), np.array([2, 0, 1])
    assert probes.knn(train, labels, 5 * np.eye(3)).tolist() == [2, 0, 1]


def test_knn_does_not_see_the_length_of_features():
    train, labels = _blobs(0)
    test, _ = _blobs(1)
    scaled = test * np.linspace(0.1, 9, len(test))[:, None]
    found = probes.knn(train, labels, test, neighbours=3)
    assert found.tolist() == probes.knn(train, labels, scaled, neighbours=3).tolist()


def test_shares_of_a_cell_sum_to_one_where_cells_cut_pixels():
    mask = np.random.default_rng(0).integers(0, 3, (13, 17))
    shares = probes.class_shares(mask, (3, 4), 3)
    assert shares.shape == (3, 4, 3) and shares.min() >= 0
    np.testing.assert_allclose(shares.sum(axis=-1), np.ones((3, 4)), atol=1e-6)


def test_enlarged_scores_are_as_constant_as_they_were():
    scores = np.zeros((3, 5, 4), np.float32)
    scores[..., 2] = 1
    found = probes.enlarge(scores, (11, 7))
    assert found.shape == (11, 7) and (found == 2).all()


def test_enlarged_scores_meet_halfway():
    scores = np.array([[[1, 0], [0, 1]]], np.float32)  # one row of two cells
    assert probes.enlarge(scores, (2, 8)).tolist() == [[0] * 4 + [1] * 4] * 2
    scores[0, 0] = [3, 0]  # the stronger cell reaches further
    assert probes.enlarge(scores, (1, 8)).tolist() == [[0] * 5 + [1] * 3]


def test_a_class_without_training_pixels_is_not_predicted():
    mask = np.zeros((24, 24), int)
    mask[:, 12:] = 1
    maps = probes.class_shares(mask, (8, 8), 2)[None].astype(np.float32)
    # each cell becomes 3 x 3 pixels, and the middle one has its score alone
    (found,) = probes.linear_segmentation(maps, [mask], maps, [mask.shape], 3)
    assert (found == mask).mean() > 0.9


@pytest.mark.parametrize("probe", [probes.knn_scores, probes.linear_scores])
def test_probes_find_labels_that_features_show(probe):
    rng = np.random.default_rng(0)
    labels = rng.random((300, 3)) < 0.4
    labels[:, 2] = False  # no image has it
    directions, own = rng.normal(size=(3, 8)), rng.normal(size=8)
    features = own + labels @ directions + 0.1 * rng.normal(size=(300, 8))
    scores = probe(features[:200], labels[:200], features[200:])
    assert scores.shape == (100, 3)
    assert (class_metrics.aucs(labels[200:], scores)[:2] > 0.95).all()
    assert np.ptp(scores[:, 2]) == 0
