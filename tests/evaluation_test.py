"""Tasks on labelled data: an encoder that sees brightness beside a blind one."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from data_pipelines import labelled
from lvmmed_jax import encoders, evaluation, measuring


def _mean_of_cells(gain, images):
    batch, height, width, channels = images.shape
    cells = images.reshape(batch, height // 4, 4, width // 4, 4, channels)
    means = jnp.mean(cells, axis=(2, 4))
    # beside a constant, brightness is an angle, which k-NN's cosine sees
    return gain * jnp.concatenate([means, 0.1 + 0 * means[..., :1]], axis=-1)


@pytest.fixture(scope="module")
def encoder():
    """Feature maps are brightness, a cell 4 pixels wide."""

    def pool(scale, images):
        return _mean_of_cells(scale, images).mean(axis=(1, 2))

    return encoders.Encoder(_mean_of_cells, jnp.float32(1), 32, 16, pool, None)


@pytest.fixture(scope="module")
def blind(encoder):
    return encoder._replace(variables=jnp.float32(0))


def _examples():
    """Bright and dark images with a mask of the much brighter square in each."""
    generator = np.random.default_rng(1)
    pictures, masks = [], []
    for number in range(24):
        image = 40 * (number % 2) + generator.integers(0, 30, (30, 40))
        mask = np.zeros((30, 40), np.int32)
        top, left = generator.integers(2, 12, 2)
        mask[top : top + 15, left : left + 20] = 1
        pictures.append((image + 150 * mask).astype(np.uint8))
        masks.append(mask)
    return labelled.Labelled(
        images=pictures,
        labels=np.arange(24) % 2,
        class_names=("dark", "bright"),
        masks=masks,
        mask_names=("other", "square"),
        is_test=np.arange(24) >= 16,
    )


def _evaluate(models, examples, tasks=measuring.TASKS):
    measuring.check(examples, tasks)
    measured = {
        name: measuring.measure(one, examples, tasks) for name, one in models.items()
    }
    return evaluation.compare(measured, examples, seed=0)


@pytest.fixture(scope="module")
def found(encoder, blind):
    models = {"random": blind, "pretrained": encoder}
    return _evaluate(models, _examples())


def test_rows_say_what_was_measured(found):
    assert json.loads(json.dumps(found.results)) == found.results
    told = [
        tuple(row[key] for key in ("task", "target", "metric", "class"))
        for row in found.results
    ]
    assert told == [
        ("knn", "dark/bright", "accuracy", None),
        ("linear_probe", "dark/bright", "accuracy", None),
        ("linear_probe", "segmentation", "dice", "square"),
    ]
    for row in found.results:
        assert row["num_train"] == 16 and row["num_test"] == 8
        for name in ("random", "pretrained", "difference"):
            bounds = row[name]
            assert bounds["low"] <= bounds["value"] <= bounds["high"]


def test_features_that_see_are_told_from_those_that_do_not(found):
    for row in found.results:
        assert row["difference"]["value"] == pytest.approx(
            row["pretrained"]["value"] - row["random"]["value"]
        )
    *accuracies, dice = found.results
    for accuracy in accuracies:
        assert accuracy["pretrained"]["value"] == 1.0
        assert accuracy["random"]["value"] == 0.5  # one class for all
    assert dice["random"]["value"] == 0.0  # background is the larger part
    assert dice["pretrained"]["value"] > 0.9 and dice["difference"]["low"] > 0.9


def test_only_test_images_count(encoder):
    examples = _examples()
    examples.labels[-1] = 1 - examples.labels[-1]
    examples.masks[-1][:] = 1
    rows = _evaluate({"random": encoder}, examples).results
    knn, linear, dice = (row["random"]["value"] for row in rows)
    assert knn == linear == 7 / 8
    square = 15 * 20 / (30 * 40)  # of the last image; found, beside all of it
    expected = (7 + 2 * square / (1 + square)) / 8
    assert dice == pytest.approx(expected, abs=0.05)


def test_difference_is_paired(encoder):
    models = {"random": encoder, "pretrained": encoder}
    (row,) = _evaluate(models, _examples(), ("knn",)).results
    assert row["difference"] == {"value": 0.0, "low": 0.0, "high": 0.0}


def test_pictures_are_padded_test_images_with_their_masks(found):
    examples, pictures = _examples(), found.pictures
    for name in ("images", "truth", "random", "pretrained"):
        assert pictures[name].shape == (6, 40, 40), name
    assert pictures["class_names"].tolist() == ["other", "square"]
    first = np.nonzero(examples.is_test)[0][0]
    np.testing.assert_array_equal(pictures["images"][0, :30], examples.images[first])
    np.testing.assert_array_equal(pictures["truth"][0, :30], examples.masks[first])
    assert not pictures["truth"][:, 30:].any() and not pictures["random"].any()


def test_one_model_has_no_difference(encoder):
    found = _evaluate({"random": encoder}, _examples(), ("knn",))
    assert "difference" not in found.results[0] and found.pictures is None


def test_colour_masks_without_classes_are_segmented_only(encoder):
    examples = _examples()
    examples = examples._replace(
        images=[np.stack([image] * 3, axis=-1) for image in examples.images],
        labels=None,
        class_names=(),
    )
    found = _evaluate({"random": encoder}, examples)
    assert [row["metric"] for row in found.results] == ["dice"]
    assert found.pictures["images"].shape == (6, 40, 40)


@pytest.mark.parametrize(
    ("changes", "tasks", "message"),
    [
        ({"labels": np.zeros(24, int)}, ("knn",), "at least two classes"),
        ({"labels": None}, ("knn",), "use --task linear_probe"),
        ({"is_test": np.zeros(24, bool)}, ("knn",), "no image to test on"),
    ],
)
def test_data_that_allows_no_probe_is_refused(encoder, changes, tasks, message):
    examples = _examples()._replace(**changes)
    with pytest.raises(ValueError, match=message):
        _evaluate({"random": encoder}, examples, tasks)


@pytest.mark.parametrize(
    ("view_size", "longest", "expected"),
    [(64, 50, 160), (64, 300, 256), (224, 1024, 512), (64, 20, 64), (768, 2000, 768)],
)
def test_dense_probes_enlarge_small_images_at_most_threefold(
    view_size, longest, expected
):
    images = [np.zeros((10, longest), np.uint8)] * 3
    assert measuring.dense_size(view_size, 32, images) == expected


def test_several_labels_give_areas_and_absent_ones_are_told(encoder, blind):
    data = _examples()
    sets = np.stack([data.labels == 1, data.labels >= 0], axis=1)  # all have the second
    data = data._replace(
        labels=None, masks=None, label_sets=sets, class_names=("bright", "picture")
    )
    rows = _evaluate({"random": blind, "pretrained": encoder}, data).results
    assert [row["task"] for row in rows] == ["knn", "linear_probe"]
    for row in rows:
        assert (row["metric"], row["target"]) == ("auc", "1 of 2 labels")
        assert row["pretrained"]["value"] > 0.9 > 0.6 > row["random"]["value"]
        gain = row["pretrained"]["value"] - row["random"]["value"]
        assert row["difference"]["value"] == pytest.approx(gain)
