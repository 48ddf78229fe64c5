"""Reads PNG, JPEG, BMP and WebP files; hands TIFF files on, by their content."""

import contextlib
import functools
import pathlib
from collections.abc import Iterator

import numpy as np

from data_pipelines import slices
from data_pipelines.readers import planes, tiff

MAX_PIXELS = 2**27  # of what is decoded whole, which takes half a gigabyte
_PNG = b"\x89PNG\r\n\x1a\n"
_BAND = 2**22  # pixels that are taken out of a decoded image at a time
# Pillow's modes that are 8-bit, and what they become without their alpha
_MODES = {
    **dict.fromkeys(("1", "L", "LA"), "L"),
    **dict.fromkeys(("P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"), "RGB"),
}
_DEEP_COLOURS = (2, 4, 6)  # PNG's RGB, grey with alpha, RGBA
_ORIENTATION = 0x0112  # of EXIF and TIFF


def read(
    path: pathlib.Path, context: slices.Context
) -> Iterator[slices.Slice | slices.Skipped]:
    """Yields the image of a file, or every frame of an animated PNG or WebP.

    8-bit values stay as they are. The rotation that EXIF asks for is applied; what is
    transparent is shown before black; colour profiles are not applied.

    Args:
      path: a PNG, JPEG, BMP, WebP or TIFF file; its name does not matter.
      context: these files say nothing of it themselves.

    Raises:
      slices.SkippedError: the file is none of them, or too large to be decoded whole.
    """
    with path.open("rb") as file:
        head = file.read(32)
        file.seek(0)
        kind = kind_of(head)
        if kind == "TIFF":
            yield from tiff.read(path, context)
        elif kind is None:
            raise slices.SkippedError(
                "not a PNG, JPEG, BMP, WebP or TIFF file" if head else "an empty file"
            )
        else:
            yield from _frames(file, kind, head, context)


def kind_of(head: bytes) -> str | None:
    """The format of a file by its first 12 bytes, or None where it is no image."""
    if head.startswith(_PNG):
        return "PNG"
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"BM"):
        return "BMP"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    return "TIFF" if head[:4] in tiff.MAGIC else None


def pixels(path: pathlib.Path) -> Iterator[np.ndarray]:
    """The images of a file, uint8 [H, W] or [H, W, 3], without what `read` skips."""
    for piece in read(path, slices.Context()):
        if isinstance(piece, slices.Slice):
            yield piece.pixels


def _frames(file, kind, head, context) -> Iterator[slices.Slice]:
    image = _open(file, kind)
    is_deep = kind == "PNG" and head[24] == 16 and head[25] in _DEEP_COLOURS
    if kind == "JPEG":
        image = _drafted(image, file, context.size)
    _check_size(image.size, MAX_PIXELS // (2 if is_deep else 1))
    orientation = _orientation(image)  # Pillow decodes a PNG to look for it
    number = 1 if is_deep else getattr(image, "n_frames", 1)
    for index in range(number):
        if number > 1:
            image.seek(index)
        plane = planes.whole(_deep_png(file)) if is_deep else _plane(image)
        plane = plane._replace(
            finish=functools.partial(planes.turned, orientation=orientation),
            index=index if number > 1 else None,
        )
        yield from planes.read([plane], context)


def _open(file, kind):
    """The image, not decoded yet; its size is bounded by us, not by Pillow."""
    from PIL import (
        BmpImagePlugin,
        Image,
        JpegImagePlugin,
        PngImagePlugin,
        WebPImagePlugin,
    )

    plugins = {
        "PNG": PngImagePlugin.PngImageFile,
        "JPEG": JpegImagePlugin.JpegImageFile,  # of several in one file, the first
        "BMP": BmpImagePlugin.BmpImageFile,
        "WEBP": WebPImagePlugin.WebPImageFile,
    }
    try:
        return plugins[kind](file)
    except Image.DecompressionBombError:  # that of WebP looks for itself
        raise _too_large(MAX_PIXELS) from None


def _check_size(size, limit: int) -> None:
    if size[0] * size[1] > limit:
        raise _too_large(limit)


def _too_large(limit: int) -> slices.SkippedError:
    return slices.SkippedError(
        f"over {limit // 10**6} megapixels in a format that is decoded whole: "
        "store it as a tiled TIFF"
    )


def _orientation(image) -> int:
    with contextlib.suppress(Exception):  # a broken EXIF block turns nothing
        return int(image.getexif().get(_ORIENTATION, 1))
    return 1


def _drafted(image, file, size):
    """A large JPEG at 1/2, 1/4 or 1/8, which takes that much less memory to decode."""
    width, height = image.size
    if image.info.get("progressive") or not _has_one_scan(image, file):
        _check_size(image.size, MAX_PIXELS)  # all of it is in memory at any scale
    factor = planes.factor_of((height, width, 3), size)
    if factor > 1:
        image.draft(None, (width // factor, height // factor))
    return image


def _has_one_scan(image, file) -> bool:
    """Whether the first scan has all colours; Pillow stops right behind its header."""
    here = file.tell()
    length = 6 + 2 * image.layers
    file.seek(max(here - length, 0))
    header = file.read(3)
    file.seek(here)
    return header == bytes([0, length, image.layers])


def _plane(image) -> planes.Plane:
    from PIL import ImageChops

    image.load()
    if image.mode == "CMYK" and "adobe" not in image.info:
        image = ImageChops.invert(image)  # Pillow takes every CMYK JPEG as Adobe's
    width, height = image.size
    rows = max(1, _BAND // width)

    def blocks():
        for top in range(0, height, rows):
            box = (0, top, width, min(top + rows, height))
            yield top, 0, _array(image.crop(box))

    first = _array(image.crop((0, 0, 1, 1)))
    return planes.Plane((height, width, *first.shape[2:]), first.dtype, blocks)


def _array(image) -> np.ndarray:
    mode = _MODES.get(image.mode)
    if mode is None:  # more than 8 bits
        return np.asarray(image)
    if image.has_transparency_data:
        values = np.asarray(image.convert("LA" if mode == "L" else "RGBA"))
        return _seen(values)
    return np.asarray(image.convert(mode))


def _deep_png(file) -> np.ndarray:
    """16-bit colour, of which Pillow keeps the upper 8 bits."""
    import imagecodecs

    file.seek(0)
    values = imagecodecs.png_decode(file.read())
    return values if values.shape[-1] == 3 else _seen(values)


def _seen(values) -> np.ndarray:
    """[H, W] or [H, W, 3] of values whose last channel is alpha."""
    colours = values[..., 0] if values.shape[-1] == 2 else values[..., :-1]
    return planes.over_black(colours, values[..., -1])
