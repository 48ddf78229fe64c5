"""Planes read block by block, against the same images read whole."""

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest

from data_pipelines import intensity, records, slices
from data_pipelines.readers import planes

CONTEXT = slices.Context("one", size=16)


def blocks_of(values, height, width):
    """A plane in blocks that fit neither the image nor the squares of the mean."""

    def blocks():
        for top in range(0, values.shape[0], height):
            for left in range(0, values.shape[1], width):
                yield top, left, values[top : top + height, left : left + width]

    return planes.Plane(values.shape, values.dtype, blocks)


@pytest.fixture
def noise():
    return np.random.default_rng(0).integers(0, 256, (61, 83, 3)).astype(np.uint8)


def test_blocks_make_the_image(noise):
    (piece,) = planes.read([blocks_of(noise, 7, 20)], CONTEXT)
    np.testing.assert_array_equal(piece.pixels, noise)
    assert piece.intensity_rule == "8bit"


@pytest.mark.parametrize("block", [(7, 20), (61, 83), (1, 83), (16, 16)])
def test_means_are_over_squares_whatever_the_blocks(noise, block):
    found = planes.averaged(blocks_of(noise, *block), 8)
    assert found.shape == (8, 11, 3)  # 61 / 8 and 83 / 8, rounded up
    for row, column in [(0, 0), (3, 5), (7, 10)]:  # the last is cut: 5 by 3 pixels
        square = noise[row * 8 : row * 8 + 8, column * 8 : column * 8 + 8]
        expected = square.reshape(-1, 3).mean(axis=0)
        assert np.abs(found[row, column] - expected).max() <= 0.5


def test_a_large_image_is_as_if_read_whole_and_reduced(monkeypatch):
    rows, columns = np.mgrid[:300, :400]
    values = (rows * 37 + columns * 11 + (rows // 9 % 2) * 9000).astype(np.uint16)
    (whole,) = planes.read([planes.whole(values)], CONTEXT)
    monkeypatch.setattr(planes, "LARGE", 10_000)
    (large,) = planes.read([blocks_of(values, 64, 64)], CONTEXT)
    assert large.pixels.shape == (75, 100)  # 120,000 values / 4**2 are under 10,000
    expected = records.bounded(whole.pixels, 100).astype(int)
    assert np.abs(large.pixels - expected).max() <= 1


def test_the_longest_side_keeps_its_size(monkeypatch):
    monkeypatch.setattr(planes, "LARGE", 1)
    assert planes.factor_of((300, 400), 100) == 4
    assert planes.factor_of((300, 90), 400) == 1


def test_many_values_take_percentiles_of_a_grid(monkeypatch):
    values = np.random.default_rng(1).normal(1000, 50, (3, 200, 300))
    low, high = np.percentile(values, (1, 99))
    expected = np.clip((values - low) / (high - low), 0, 1) * 255
    monkeypatch.setattr(planes, "_SAMPLES", 20_000)
    found = planes.read([blocks_of(plane, 33, 47) for plane in values], CONTEXT)
    found = np.stack([piece.pixels for piece in found])
    assert np.abs(found - expected).max() < 12  # of 255: 20,000 values tell that much


@pytest.mark.parametrize("block", [(1, 300), (200, 1), (16, 16), (200, 300)])
def test_the_grid_does_not_depend_on_the_blocks(monkeypatch, block):
    values = np.random.default_rng(1).normal(1000, 50, (200, 300))
    monkeypatch.setattr(planes, "_SAMPLES", 1000)
    (found,) = planes.read([blocks_of(values, *block)], CONTEXT)
    (expected,) = planes.read([planes.whole(values)], CONTEXT)
    np.testing.assert_array_equal(found.pixels, expected.pixels)


def test_what_stands_out_between_the_points_of_the_grid_is_kept(monkeypatch):
    values = np.zeros((64, 64), np.float32)
    values[33, 33] = 5
    monkeypatch.setattr(planes, "_SAMPLES", 64)
    (piece,) = planes.read([planes.whole(values)], CONTEXT)
    assert piece.pixels[33, 33] == 255 and piece.pixels.sum() == 255


def test_limits_are_those_of_scaling_at_once():
    values = np.random.default_rng(2).normal(size=(40, 40)).astype(np.float32)
    values[:4] = np.nan
    rule = intensity.rule_for(modality="MR", organ=None, hounsfield=False)
    fixed = intensity.with_limits(rule, [values[:20], values[20:]])
    np.testing.assert_array_equal(
        intensity.to_uint8(values, fixed), intensity.to_uint8(values, rule)
    )


def test_black_and_white_is_untouched():
    values = np.eye(40, dtype=bool)
    (piece,) = planes.read([planes.whole(values)], CONTEXT)
    np.testing.assert_array_equal(piece.pixels, np.eye(40) * 255)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientations_are_those_of_exif(orientation, noise):
    image = PIL.Image.fromarray(noise)
    image.getexif()[0x0112] = orientation
    expected = np.asarray(PIL.ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(planes.turned(noise, orientation), expected)


def test_transparent_is_black():
    colours = np.full((2, 2), 200, np.uint8)
    alpha = np.array([[255, 0], [51, 102]], np.uint8)
    expected = [[200, 0], [40, 80]]  # 200 * 51 / 255 = 40
    np.testing.assert_array_equal(planes.over_black(colours, alpha), expected)
    deep = planes.over_black(colours.astype(np.uint16), alpha.astype(np.uint16) * 257)
    np.testing.assert_array_equal(deep, expected)
