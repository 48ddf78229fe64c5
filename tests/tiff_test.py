"""TIFF and BigTIFF files as slices; Pillow and arithmetic give the right values."""

import struct

import imagecodecs
import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
import tifffile

from data_pipelines import slices
from data_pipelines.readers import planes, tiff

RAMP = np.add.outer(np.arange(40), np.arange(50)).astype(np.uint8)
COLOUR = np.stack([RAMP, RAMP * 2, 255 - RAMP], axis=-1)
REDUCED, MASK = 1, 4  # NewSubfileType


def read(path, size=256):
    return list(tiff.read(path, slices.Context("one", size=size)))


def write(path, values, **options):
    tifffile.imwrite(path, values, **options)
    return path


def images_of(found):
    return [piece for piece in found if isinstance(piece, slices.Slice)]


def reasons_of(found):
    return [piece.reason for piece in found if isinstance(piece, slices.Skipped)]


def percentiles(values):
    low, high = np.percentile(values, (1, 99))
    return np.rint(np.clip((values - low) / (high - low), 0, 1) * 255)


def plain(path, data, *, width, height, bits, photometric, more=()):
    """A grey TIFF of one strip, written out; `more` are further (tag, value)."""
    tags = [(256, width), (257, height), (258, bits), (259, 1), (262, photometric)]
    tags += [(273, 8), (277, 1), (278, height), (279, len(data)), *more]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, v) for tag, v in sorted(tags))
    head = struct.pack("<2sHI", b"II", 42, 8 + len(data))
    count = struct.pack("<H", len(tags))
    path.write_bytes(head + data + count + entries + struct.pack("<I", 0))
    return path


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "LA", "RGBA", "YCbCr"])
@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_deflate"])
def test_modes_are_as_pillow_reads_them(tmp_path, mode, compression):
    image = PIL.Image.fromarray(COLOUR).convert(mode)
    image.save(tmp_path / "a.tif", compression=compression)
    (piece,) = read(tmp_path / "a.tif")
    grey = mode in ("1", "L", "LA")
    expected = np.asarray(image.convert("L" if grey else "RGB")).astype(int)
    assert np.abs(piece.pixels - expected).max() <= 1 and piece.index is None
    assert piece.intensity_rule == "8bit"


@pytest.mark.parametrize("compression", ["zstd", "jpeg", "jpeg2000", "webp", "lzma"])
def test_compressions(tmp_path, compression):
    path = write(tmp_path / "a.tif", COLOUR, compression=compression)
    assert np.abs(read(path)[0].pixels.astype(int) - COLOUR).mean() < 6


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["u2", "i2", "u4", "i4", "f4", "f8", "f2", "i1"])
def test_values_of_more_bits_take_percentiles(tmp_path, order, kind):
    values = (RAMP.astype(float) - 40).clip(0 if kind[0] == "u" else None)
    values = values.astype(order + kind)
    (piece,) = read(write(tmp_path / "a.tif", values, byteorder=order))
    np.testing.assert_allclose(piece.pixels, percentiles(values), atol=1)
    assert piece.intensity_rule == "percentile_1_99"


def test_12_bits_in_16_are_not_squeezed_to_black(tmp_path):
    (piece,) = read(write(tmp_path / "a.tif", RAMP.astype(np.uint16) * 46))
    assert piece.pixels.min() == 0 and piece.pixels.max() == 255


def test_packed_12_bits(tmp_path):
    values = RAMP.astype(np.uint16) * 46
    data = imagecodecs.packints_encode(values, 12)
    path = tmp_path / "a.tif"
    plain(path, data, width=50, height=40, bits=12, photometric=1)
    np.testing.assert_allclose(read(path)[0].pixels, percentiles(values), atol=1)


def test_not_a_number_is_black(tmp_path):
    values = RAMP.astype(np.float32) / 89
    values[:10, :10] = np.nan
    values[39, 49] = np.inf
    (piece,) = read(write(tmp_path / "a.tif", values))
    assert not piece.pixels[:10, :10].any() and piece.pixels[39, 49] == 0
    assert piece.pixels[38, 49] == 255


@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize("bits", [1, 4])
def test_few_bits_fill_the_scale(tmp_path, bits, photometric):
    values = RAMP % (2**bits)
    data = imagecodecs.packints_encode(values[:, :48].copy(), bits)
    path = tmp_path / "a.tif"
    plain(path, data, width=48, height=40, bits=bits, photometric=photometric)
    with PIL.Image.open(path) as image:
        expected = np.asarray(image.convert("L"))
    assert expected.min() == 0 and expected.max() == 255
    np.testing.assert_array_equal(read(path)[0].pixels, expected)


def test_low_is_white_where_the_file_says_so(tmp_path):
    path = write(tmp_path / "a.tif", RAMP * 2, photometric="miniswhite")
    np.testing.assert_array_equal(read(path)[0].pixels, 255 - RAMP * 2)
    deep = RAMP.astype(np.uint16) * 300
    path = write(tmp_path / "b.tif", deep, photometric="miniswhite")
    np.testing.assert_allclose(read(path)[0].pixels, 255 - percentiles(deep), atol=1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied(tmp_path, orientation):
    tags = [(274, "H", 1, orientation, True)]
    path = write(tmp_path / "a.tif", COLOUR, photometric="rgb", extratags=tags)
    image = PIL.Image.fromarray(COLOUR)
    image.getexif()[0x0112] = orientation
    expected = np.asarray(PIL.ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(read(path)[0].pixels, expected)


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"tile": (16, 32)}])
def test_samples_together_or_apart(tmp_path, planar, options):
    values = COLOUR if planar == "contig" else np.moveaxis(COLOUR, -1, 0)
    options = {**options, "photometric": "rgb", "planarconfig": planar}
    path = write(tmp_path / "a.tif", np.ascontiguousarray(values), **options)
    np.testing.assert_array_equal(read(path)[0].pixels, COLOUR)


@pytest.mark.parametrize("kind", ["unassalpha", "assocalpha", "unspecified"])
def test_alpha_is_applied_once_and_other_samples_dropped(tmp_path, kind):
    alpha = np.where(RAMP > 40, 255, 0).astype(np.uint8)
    values = np.dstack([COLOUR, alpha])
    path = tmp_path / "a.tif"
    write(path, values, photometric="rgb", extrasamples=[kind])
    visible = (RAMP > 40)[..., None] if kind == "unassalpha" else True
    np.testing.assert_array_equal(read(path)[0].pixels, COLOUR * visible)


def test_pages_of_one_shape_share_one_scale(tmp_path):
    pages = np.stack([RAMP, RAMP + 100]).astype(np.uint16) * 200
    first, second = read(write(tmp_path / "a.tif", pages, photometric="minisblack"))
    assert (first.index, second.index) == (0, 1)
    expected = percentiles(pages)
    np.testing.assert_allclose(first.pixels, expected[0], atol=1)
    np.testing.assert_allclose(second.pixels, expected[1], atol=1)


def test_a_stack_of_imagej_behind_one_entry(tmp_path):
    pages = np.stack([RAMP, RAMP + 50, RAMP + 100]).astype(">u2") * 200
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path, imagej=True) as writer:
        writer.write(pages, metadata={"axes": "ZYX"}, contiguous=True, truncate=True)
    with tifffile.TiffFile(path) as file:
        assert len(file.pages) == 1
    found = read(path)
    assert [piece.index for piece in found] == [0, 1, 2]
    for piece, expected in zip(found, percentiles(pages), strict=True):
        np.testing.assert_allclose(piece.pixels, expected, atol=1)


def pyramid(path, flags):
    rows, columns = np.mgrid[:256, :320]
    base = ((rows * columns) // 64 % 256).astype(np.uint8)
    with tifffile.TiffWriter(path) as writer:
        for level in range(3):
            side = 2**level
            small = base.reshape(256 // side, side, 320 // side, side).mean((1, 3))
            kind = REDUCED if flags and level else 0
            writer.write(small.astype(np.uint8), subfiletype=kind, metadata=None)
    return base


@pytest.mark.parametrize("flags", [True, False])
def test_levels_are_not_images(tmp_path, flags):
    base = pyramid(tmp_path / "a.tif", flags)
    found = read(tmp_path / "a.tif")
    (piece,) = images_of(found)
    np.testing.assert_array_equal(piece.pixels, base)
    assert len(reasons_of(found)) == 2


def test_levels_in_sub_ifds_are_not_images(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as writer:
        base = np.kron(RAMP, np.ones((4, 4), np.uint8))
        writer.write(base, subifds=1)
        writer.write(base[::2, ::2], subfiletype=REDUCED)
    (piece,) = read(tmp_path / "a.ome.tif")
    np.testing.assert_array_equal(piece.pixels, base)


def test_other_pictures_of_another_size_are_images(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (2, 80, 100)).astype(np.uint8)
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(noise[0], metadata=None)
        writer.write(noise[1, :40, :50], metadata=None)
    assert [piece.pixels.shape for piece in read(tmp_path / "a.tif")] == [
        (80, 100),
        (40, 50),
    ]


def test_masks_are_not_images(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(COLOUR, photometric="rgb")
        writer.write(RAMP > 40, photometric="mask", subfiletype=MASK)
    found = read(tmp_path / "a.tif")
    assert len(images_of(found)) == 1 and reasons_of(found) == [
        "TIFF page that is a mask"
    ]


LAYOUTS = [
    {"tile": (64, 64), "compression": "zlib", "bigtiff": True},
    {"rowsperstrip": 7, "compression": "lzw"},
    {"rowsperstrip": 300},
    {"tile": (64, 64), "bigtiff": True},
]


@pytest.mark.parametrize("options", LAYOUTS)
@pytest.mark.parametrize("kind", ["u1", "u2"])
def test_large_images_are_read_in_parts_and_reduced(
    tmp_path, monkeypatch, options, kind
):
    rows, columns = np.mgrid[:300, :500]
    values = ((rows * 3 + columns * 2) % 200).astype(kind)
    path = write(tmp_path / "a.tif", values, **options)
    (whole,) = read(path)
    monkeypatch.setattr(planes, "LARGE", 10_000)
    monkeypatch.setattr(planes, "BLOCK", 5_000)
    (piece,) = read(path, size=60)
    assert piece.pixels.shape == (75, 125)  # 150,000 values / 4**2 are under 10,000
    expected = whole.pixels.reshape(75, 4, 125, 4).mean(axis=(1, 3))
    assert np.abs(piece.pixels - expected).max() <= 0.5


@pytest.mark.parametrize("options", [{}, {"compression": "jpeg"}, {"tile": (16, 16)}])
def test_a_cut_file_is_refused(tmp_path, options):
    noise = np.random.default_rng(0).integers(0, 256, (90, 90, 3)).astype(np.uint8)
    path = write(tmp_path / "a.tif", noise, photometric="rgb", **options)
    path.write_bytes(path.read_bytes()[:-100])
    assert not images_of(read(path)) and reasons_of(read(path)) == [
        "TIFF page that is cut"
    ]


def test_a_header_that_claims_more_than_there_is(tmp_path):
    size = {"width": 60_000, "height": 60_000}
    path = plain(tmp_path / "a.tif", b"\0" * 99, bits=8, photometric=1, **size)
    assert reasons_of(read(path)) == ["TIFF page that is cut"]


def test_a_strip_that_would_fill_the_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(tiff, "_MAX_SEGMENT", 1000)
    path = write(tmp_path / "a.tif", RAMP, compression="zlib")
    (reason,) = reasons_of(read(path))
    assert "store it in tiles" in reason


def test_complex_values_and_rare_colours_are_refused(tmp_path):
    path = write(tmp_path / "a.tif", RAMP.astype(np.complex64))
    assert reasons_of(read(path)) and not images_of(read(path))
    path = write(tmp_path / "b.tif", COLOUR, photometric="cielab")
    assert reasons_of(read(path)) == [
        "TIFF page in a colour space that is not read (cielab)"
    ]
