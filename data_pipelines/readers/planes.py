"""Planes that may not fit into memory -> uint8 slices, in one scale for all of them."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from data_pipelines import intensity, slices

LARGE = 2**25  # values; a plane of more is averaged down while it is read
BLOCK = 2**24  # bytes that a reader takes of a file at a time, where it can choose
_SAMPLES = 2**23  # values; percentiles of more are taken from a grid of about as many


def _unchanged(pixels: np.ndarray) -> np.ndarray:
    return pixels


class Plane(NamedTuple):
    """One image of a file, which is read block by block and only when it is needed.

    Attributes:
      shape: (H, W) of a grey image or (H, W, 3) of RGB.
      dtype: uint8 is kept as it is, bool is black and white, all else is scaled.
      blocks: gives (top, left, values [h, w] or [h, w, 3]) that cover the image once;
        may be called again.
      finish: applied to the uint8 image at the end, such as a rotation.
      index: number of the image in its volume, or None.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    blocks: Callable[[], Iterator[tuple[int, int, np.ndarray]]]
    finish: Callable[[np.ndarray], np.ndarray] = _unchanged
    index: int | None = None


@dataclasses.dataclass(frozen=True)
class Many:
    """`count` planes, each made when it is asked for: there may be millions."""

    count: int
    plane: Callable[[int], Plane]

    def __len__(self) -> int:
        """How many there are."""
        return self.count

    def __iter__(self) -> Iterator[Plane]:
        """Makes one after the other."""
        return map(self.plane, range(self.count))


def whole(values: np.ndarray, **fields) -> Plane:
    """A plane that is in memory already."""
    return Plane(values.shape, values.dtype, lambda: iter([(0, 0, values)]), **fields)


def read(
    planes: Sequence[Plane] | Many,
    context: slices.Context,
    *,
    modality: str | None = None,
    spacing: tuple[float, float] | None = None,
) -> Iterator[slices.Slice]:
    """Yields the planes of one volume as slices.

    Values that are neither 8-bit nor black and white share the limits of one rule of
    `intensity`: percentiles of all values of all planes, or of a grid of them where
    there are more than 2**23. A plane of more than 2**25 values is averaged down over
    squares as it is read, after it was scaled, by the smallest whole factor that brings
    it under 2**25 values and leaves its longest side at `context.size` or more.

    Args:
      planes: of one file; each may be read twice.
      context: what the user says of the file.
      modality: of the format, where the user says none.
      spacing: (row, column) in mm of the planes as stored, or None.
    """
    modality = slices.modality_of(context.modality, modality)
    rule = intensity.rule_for(modality=modality, organ=None, hounsfield=False)
    planes = _held(planes)
    rule = _with_limits(rule, planes)
    for plane in planes:
        factor = factor_of(plane.shape, context.size)
        pixels = plane.finish(averaged(plane, factor, rule))
        yield slices.Slice(
            pixels=slices.grey_where_equal(pixels),
            modality=modality,
            organ=None,
            spacing=spacing and (spacing[0] * factor, spacing[1] * factor),
            identity=context.identity,
            index=plane.index,
            intensity_rule=intensity.UNTOUCHED if _is_8_bit(plane) else rule.name,
        )


def factor_of(shape: Sequence[int], size: int) -> int:
    """How many pixels, along each side, are averaged into one; see `read`."""
    needed = math.ceil(math.sqrt(math.prod(shape) / LARGE))
    return max(1, min(needed, max(shape[:2]) // size))


def averaged(
    plane: Plane, factor: int, rule: intensity.Rule | None = None
) -> np.ndarray:
    """The uint8 values of a plane, each the mean of a square of `factor` pixels.

    Args:
      plane: any; what lies beyond its edge has no part in the mean.
      factor: pixels, at least 1.
      rule: with limits; scales what is not 8-bit.
    """
    height, width, *colours = plane.shape
    if factor == 1:
        pixels = np.zeros(plane.shape, np.uint8)
        for top, left, values in plane.blocks():
            rows, columns = values.shape[:2]
            pixels[top : top + rows, left : left + columns] = _to_uint8(values, rule)
        return pixels
    small = (math.ceil(height / factor), math.ceil(width / factor), *colours)
    sums = np.zeros(small, np.float32)
    for top, left, values in plane.blocks():
        _add(sums, _to_uint8(values, rule), top, left, factor)
    for axis, side in enumerate((height, width)):
        ends = np.minimum(np.arange(1, small[axis] + 1) * factor, side)
        counts = np.diff(ends, prepend=0).astype(np.float32)
        sums /= counts.reshape([-1 if axis == i else 1 for i in range(sums.ndim)])
    return np.rint(sums, out=sums).astype(np.uint8)


def over_black(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """What is seen of an image with transparency before black; the same type.

    What its author made invisible stays so: it may be a name.

    Args:
      colours: [H, W] or [H, W, C], not multiplied by alpha yet.
      alpha: [H, W] of the same type; the highest integer, or 1.0, is opaque.
    """
    opaque = np.iinfo(alpha.dtype).max if alpha.dtype.kind in "iu" else 1
    if (alpha == opaque).all():
        return colours
    share = alpha.astype(np.float32) / opaque
    product = colours * (share if colours.ndim == 2 else share[..., None])
    return (np.rint(product) if opaque != 1 else product).astype(colours.dtype)


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """An image as it is to be shown, by the orientation of EXIF and TIFF (1 to 8)."""
    if orientation in (5, 6, 7, 8):  # stored column by column
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _is_8_bit(plane) -> bool:
    return plane.dtype in (np.uint8, np.bool_)


def _held(planes) -> Sequence[Plane] | Many:
    """Small planes that must be read twice are decoded once."""
    count = sum(math.prod(plane.shape) for plane in planes)
    if count > _SAMPLES or all(map(_is_8_bit, planes)):
        return planes
    blocks = [list(plane.blocks()) for plane in planes]
    return [
        plane._replace(blocks=each.__iter__)
        for plane, each in zip(planes, blocks, strict=True)
    ]


def _with_limits(rule, planes) -> intensity.Rule:
    """The rule with limits from a grid of the planes' values, and from extremes."""
    count = sum(math.prod(plane.shape) for plane in planes if not _is_8_bit(plane))
    if not count:
        return rule
    step = max(1, math.isqrt(count // _SAMPLES))
    sample, low, high = [], np.inf, -np.inf
    for plane in planes:
        for top, left, values in () if _is_8_bit(plane) else plane.blocks():
            sample.append(_sampled(values[-top % step :: step, -left % step :: step]))
            if step > 1:
                low, high = _extremes(values, low, high)
    return intensity.with_limits(rule, [*sample, np.array([low, high])])


def _extremes(values, low, high) -> tuple[float, float]:
    """What stands out between the points of the grid counts where all else is equal."""
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    if not finite.size:
        return low, high
    return min(low, float(finite.min())), max(high, float(finite.max()))


def _sampled(values) -> np.ndarray:
    return np.array(values, np.float32).ravel()  # a copy: the block can go


def _to_uint8(values, rule) -> np.ndarray:
    if values.dtype == np.uint8:
        return values
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * 255
    return intensity.to_uint8(values, rule)


def _add(sums, values, top, left, factor) -> None:
    """Adds a block, wherever it lies, to the sums over squares of `factor` pixels."""
    places = []
    for axis, start in enumerate((top, left)):
        first = start // factor
        values = _summed(values, start % factor, factor, axis)
        places.append(slice(first, first + values.shape[axis]))
    sums[tuple(places)] += values


def _summed(values, begin: int, factor: int, axis: int) -> np.ndarray:
    """float32 sums over each `factor` places of an axis, the first of which is `begin`.

    One strided addition for each place within a square: reduceat takes ten times as
    long.
    """
    values = values.swapaxes(0, axis)
    count = -(-(begin + len(values)) // factor)
    padded = np.zeros((count * factor, *values.shape[1:]), np.float32)
    padded[begin : begin + len(values)] = values
    total = padded[::factor].copy()
    for place in range(1, factor):
        total += padded[place::factor]
    return total.swapaxes(0, axis)
