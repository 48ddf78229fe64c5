"""Nearest images against all distances at once, and which images are shown."""

import numpy as np
import pytest

from data_pipelines import unlabelled
from lvmmed_jax.features import layers, neighbours, page, stored

COUNT = 37


def _features(groups, values=None, block=5):
    rng = np.random.default_rng(0)
    values = (
        rng.normal(size=(COUNT, 6)).astype(np.float32) if values is None else values
    )
    rows = [
        unlabelled.Row(f"#{n:04d} x", -1, -1, "MR" if n < 30 else "CT", group, "s")
        for n, group in enumerate(groups)
    ]

    def blocks(name):
        for begin in range(0, len(values), block):
            yield values[begin : begin + block]

    return stored.Features({}, rows, None, {"features": values.shape[1:]}, blocks)


def _all_distances(found):
    values = np.concatenate(list(found.blocks("features")))
    values = values.reshape(len(values), -1, values.shape[-1]).mean(axis=1)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    return 1 - values @ values.T


def test_neighbours_are_the_nearest_of_other_groups():
    groups = [f"g{n // 4}" for n in range(COUNT)]
    found = _features(groups)
    far = _all_distances(found)
    for one in neighbours.find(found, [0, 6, 36], count=5):
        others = [n for n in range(COUNT) if groups[n] != groups[one.query]]
        expected = sorted(others, key=lambda n: far[one.query, n])[:5]
        assert one.rows == expected
        np.testing.assert_allclose(
            one.distances, far[one.query, expected], rtol=1e-4, atol=1e-6
        )


def test_within_one_volume_its_other_slices_are_neighbours():
    found = _features(["g"] * COUNT)
    far = _all_distances(found)
    np.fill_diagonal(far, np.inf)
    (one,) = neighbours.find(found, [11], count=3)
    assert one.rows == np.argsort(far[11])[:3].tolist()


def test_more_neighbours_than_images_gives_them_all():
    found = _features(["g"] * COUNT)
    (one,) = neighbours.find(found, [3], count=99)
    assert sorted([3, *one.rows]) == list(range(COUNT))
    assert one.distances == sorted(one.distances)


def test_maps_count_by_their_means():
    rng = np.random.default_rng(1)
    maps = rng.normal(size=(COUNT, 2, 3, 4)).astype(np.float32)
    found = _features([str(n) for n in range(COUNT)], maps)
    (one,) = neighbours.find(found, [5], count=1)
    far = _all_distances(found)
    np.fill_diagonal(far, np.inf)
    assert one.rows == [int(far[5].argmin())]
    means = maps.mean(axis=(1, 2))[[2, 30]]
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    np.testing.assert_allclose(neighbours.some(found, [2, 30]), means, rtol=1e-5)


def test_the_last_layer_is_that_of_the_highest_number():
    assert layers.deepest(["layer_10", "layer_2"]) == "layer_10"
    assert layers.deepest(["features"]) == "features"


@pytest.mark.parametrize("count", [1, 4, 12, 100])
def test_shown_images_are_of_every_modality_and_many_groups(count):
    found = _features([f"g{n // 3}" for n in range(COUNT)])
    chosen = page.chosen(found.rows, count)
    assert chosen == sorted(set(chosen)) and len(chosen) == min(count, COUNT)
    if count > 1:
        assert {found.rows[row].modality for row in chosen} == {"MR", "CT"}
    if count == 12:
        assert len({found.rows[row].group for row in chosen}) >= 8
