"""PNG, JPEG and TIFF files as slices."""

import numpy as np
import PIL.Image
import pytest
import tifffile

from data_pipelines import images, slices

RAMP = np.add.outer(np.arange(40), np.arange(50)).astype(np.uint8)


def read(path, modality=None):
    return list(images.read(path, slices.Context("one", modality)))


def test_grey_png_is_untouched(tmp_path):
    PIL.Image.fromarray(RAMP).save(tmp_path / "a.png")
    (piece,) = read(tmp_path / "a.png")
    np.testing.assert_array_equal(piece.pixels, RAMP)
    assert piece.intensity_rule == "8bit" and piece.modality == "OT"
    assert piece.index is None and piece.identity == "one"


def test_colour_of_equal_channels_becomes_grey(tmp_path):
    PIL.Image.fromarray(np.stack([RAMP] * 3, axis=-1)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read(tmp_path / "a.png")[0].pixels, RAMP)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_colour_modes_become_rgb(tmp_path, mode):
    colour = np.stack([RAMP, RAMP // 2, RAMP // 4], axis=-1)
    PIL.Image.fromarray(colour).convert(mode).save(tmp_path / "a.png")
    (piece,) = read(tmp_path / "a.png")
    assert piece.pixels.shape == (40, 50, 3)
    assert np.abs(piece.pixels.astype(int) - colour).mean() < 20


def test_16_bit_values_take_percentiles(tmp_path):
    PIL.Image.fromarray(RAMP.astype(np.uint16) * 300).save(tmp_path / "a.png")
    (piece,) = read(tmp_path / "a.png", modality="CR")
    assert piece.pixels.dtype == np.uint8 and piece.pixels.max() == 255
    assert piece.intensity_rule == "percentile_1_99" and piece.modality == "CR"


def test_pages_of_a_tiff_share_one_scale(tmp_path):
    pages = np.stack([RAMP, RAMP + 100]).astype(np.uint16) * 200
    tifffile.imwrite(tmp_path / "a.tif", pages, photometric="minisblack")
    first, second = read(tmp_path / "a.tif")
    assert (first.index, second.index) == (0, 1)
    assert first.pixels.max() < second.pixels.max() == 255


def test_tiff_that_pillow_refuses(tmp_path):
    colour = np.stack([RAMP, RAMP * 2, RAMP * 3], axis=-1).astype(np.uint16) * 200
    tifffile.imwrite(tmp_path / "a.tif", colour, compression="zstd", photometric="rgb")
    (piece,) = read(tmp_path / "a.tif")
    assert piece.pixels.shape == (40, 50, 3)


def test_other_formats_are_refused_in_a_line(tmp_path):
    PIL.Image.fromarray(RAMP).save(tmp_path / "a.png", format="GIF")
    with pytest.raises(slices.SkippedError, match="not a PNG, JPEG, BMP, WebP or TIFF"):
        read(tmp_path / "a.png")
