"""PCA in two dimensions and as colours; maps as drawings."""

import re
import sys
import types

import numpy as np

from lvmmed_jax.features import projection, scatter


def _plane(count=60):
    """Features of rank 2 in six dimensions, the first direction ten times as long."""
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(6, 2)))[0]
    return rng.normal(size=(count, 2)) * [10, 1] @ basis.T


def test_the_first_components_keep_distances_and_variance():
    features = _plane()
    points, shares = projection.pca(features, 2)
    np.testing.assert_allclose(shares.sum(), 1, atol=1e-9)
    assert shares[0] > 0.95
    np.testing.assert_allclose(
        np.linalg.norm(points[0] - points[1]), np.linalg.norm(features[0] - features[1])
    )


def test_equal_or_few_features_are_no_error():
    points, shares = projection.pca(np.ones((3, 1)), 2)
    assert points.shape == (3, 2) and not points.any() and not shares.any()


def test_colours_tell_regions_apart_and_agree_between_images():
    left, right = np.array([5.0, 0, 0, 1]), np.array([0, 5.0, 0, 1])
    maps = np.zeros((4, 6, 4))
    maps[:, :3], maps[:, 3:] = left, right
    noise = np.random.default_rng(0).normal(0, 0.01, (2, 4, 6, 4))
    (one, other), share = projection.colours(
        [maps + noise[0], maps[:, ::-1] + noise[1]]
    )
    assert one.dtype == np.uint8 and one.shape == (4, 6, 3) and share > 0.99
    sides = [one[:, :3, 0].mean(), one[:, 3:, 0].mean()]
    assert abs(sides[0] - sides[1]) > 200
    np.testing.assert_allclose(
        sides[::-1], [other[:, :3, 0].mean(), other[:, 3:, 0].mean()], atol=20
    )


def test_umap_is_used_where_it_is_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    assert projection.umap(_plane()) is None
    asked = {}

    class Model:
        def __init__(self, **settings):
            asked.update(settings)

        def fit_transform(self, features):
            return features[:, :2]

    monkeypatch.setitem(sys.modules, "umap", types.SimpleNamespace(UMAP=Model))
    assert projection.umap(_plane(8)).shape == (8, 2)
    assert asked["n_neighbors"] == 7 and asked["random_state"] == 0


def test_rare_classes_beyond_the_marks_are_one():
    names = [f"class {number}" for number in range(30) for _ in range(number + 1)]
    classes, of = scatter.classify(names)
    assert len(classes) == scatter.MOST_CLASSES and classes[0] == "class 29"
    assert classes[-1] == scatter.OTHERS
    counts = np.bincount(of)
    assert counts.sum() == len(names) and counts[0] == 30
    assert scatter.classify(["b", "a", "b"])[0] == ["b", "a"]


def test_a_map_has_a_mark_an_image_and_keeps_words_from_being_markup():
    names = ["<b>", "c", "c", "c"]
    classes, of = scatter.classify(names)
    marked = scatter.Marked(classes, of, ["data:,"] * 4, ["</script>"] * 4)
    points = np.array([[0, 0], [1, 0], [0, 1], [1, 1.0]])
    drawn = scatter.maps("PCA", points, marked)
    assert drawn.count("data-i=") == 4 and drawn.count("<image ") == 4
    assert "<b>" not in drawn and "&lt;b&gt; (1)" in drawn
    assert scatter.script(marked).count("</script>") == 2
    # the first lies at the lower left
    x, y = re.search(r'data-i="0" data-x="([\d.]+)" data-y="([\d.]+)"', drawn).groups()
    assert float(x) < 100 and float(y) > 500
