"""Reads TIFF and BigTIFF files: pages, not the smaller copies of them."""

import math
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from data_pipelines import planes, slices, whole_slides

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # TIFF, BigTIFF
_MAX_SEGMENT = 2**28  # bytes of a strip or tile, once decoded
_REDUCED, _MASK = 1, 4  # bits of NewSubfileType
_ALPHA = (1, 2)  # of ExtraSamples: multiplied already, not yet
# of two pages, reduced to so many pixels a side, that show the same
_THUMBNAIL = 32
_CORRELATION = 0.98
_ASPECT = 0.02  # relative difference of the aspects of a page and its copy
_JPEG = (6, 7, 33007, 34892)  # compressions whose decoder gives RGB
_ORIENTATION = 274
# samples that a colour space has; others are not read
_SAMPLES = {
    "MINISWHITE": 1,
    "MINISBLACK": 1,
    "PALETTE": 1,
    "RGB": 3,
    "YCBCR": 3,
    "SEPARATED": 4,
}


class _Page(NamedTuple):
    """What is needed of a page before it is read: where it is, and its volume.

    Attributes:
      number: of its entry in the file.
      skipped: bytes before it in the data of that entry; see `_entries`.
      shape, dtype: as `planes.Plane` has them.
    """

    number: int
    skipped: int
    shape: tuple[int, ...]
    dtype: np.dtype


def read(
    path: pathlib.Path, context: slices.Context
) -> Iterator[slices.Slice | slices.Skipped]:
    """Yields the pages of a file; whole slides go to `whole_slides`.

    Pages of one shape and type are a volume, which has one scale. Smaller copies are
    left out: sub-IFDs, pages that NewSubfileType calls reduced or a mask, and pages
    that show the same as a larger one. Of more samples than the colour space has, alpha
    is applied (before black) and others are dropped. Colour profiles are not applied.

    Args:
      path: a TIFF or BigTIFF file; its name does not matter.
      context: these files say nothing of it themselves.
    """
    import tifffile

    with tifffile.TiffFile(path) as file:
        if not whole_slides.is_slide(file):
            yield from _pages(file, context)
            return
    yield from whole_slides.read(path, context)


def _pages(file, context) -> Iterator[slices.Slice | slices.Skipped]:
    volumes: dict[tuple, list[_Page]] = {}
    for number, page in enumerate(file.pages):
        reason = _refusal(page, file.filehandle.size)
        if reason:
            yield slices.Skipped(0, reason)
            continue
        for found in _entries(file, number, page):
            volumes.setdefault((found.shape, found.dtype.str), []).append(found)
    # a smaller copy comes after what it is a copy of
    order = sorted(volumes.values(), key=lambda pages: -math.prod(pages[0].shape[:2]))
    is_one = sum(map(len, order)) == 1
    larger: list[tuple[float, np.ndarray]] = []
    index = 0
    for pages in order:
        ready = []
        for page in pages:
            ready.append(_plane(file, page, None if is_one else index))
            index += 1
        thumbnails = []
        for piece in planes.read(ready, context):
            if len(order) > 1:
                thumbnails.append(_thumbnail(piece.pixels))
                if any(_shows_same(thumbnails[-1], each) for each in larger):
                    yield slices.Skipped(0, "TIFF page that is a smaller copy")
                    continue
            yield piece
        larger += thumbnails


def _refusal(page, file_size) -> str | None:
    """Why a page is not read, or None."""
    name = getattr(page.photometric, "name", "unknown")
    if page.subfiletype & _REDUCED:
        return "TIFF page that is called reduced"
    if page.subfiletype & _MASK:
        return "TIFF page that is a mask"
    if name not in _SAMPLES or page.samplesperpixel < _SAMPLES[name]:
        return f"TIFF page in a colour space that is not read ({name.lower()})"
    if page.dtype is None or page.dtype.kind not in "buif" or page.imagedepth > 1:
        return "TIFF page that is neither integers nor floats in two dimensions"
    if name in ("PALETTE", "SEPARATED", "YCBCR") and page.dtype.kind not in "u":
        return f"TIFF page with {name.lower()} colours in a type that is not read"
    return _damage(page, file_size)


def _damage(page, file_size) -> str | None:
    places = list(zip(page.dataoffsets, page.databytecounts, strict=False))
    if len(places) < math.prod(page.chunked) or not math.prod(page.shape):
        return "TIFF page that lacks strips or tiles"
    if any(offset + size > file_size for offset, size in places):
        return "TIFF page that is cut"
    if page.is_final:
        return None
    if math.prod(page.chunks) * page.dtype.itemsize > _MAX_SEGMENT:
        return f"TIFF page in strips of over {_MAX_SEGMENT >> 20} MB: store it in tiles"
    return None


def _entries(file, number, page) -> Iterator[_Page]:
    """The page; all of them where ImageJ wrote a stack behind a single entry."""
    shape = (page.imagelength, page.imagewidth)
    if page.photometric.name in ("RGB", "YCBCR", "SEPARATED", "PALETTE"):
        shape = (*shape, 3)
    dtype = np.dtype(np.uint8) if _becomes_8_bit(page) else page.dtype
    count = 1
    if file.is_imagej and len(file.pages) == 1 and page.is_final:
        count = max(1, int((file.imagej_metadata or {}).get("images", 1)))
        if page.dataoffsets[0] + count * page.nbytes > file.filehandle.size:
            count = 1
    for index in range(count):
        yield _Page(number, index * page.nbytes, shape, dtype)


def _becomes_8_bit(page) -> bool:
    return page.photometric.name == "PALETTE" or (
        page.dtype.kind == "u" and page.bitspersample <= 8
    )


def _plane(file, found: _Page, index) -> planes.Plane:
    def blocks():
        page = file.pages[found.number]
        read_values = _rows if page.is_final else _segments
        for top, left, values in read_values(file, page, found.skipped):
            yield top, left, _colours(page, values)

    def finish(pixels):
        page = file.pages[found.number]
        if page.photometric.name == "MINISWHITE":
            pixels = 255 - pixels
        return planes.turned(pixels, page.tags.valueof(_ORIENTATION, default=1))

    return planes.Plane(found.shape, found.dtype, blocks, finish, index)


def _rows(file, page, skipped) -> Iterator[tuple[int, int, np.ndarray]]:
    """Bands [h, W, samples] of what is stored plainly, whatever its strips."""
    height, width = page.imagelength, page.imagewidth
    apart = page.samplesperpixel if page.planarconfig == 2 else 1
    together = page.samplesperpixel // apart
    dtype = page.dtype.newbyteorder(file.byteorder)
    row = width * together * dtype.itemsize
    rows = max(1, planes.BLOCK // row)
    for top in range(0, height, rows):
        count = min(rows, height - top)
        parts = []
        for sample in range(apart):
            start = page.dataoffsets[0] + skipped + (sample * height + top) * row
            file.filehandle.seek(start)
            data = np.frombuffer(file.filehandle.read(count * row), dtype)
            parts.append(data.reshape(count, width, together))
        yield top, 0, parts[0] if apart == 1 else np.concatenate(parts, axis=-1)


def _segments(file, page, _) -> Iterator[tuple[int, int, np.ndarray]]:
    """Tiles or strips [h, w, samples], decoded one by one."""
    apart = page.samplesperpixel if page.planarconfig == 2 else 1
    number = math.prod(page.chunked) // apart
    for index in range(number):
        parts = [
            _decoded(file, page, index + sample * number) for sample in range(apart)
        ]
        if any(values is None for _, values in parts):
            continue  # never written: stays black
        (_, _, top, left, _), _ = parts[0]
        values = np.concatenate([values[0] for _, values in parts], axis=-1)
        yield top, left, values[: page.imagelength - top, : page.imagewidth - left]


def _decoded(file, page, index):
    """(where in the page, values [1, h, w, samples] or None) of a tile or strip."""
    offset, size = page.dataoffsets[index], page.databytecounts[index]
    data = None
    if offset and size:
        file.filehandle.seek(offset)
        data = file.filehandle.read(size)
    values, place, _ = page.decode(
        data, index, jpegtables=page.jpegtables, jpegheader=page.jpegheader
    )
    return place, values


def _colours(page, values) -> np.ndarray:
    """[h, w] or RGB [h, w, 3] of the samples [h, w, s] of a page, alpha applied."""
    name = page.photometric.name
    count = _SAMPLES[name]
    colours = values[..., :count]
    if name == "PALETTE":
        return _palette(page.colormap)[colours[..., 0]]
    if colours.dtype == np.uint8 and page.bitspersample < 8:
        highest = 2**page.bitspersample - 1
        colours = (colours.astype(np.uint16) * 255 // highest).astype(np.uint8)
    if name == "SEPARATED":
        colours = _from_inks(colours)
    if name == "YCBCR" and page.compression not in _JPEG:
        colours = _from_luminance(colours)
    colours = colours[..., 0] if count == 1 else colours
    kinds = list(page.extrasamples)
    alpha = next((i for i, kind in enumerate(kinds) if kind in _ALPHA), None)
    if alpha is not None and kinds[alpha] == 2 and count + alpha < values.shape[-1]:
        return planes.over_black(colours, values[..., count + alpha])
    return colours


def _palette(colormap) -> np.ndarray:
    """uint8 [n, 3]; most files hold 16 bits, as they should, some hold 8."""
    colormap = np.asarray(colormap)
    shift = 8 if colormap.max() > 255 else 0
    return (colormap >> shift).astype(np.uint8).T


def _from_inks(values) -> np.ndarray:
    """RGB of cyan, magenta, yellow and black, without a colour profile."""
    highest = np.iinfo(values.dtype).max
    light = 1 - values.astype(np.float32) / highest
    return np.rint(light[..., :3] * light[..., 3:] * highest).astype(values.dtype)


def _from_luminance(values) -> np.ndarray:
    import PIL.Image

    height, width = values.shape[:2]
    raw = PIL.Image.frombytes("YCbCr", (width, height), values.tobytes())
    return np.asarray(raw.convert("RGB"))


def _thumbnail(pixels) -> tuple[float, np.ndarray]:
    """The aspect of an image, and its small grey copy of mean 0 and length 1."""
    import PIL.Image

    height, width = pixels.shape[:2]
    shape = (_THUMBNAIL, _THUMBNAIL)
    image = PIL.Image.fromarray(pixels).convert("L")
    small = np.asarray(image.resize(shape, PIL.Image.Resampling.BOX), np.float32)
    small -= small.mean()
    return width / height, small / max(float(np.linalg.norm(small)), 1e-6)


def _shows_same(one, other) -> bool:
    is_alike = abs(one[0] / other[0] - 1) < _ASPECT
    return is_alike and float((one[1] * other[1]).sum()) > _CORRELATION
