"""Reads TIFF and BigTIFF files: pages, not the smaller copies of them."""

import math
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from data_pipelines import slices
from data_pipelines.readers import planes, slide_files, tiff_values, whole_slides

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # TIFF, BigTIFF
_MAX_SEGMENT = 2**28  # bytes of a strip or tile, once decoded
_REDUCED, _MASK = 1, 4  # bits of NewSubfileType
# of two pages, reduced to so many pixels a side, that show the same
_THUMBNAIL = 32
_CORRELATION = 0.98
_ASPECT = 0.02  # relative difference of the aspects of a page and its copy
_ORIENTATION = 274


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
        if not slide_files.is_slide(file):
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
    if page.samplesperpixel < tiff_values.SAMPLES.get(name, math.inf):
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
        is_whole = page.dataoffsets[0] + page.nbytes <= file_size
        return None if is_whole else "TIFF page that is cut"
    if math.prod(page.chunks) * page.dtype.itemsize > _MAX_SEGMENT:
        return f"TIFF page in strips of over {_MAX_SEGMENT >> 20} MB: store it in tiles"
    return None


def _entries(file, number, page) -> Iterator[_Page]:
    """The page; all of them where ImageJ wrote a stack behind a single entry."""
    shape = (page.imagelength, page.imagewidth)
    if page.photometric.name in ("RGB", "YCBCR", "SEPARATED", "PALETTE"):
        shape = (*shape, 3)
    is_palette = page.photometric.name == "PALETTE"
    dtype = np.dtype(np.uint8) if is_palette else page.dtype
    count = 1
    if file.is_imagej and len(file.pages) == 1 and page.is_final:
        count = max(1, int((file.imagej_metadata or {}).get("images", 1)))
        if page.dataoffsets[0] + count * page.nbytes > file.filehandle.size:
            count = 1
    for index in range(count):
        yield _Page(number, index * page.nbytes, shape, dtype)


def _plane(file, found: _Page, index) -> planes.Plane:
    def blocks():
        return tiff_values.blocks(file, file.pages[found.number], found.skipped)

    def finish(pixels):
        page = file.pages[found.number]
        if page.photometric.name == "MINISWHITE":
            pixels = 255 - pixels
        return planes.turned(pixels, page.tags.valueof(_ORIENTATION, default=1))

    return planes.Plane(found.shape, found.dtype, blocks, finish, index)


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
