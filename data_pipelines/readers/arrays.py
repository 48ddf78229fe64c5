"""Which arrays of a file are images, and their slices."""

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from data_pipelines import slices
from data_pipelines.readers import planes

MEDMNIST = "train_images"  # independent images, or volumes, along its first axis
HELD_BACK = ("val_images", "test_images")  # of MedMNIST: to evaluate on
MAX_RATIO = 2000  # values over stored bytes; no compressed image reaches it
MAX_WHOLE = 2**28  # bytes that must be decoded at once
LIES = "array whose header claims more than the file holds"
# Arrays of the first of these names that occurs are read, where several could be
# images: those of fastMRI, of PatchCamelyon, and what most people call them.
_KNOWN = """
reconstruction_rss reconstruction_esc x image images imgs img data volume arr_0
"""
_NAMES = tuple(_KNOWN.split())
_TRUTH = "y mask masks label labels seg segmentation gt gts"
_LABELS = frozenset(_TRUTH.split())
_MIN_SIDE = 8  # pixels; what is shorter is a table


class Array(NamedTuple):
    """An array that is read a part at a time.

    Attributes:
      name: in its file; neither stored nor printed.
      shape, dtype: as the header says.
      rows: (place along the leading axes, start, stop) -> rows of the image there.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    rows: Callable[[tuple[int, ...], int, int], np.ndarray]


def read(arrays: Sequence[Array], context: slices.Context) -> Iterator[slices.Slice]:
    """Yields the slices of those arrays of one file that are images.

    Each array, or each volume of one with four axes, has one scale. The arrays of a
    file that has several, and the images of MedMNIST, have identities of their own.

    Raises:
      slices.SkippedError: as `chosen`.
    """
    found = chosen(arrays)
    for array in found:
        own = context
        if len(found) > 1:
            own = context._replace(identity=f"{context.identity} {array.name}")
        leading, shape = layout(array)
        volume = leading[-1] if leading else 1
        for start in range(0, math.prod(leading), volume):
            make = functools.partial(_plane, array, leading, shape, start)
            for piece in planes.read(planes.Many(volume, make), own):
                yield _apart(piece, leading) if array.name == MEDMNIST else piece


def _apart(piece: slices.Slice, leading) -> slices.Slice:
    """Of MedMNIST: an image of its own, or a slice of a volume of its own."""
    number, index = piece.index, None
    if len(leading) == 2:
        number, index = divmod(piece.index, leading[1])
    return piece._replace(identity=f"{piece.identity} {number}", index=index)


def chosen(arrays: Sequence[Array]) -> list[Array]:
    """The arrays that are images: all of the first known name, or the only one.

    Raises:
      slices.SkippedError: there is none, or one cannot tell.
    """
    images = [
        array for array in arrays if layout(array) and _last(array.name) not in _LABELS
    ]
    for name in (MEDMNIST, *_NAMES):
        named = [array for array in images if _last(array.name) == name]
        if named:
            return named
    if not images:
        raise slices.SkippedError(
            "no array of numbers with two to four axes in the shape of images"
        )
    if len(images) > 1:
        raise slices.SkippedError(
            f"{len(images)} arrays could be images and none is called "
            f"{', '.join(_NAMES)}"
        )
    return images


def _last(name: str) -> str:
    return name.rpartition("/")[2].lower()


def layout(array) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """(leading axes, shape of each image), or None where it cannot be images.

    [H, W], [H, W, 3]; [S, H, W] or [N, H, W, 3]; [N, D, H, W]. A last axis of 1 is
    dropped.
    """
    shape = array.shape
    if array.dtype.kind not in "buif" or not 2 <= len(shape) <= 4:
        return None
    colours = shape[-1:] if len(shape) > 2 and shape[-1] in (1, 3) else ()
    sides = shape[: len(shape) - len(colours)]
    if min(sides[-2:], default=0) < _MIN_SIDE or len(sides) < 2 or 0 in shape:
        return None
    return sides[:-2], sides[-2:] + (colours if colours == (3,) else ())


def _plane(array, leading, shape, start, number) -> planes.Plane:
    index = start + number
    place = tuple(int(each) for each in np.unravel_index(index, leading))
    height = shape[0]
    rows = max(1, planes.BLOCK // (math.prod(shape[1:]) * array.dtype.itemsize))

    def blocks():
        for top in range(0, height, rows):
            values = array.rows(place, top, min(top + rows, height))
            yield top, 0, values.reshape(-1, *shape[1:])

    return planes.Plane(shape, array.dtype, blocks, index=index if leading else None)
