import itertools

import numpy as np
import pytest

from data_pipelines.labels import batches
from lvmmed_jax.downstream import windows

RNG = np.random.default_rng(0)
NATIVE = batches.Form(16, 3, False, native=True)


def _brightness(squares):
    """A network that tells every pixel's own brightness: [B, S, S, 2]."""
    value = squares[..., :1].astype(np.float32) / 255
    return np.concatenate([1 - value, value], axis=-1)


@pytest.mark.parametrize("size", [(16, 16), (40, 23), (9, 50), (5, 7), (17, 16)])
def test_windows_cover_every_pixel_and_return_it_to_its_place(size):
    image = RNG.integers(0, 256, size, np.uint8)
    (found,) = windows.masks([image], _brightness, NATIVE, 4)
    assert found.shape == (*size, 2)
    np.testing.assert_allclose(found[..., 1], image / 255, atol=1e-5)
    np.testing.assert_allclose(found.sum(axis=-1), 1.0, atol=1e-5)


@pytest.mark.parametrize("length", range(1, 70))
def test_windows_overlap_by_half_at_least(length):
    begins = windows.starts(length, 16)
    assert begins[0] == 0 and begins[-1] == max(length - 16, 0)
    assert all(b - a <= 8 for a, b in itertools.pairwise(begins))


def test_the_middle_of_a_window_counts_more_than_its_edge():
    def edge_is_wrong(squares):
        out = np.zeros((*squares.shape[:3], 2), np.float32)
        out[..., 0] = 1
        out[:, :2], out[:, :2, :, 1] = 0, 1  # the first rows of every window
        return out

    image = np.zeros((32, 16), np.uint8)
    (found,) = windows.masks([image], edge_is_wrong, NATIVE, 4)
    assert (found[2:].argmax(axis=-1) == 0).all()


@pytest.mark.parametrize("keep_aspect", [False, True])
def test_resized_images_come_back_at_their_own_size(keep_aspect):
    form = batches.Form(16, 1, keep_aspect)
    image = np.zeros((32, 64), np.uint8)
    image[:, 32:] = 255
    (found,) = windows.masks([image], _brightness, form, 4)
    assert found.shape == (32, 64, 2)
    assert (found[:, :24].argmax(-1) == 0).all() and (
        found[:, 40:].argmax(-1) == 1
    ).all()
    (small,) = windows.masks([image], _brightness, form, 4, resized=True)
    assert small.shape == ((8, 16, 2) if keep_aspect else (16, 16, 2))


def test_images_share_batches_and_keep_their_order():
    sizes, batch_sizes = [(16, 16), (40, 16), (16, 16), (90, 16), (16, 16)], []

    def network(squares):
        batch_sizes.append(len(squares))
        return squares.mean(axis=(1, 2)).astype(np.float32)

    images = [np.full(size, index * 10, np.uint8) for index, size in enumerate(sizes)]
    found = list(windows.classes(images, network, batches.Form(16, 3, False), 2))
    np.testing.assert_allclose([each[0] for each in found], [0, 10, 20, 30, 40])
    assert set(batch_sizes) == {2}
    masks = list(windows.masks(images, _brightness, NATIVE, 3))
    assert [each.shape[:2] for each in masks] == sizes
    for index, each in enumerate(masks):
        np.testing.assert_allclose(each[..., 1], index * 10 / 255, atol=1e-5)
