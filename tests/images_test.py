"""PNG, JPEG, BMP and WebP files as slices."""

import io
import struct
import zlib

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
import tifffile

from data_pipelines import quiet, slices
from data_pipelines.readers import images, planes

RAMP = np.add.outer(np.arange(40), np.arange(50)).astype(np.uint8)
COLOUR = np.stack([RAMP, RAMP * 2, 255 - RAMP], axis=-1)


def read(path, modality=None, size=256):
    return list(images.read(path, slices.Context("one", modality, size=size)))


def save(path, image, **options):
    image = PIL.Image.fromarray(image) if isinstance(image, np.ndarray) else image
    image.save(path, **options)
    return path


def png(path, values, colour_type):
    """A 16-bit PNG, written out: Pillow cannot write one in colour."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    height, width = values.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        for name, data in chunks:
            check = struct.pack(">I", zlib.crc32(name + data))
            file.write(struct.pack(">I", len(data)) + name + data + check)
    return path


def percentiles(values):
    low, high = np.percentile(values, (1, 99))
    return np.rint(np.clip((values - low) / (high - low), 0, 1) * 255)


@pytest.mark.parametrize("ending", ["png", "bmp", "webp"])
@pytest.mark.parametrize("values", [RAMP, COLOUR])
def test_8_bit_is_untouched(tmp_path, ending, values):
    options = {"lossless": True} if ending == "webp" else {}
    (piece,) = read(save(tmp_path / f"a.{ending}", values, **options))
    np.testing.assert_array_equal(piece.pixels, values)
    assert piece.intensity_rule == "8bit" and piece.modality == "OT"
    assert piece.index is None and piece.identity == "one"


def test_jpeg_is_what_pillow_decodes(tmp_path):
    path = save(tmp_path / "a.jpg", COLOUR, quality=95)
    with PIL.Image.open(path) as image:
        np.testing.assert_array_equal(read(path)[0].pixels, np.asarray(image))


def test_colour_of_equal_channels_becomes_grey(tmp_path):
    path = save(tmp_path / "a.png", np.stack([RAMP] * 3, axis=-1))
    np.testing.assert_array_equal(read(path)[0].pixels, RAMP)


def test_a_palette_is_resolved(tmp_path):
    image = PIL.Image.fromarray(COLOUR).quantize(64)
    path = save(tmp_path / "a.png", image)
    np.testing.assert_array_equal(
        read(path)[0].pixels, np.asarray(image.convert("RGB"))
    )


def test_one_bit_is_black_and_white(tmp_path):
    path = save(tmp_path / "a.png", PIL.Image.fromarray(RAMP > 40))
    np.testing.assert_array_equal(read(path)[0].pixels, (RAMP > 40) * 255)


@pytest.mark.parametrize("values", [RAMP, COLOUR])
def test_what_is_transparent_is_not_seen(tmp_path, values):
    alpha = np.full(RAMP.shape, 255, np.uint8)
    alpha[:20] = 0
    path = save(tmp_path / "a.png", np.dstack([values, alpha]))
    (piece,) = read(path)
    assert piece.pixels.shape == values.shape and not piece.pixels[:20].any()
    np.testing.assert_array_equal(piece.pixels[20:], values[20:])


def test_a_transparent_colour_of_a_palette_is_not_seen(tmp_path):
    image = PIL.Image.fromarray(RAMP % 4, "P")
    image.putpalette([200, 10, 10, 10, 200, 10, 10, 10, 200, 50, 60, 70])
    path = save(tmp_path / "a.png", image, transparency=1)
    (piece,) = read(path)
    assert not piece.pixels[RAMP % 4 == 1].any()
    assert (piece.pixels[RAMP % 4 == 0] == (200, 10, 10)).all()


def test_12_bits_in_16_are_not_squeezed_to_black(tmp_path):
    values = RAMP.astype(np.uint16) * 46  # up to 4048 of 65535: black as it is
    (piece,) = read(save(tmp_path / "a.png", values), modality="CR")
    np.testing.assert_allclose(piece.pixels, percentiles(values), atol=1)
    assert piece.intensity_rule == "percentile_1_99" and piece.modality == "CR"
    assert piece.pixels.min() == 0 and piece.pixels.max() == 255


def test_12_bits_in_16_bit_colour_are_not_squeezed_to_black(tmp_path):
    values = np.stack([RAMP, RAMP // 2, 90 - RAMP], axis=-1).astype(np.uint16) * 40
    (piece,) = read(png(tmp_path / "a.png", values, 2))
    np.testing.assert_allclose(piece.pixels, percentiles(values), atol=1)


def test_16_bit_alpha_is_applied(tmp_path):
    alpha = np.full(RAMP.shape, 65535, np.uint16)
    alpha[:20] = 0
    values = np.dstack([RAMP.astype(np.uint16) * 300 + 5000, alpha])
    (piece,) = read(png(tmp_path / "a.png", values, 4))
    assert not piece.pixels[:20].any() and piece.pixels[20:].min() > 50


def inks():
    values = np.dstack([RAMP, RAMP * 2, RAMP // 2, RAMP])
    light = 255 - values.astype(int)
    return values, light[..., :3] * light[..., 3:] / 255


def test_cmyk_jpeg_of_adobe(tmp_path):
    values, expected = inks()  # Pillow stores them inverted, as Adobe does
    path = save(tmp_path / "a.jpg", PIL.Image.fromarray(values, "CMYK"), quality=100)
    assert np.abs(read(path)[0].pixels - expected).max() < 6


def test_cmyk_jpeg_of_others_is_not_inverted(tmp_path):
    values, expected = inks()
    file = io.BytesIO()
    PIL.Image.fromarray(255 - values, "CMYK").save(file, "JPEG", quality=100)
    data = file.getvalue()
    start = data.index(b"\xff\xee")  # the marker that says Adobe
    length = 2 + int.from_bytes(data[start + 2 : start + 4], "big")
    (tmp_path / "a.jpg").write_bytes(data[:start] + data[start + length :])
    assert np.abs(read(tmp_path / "a.jpg")[0].pixels - expected).max() < 6


@pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
def test_the_rotation_of_exif_is_applied(tmp_path, ending):
    image = PIL.Image.fromarray(COLOUR)
    exif = image.getexif()
    exif[0x0112] = 6
    path = save(tmp_path / f"a.{ending}", image, exif=exif, quality=95)
    with PIL.Image.open(path) as stored:
        expected = np.asarray(PIL.ImageOps.exif_transpose(stored))
    assert expected.shape == (50, 40, 3)
    np.testing.assert_array_equal(read(path)[0].pixels, expected)


def test_broken_exif_turns_nothing(tmp_path):
    path = save(tmp_path / "a.jpg", COLOUR, exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    with quiet.readers():  # Pillow warns
        assert read(path)[0].pixels.shape == COLOUR.shape


@pytest.mark.parametrize("ending", ["png", "webp"])
def test_frames_of_an_animation_are_slices(tmp_path, ending):
    frames = [PIL.Image.fromarray(np.roll(RAMP, 9 * i)) for i in range(3)]
    options = {"save_all": True, "append_images": frames[1:], "lossless": True}
    pieces = read(save(tmp_path / f"a.{ending}", frames[0], **options))
    assert [piece.index for piece in pieces] == [0, 1, 2]
    for piece, frame in zip(pieces, frames, strict=True):
        np.testing.assert_array_equal(piece.pixels, np.asarray(frame))


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_large_jpeg_is_as_if_decoded_whole_and_reduced(tmp_path, monkeypatch, mode):
    rows, columns = np.mgrid[:500, :700]
    values = ((rows // 3 + columns // 5 + (rows // 50 % 2) * 60) % 256).astype(np.uint8)
    image = PIL.Image.fromarray(values).convert("RGB").convert(mode)
    path = save(tmp_path / "a.jpg", image, quality=95)
    whole = read(path)[0].pixels[:496, :696]
    expected = whole.reshape(62, 8, 87, 8).mean(axis=(1, 3))
    monkeypatch.setattr(planes, "LARGE", 20_000)
    monkeypatch.setattr(images, "MAX_PIXELS", 100_000)  # whole it has 350,000
    (piece,) = read(path, size=10)
    assert piece.pixels.shape == (63, 88)
    assert np.abs(piece.pixels[:62, :87] - expected).mean() < 1


def test_a_large_progressive_jpeg_is_refused(tmp_path, monkeypatch):
    path = save(tmp_path / "a.jpg", COLOUR, progressive=True)
    monkeypatch.setattr(images, "MAX_PIXELS", 100)
    with pytest.raises(slices.SkippedError, match="tiled TIFF"):
        read(path)


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path):
    path = png(tmp_path / "a.png", np.zeros((2, 2), np.uint16), 0)
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", 60_000, 60_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    path.write_bytes(data)
    with pytest.raises(slices.SkippedError, match="over 134 megapixels"):
        read(path)


def test_a_webp_bomb_is_refused_before_it_is_decoded(tmp_path):
    frame = PIL.Image.fromarray(RAMP)
    options = {"save_all": True, "append_images": [frame.rotate(180)]}
    path = save(tmp_path / "a.webp", frame, **options)
    data = bytearray(path.read_bytes())
    assert data[12:16] == b"VP8X"
    data[24:30] = b"\xfe\x3f\x00" * 2  # the canvas: 16383 by 16383
    path.write_bytes(data)
    with pytest.raises(slices.SkippedError, match="over 134 megapixels"):
        read(path)


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp", "webp"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_cut_file_is_refused(tmp_path, ending, share):
    noise = np.random.default_rng(0).integers(0, 256, (90, 90, 3)).astype(np.uint8)
    path = save(tmp_path / f"a.{ending}", noise)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(Exception):  # noqa: B017 - whatever Pillow raises is caught above
        read(path)


@pytest.mark.parametrize("shape", [(1, 1), (1, 100_000), (100_000, 1), (40, 30_000)])
def test_tiny_and_long_images(tmp_path, shape):
    values = (np.arange(shape[0] * shape[1]) % 251).reshape(shape).astype(np.uint8)
    np.testing.assert_array_equal(
        read(save(tmp_path / "a.png", values))[0].pixels, values
    )


@pytest.mark.parametrize("name", ["a.txt", "a", "ä ü\n日本.JPG", "-rf.png", "a.nii.gz"])
def test_the_name_does_not_matter(tmp_path, name):
    save(tmp_path / name, COLOUR, format="PNG")
    np.testing.assert_array_equal(read(tmp_path / name)[0].pixels, COLOUR)


def test_tiff_is_handed_on(tmp_path):
    tifffile.imwrite(tmp_path / "a.png", RAMP)
    np.testing.assert_array_equal(read(tmp_path / "a.png")[0].pixels, RAMP)


@pytest.mark.parametrize("kind", ["GIF", "JPEG2000", "TGA", "ICO"])
def test_other_formats_are_refused_in_a_line(tmp_path, kind):
    save(tmp_path / "a.png", RAMP, format=kind)
    with pytest.raises(slices.SkippedError, match="not a PNG, JPEG, BMP, WebP or TIFF"):
        read(tmp_path / "a.png")


def test_an_empty_file_is_called_empty(tmp_path):
    (tmp_path / "a.png").touch()
    with pytest.raises(slices.SkippedError, match="empty"):
        read(tmp_path / "a.png")
