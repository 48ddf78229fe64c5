"""Squares and back: images, masks, boxes, scores."""

import numpy as np
import pytest

from data_pipelines.labels import fitting


def test_the_longer_side_fills_the_square():
    assert fitting.inner((30, 60), 20, keep_aspect=True) == (10, 20)
    assert fitting.inner((60, 30), 20, keep_aspect=True) == (20, 10)
    assert fitting.inner((1, 900), 20, keep_aspect=True) == (1, 20)
    assert fitting.inner((30, 60), 20, keep_aspect=False) == (20, 20)


def test_images_are_averaged_down_and_padded_with_zero():
    pixels = np.kron([[0, 100], [200, 100]], np.ones((10, 20))).astype(np.uint8)
    found = fitting.image(pixels, 8, 1, keep_aspect=True)
    assert found.shape == (8, 8, 1) and found.dtype == np.uint8
    # 4 rows of image: each averages 5 rows and the nearer half of their neighbours
    assert found[0, :3, 0].tolist() == [0, 0, 0] and found[3, 0, 0] == 200
    assert not found[4:].any() and found[:4, 7].min() == 100
    assert fitting.image(pixels, 8, 3, keep_aspect=False)[7, 7].tolist() == [100] * 3


def test_colour_becomes_grey_where_one_channel_is_wanted():
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 200
    found = fitting.image(red, 8, 1, keep_aspect=False)
    assert (found == round(0.299 * 200)).all()


def test_masks_take_the_pixel_under_each_centre():
    values = np.arange(16).reshape(4, 4).astype(np.int32)
    # centres of 2 x 2 fall on the corner of four: the later of them
    assert fitting.mask(values, 2, keep_aspect=False).tolist() == [[5, 7], [13, 15]]
    enlarged = fitting.mask(values, 8, keep_aspect=False)
    assert (enlarged == np.kron(values, np.ones((2, 2)))).all()
    padded = fitting.mask(values[:2] + 1, 4, keep_aspect=True)
    assert padded[:2].tolist() == (values[:2] + 1).tolist() and not padded[2:].any()


@pytest.mark.parametrize("keep_aspect", [True, False])
@pytest.mark.parametrize("size", [(20, 33), (64, 17)])
def test_enlarged_masks_come_back_exactly(size, keep_aspect):
    values = np.random.default_rng(0).integers(0, 5, size).astype(np.int32)
    square = fitting.mask(values, 96, keep_aspect=keep_aspect)
    back = fitting.original_mask(square, size, keep_aspect=keep_aspect)
    assert back.shape == size and (back == values).all()
    scores = np.eye(5, dtype=np.float32)[square]
    full = fitting.original_scores(scores, size, keep_aspect=keep_aspect)
    assert full.shape == (*size, 5)
    assert (full.argmax(-1) == values).mean() > 0.9
    np.testing.assert_allclose(full.sum(-1), 1, atol=1e-5)


@pytest.mark.parametrize("keep_aspect", [True, False])
def test_boxes_there_and_back(keep_aspect):
    edges = np.array([[0, 0, 30, 60], [3, 6, 9, 12.0]])
    found = fitting.boxes(edges, (30, 60), 20, keep_aspect=keep_aspect)
    rows = 20 / 60 if keep_aspect else 20 / 30
    assert found.dtype == np.float32
    expected = edges * [rows, 20 / 60, rows, 20 / 60]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    back = fitting.original_boxes(found, (30, 60), 20, keep_aspect=keep_aspect)
    np.testing.assert_allclose(back, edges, atol=1e-4)
    over = fitting.original_boxes(found + 50, (30, 60), 20, keep_aspect=keep_aspect)
    assert over[0].tolist() == [30, 60, 30, 60]
