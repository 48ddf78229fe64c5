"""Reads whole slides through OpenSlide: tiles of tissue, of a chosen side."""

import pathlib
from collections.abc import Iterator

import numpy as np

from data_pipelines import slices
from data_pipelines.readers import planes, slide_files

MAX_TILES = 1000  # of a slide, evenly over its tissue
_MASK = 8  # pixels along a tile that tissue is looked for with
_MAX_MASK = 4096  # pixels of the longest side of all of them
_MIN_TISSUE = 0.5  # of the area of a tile
_MIN_CHROMA = 15  # of 255; glass is grey up to the noise of the camera
_BLOCK = 1024  # pixels of a side that are asked of OpenSlide at a time
_MISSING = (
    "a whole slide: to read its tiles, pip install openslide-python openslide-bin"
)


def read(
    path: pathlib.Path, context: slices.Context
) -> Iterator[slices.Slice | slices.Skipped]:
    """Yields square tiles of tissue, on one grid from the upper left corner.

    Tissue is what has more colour than Otsu's threshold, and than 15 of 255, on a
    thumbnail; a tile is taken where half of it is tissue. Of more than `MAX_TILES`,
    evenly spread ones are taken. Pixels come from the coarsest level that has
    `context.size` of them along a tile, or from the finest. What was not scanned is
    white. Labels and overviews, which carry names, are never read.

    Args:
      path: a file of a format that OpenSlide reads.
      context: its `tile_microns` is the side of a tile.

    Raises:
      slices.SkippedError: OpenSlide is not installed, or the slide lacks tissue or the
        size of its pixels.
    """
    try:
        import openslide
    except ImportError:
        raise slices.SkippedError(_MISSING) from None
    with openslide.OpenSlide(path) as slide:
        microns = _microns(slide)
        side = tuple(context.tile_microns / each for each in microns)
        if min(side) < slices.MIN_SIDE:
            raise slices.SkippedError(
                f"a tile of {context.tile_microns:g} micrometres is under "
                f"{slices.MIN_SIDE} pixels of this slide"
            )
        inside, number = _with_tissue(slide, side)
        yield from _left_out(number - len(inside), "tile of a slide without tissue")
        kept = _spread(inside)
        yield from _left_out(
            len(inside) - len(kept), f"tile beyond the {MAX_TILES} of a slide"
        )
        for index, row, column in kept:
            corner = (round(row * side[0]), round(column * side[1]))
            plane, factor = _tile(slide, corner, side, context.size)
            yield from planes.read(
                [plane._replace(index=index)],
                context,
                modality="SM",
                spacing=(microns[0] * factor / 1000, microns[1] * factor / 1000),
            )


def _microns(slide) -> tuple[float, float]:
    """(row, column) micrometres of a pixel of the finest level."""
    found = []
    for axis in ("y", "x"):
        try:
            found.append(float(slide.properties[f"openslide.mpp-{axis}"]))
        except (KeyError, ValueError):
            raise slices.SkippedError(
                "a slide without the size of its pixels in micrometres (mpp)"
            ) from None
    least, most = slide_files.SCANS
    if not all(least <= each <= most for each in found):
        raise slices.SkippedError(
            f"a slide whose pixels are not {least:g} to {most:g} micrometres"
        )
    return found[0], found[1]


def _left_out(number: int, reason: str) -> Iterator[slices.Skipped]:
    return (slices.Skipped(0, reason) for _ in range(number))


def _spread(found: list) -> list:
    if len(found) <= MAX_TILES:
        return found
    return [found[len(found) * index // MAX_TILES] for index in range(MAX_TILES)]


def _with_tissue(slide, side) -> tuple[list[tuple[int, int, int]], int]:
    """(number, row, column) of tiles with tissue, in a grid of so many tiles.

    Args:
      slide: opened.
      side: (height, width) of a tile in pixels of the finest level.
    """
    width, height = slide.dimensions
    rows, columns = int(height / side[0]), int(width / side[1])
    if not rows * columns:
        raise slices.SkippedError("a slide smaller than a tile")
    is_tissue, pixel = _tissue(slide, side)
    sums = np.pad(is_tissue.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    tops = np.rint(np.arange(rows + 1) * side[0] / pixel).astype(int)
    lefts = np.rint(np.arange(columns + 1) * side[1] / pixel).astype(int)
    tops, lefts = tops.clip(max=len(is_tissue)), lefts.clip(max=is_tissue.shape[1])
    inside = np.diff(np.diff(sums[tops][:, lefts], axis=0), axis=1)
    areas = np.outer(np.diff(tops), np.diff(lefts))
    found = np.argwhere(inside >= _MIN_TISSUE * np.maximum(areas, 1))
    tiles = [(int(r) * columns + int(c), int(r), int(c)) for r, c in found]
    return tiles, rows * columns


def _tissue(slide, side) -> tuple[np.ndarray, float]:
    """Where a thumbnail shows tissue, and its pixel in pixels of the finest level."""
    from skimage import filters

    wanted = max(min(side) / _MASK, max(slide.dimensions) / _MAX_MASK, 1.0)
    level = _level(slide, wanted)
    scale = slide.level_downsamples[level]
    factor = max(1, int(wanted / scale))
    width, height = slide.level_dimensions[level]
    plane = _region(slide, level, (0, 0), (height, width))
    pixels = planes.averaged(plane, factor)
    chroma = pixels.max(axis=-1) - pixels.min(axis=-1)
    threshold = _MIN_CHROMA
    if chroma.min() < chroma.max():
        threshold = max(threshold, filters.threshold_otsu(chroma))
    return chroma > threshold, scale * factor


def _level(slide, downsample: float) -> int:
    """The coarsest level whose pixels are at least as fine as asked, else the finest.

    Scanners round: 4.0003 counts as 4.
    """
    fine = [
        level
        for level, each in enumerate(slide.level_downsamples)
        if each <= downsample * 1.01
    ]
    return max(fine, default=0)


def _tile(slide, corner, side, size) -> tuple[planes.Plane, float]:
    """A tile at the level that it is read from, and that level's downsample."""
    level = _level(slide, min(side) / size)
    factor = slide.level_downsamples[level]
    shape = (round(side[0] / factor), round(side[1] / factor))
    return _region(slide, level, corner, shape), factor


def _region(slide, level, corner, shape) -> planes.Plane:
    """A rectangle of a level, of any size.

    Args:
      slide: opened.
      level: its number.
      corner: (top, left) in pixels of the finest level.
      shape: (height, width) in pixels of this one.
    """
    factor = slide.level_downsamples[level]

    def blocks():
        for top in range(0, shape[0], _BLOCK):
            for left in range(0, shape[1], _BLOCK):
                place = (
                    corner[1] + round(left * factor),
                    corner[0] + round(top * factor),
                )
                size = (min(_BLOCK, shape[1] - left), min(_BLOCK, shape[0] - top))
                yield top, left, _over_white(slide.read_region(place, level, size))

    return planes.Plane((*shape, 3), np.dtype(np.uint8), blocks)


def _over_white(image) -> np.ndarray:
    values = np.asarray(image)
    colours, alpha = values[..., :3], values[..., 3:]
    if (alpha == 255).all():
        return colours
    share = alpha.astype(np.float32) / 255
    return np.rint(colours * share + 255 * (1 - share)).astype(np.uint8)
