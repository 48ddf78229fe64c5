"""What the stored numbers of masks mean: classes, instances, or black and white."""

import collections
import hashlib
import pathlib
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from data_pipelines import slices

_FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF")  # Pillow opens no other
MAX_CLASSES = 32  # more distinct values are not class numbers
_THRESHOLD = 127  # of black and white in 8 bits
# values between black and white; a halo of a lossy encoding rarely holds any
_BETWEEN = range(50, 206)
_MOST_BETWEEN = 0.1  # share of the pixels
_MOST_CHROMA = 32  # between the channels of a lossy grey picture
_MOST_VALUES = 4096  # of one mask that are told apart
FOREGROUND = ("background", "foreground")  # the names where one class is told
COLOUR = "is a colour picture, not a mask"
GREY = "is a JPEG of many greys, not a mask of black and white"
HALOS = "mask with halos, cut at 127"


class Stored(NamedTuple):
    """A mask as it was stored.

    Attributes:
      values: int32 [H, W].
      two_sided: 0 and 1 by themselves: instances, lossy black and white, one bit.
    """

    values: np.ndarray
    two_sided: bool


class Facts(NamedTuple):
    """What is kept of a mask while the others are read.

    Attributes:
      two_sided: see `Stored`.
      counts: how often each value is.
      content: SHA-256 of shape and values.
    """

    two_sided: bool
    counts: dict[int, int]
    content: bytes


class Meaning(NamedTuple):
    """What the values of all masks of a data set mean.

    Attributes:
      values: that are classes 1, 2, ...; all masks have these and 0 only.
      names: of the classes, background first.
      threshold: values above it are class 1 and nothing else counts; or None.
    """

    values: tuple[int, ...]
    names: tuple[str, ...]
    threshold: int | None = None


def read(path: pathlib.Path) -> Stored:
    """A 2-D mask.

    Of more than 8 bits, or floats, values count instances: 1 for any. A JPEG holds
    no exact value: it is black and white, cut at 127. A palette of colours holds
    class numbers; one of greys is a grey picture.

    Raises:
      slices.SkippedError: it is a colour picture, or a JPEG of many greys.
    """
    import PIL.Image

    with PIL.Image.open(path, formats=_FORMATS) as picture:
        if picture.mode in ("P", "PA"):
            picture = _grey_of_palette(picture)
        is_lossy = picture.format == "JPEG"
        values = np.asarray(picture)
    if values.ndim == 3:
        is_grey = values.shape[2] == 2
        values = values[..., 0] if is_grey else slices.grey_where_equal(values[..., :3])
    if values.ndim != 2:
        if not is_lossy or np.ptp(values.astype(np.int16), axis=2).max() > _MOST_CHROMA:
            raise slices.SkippedError(COLOUR)
        values = values[..., 1]  # a lossy grey picture; green is nearest its brightness
    if is_lossy:
        between = (values >= _BETWEEN.start) & (values < _BETWEEN.stop)
        if between.mean() > _MOST_BETWEEN:
            raise slices.SkippedError(GREY)
        return Stored((values > _THRESHOLD).astype(np.int32), True)
    if values.dtype == bool or values.dtype.itemsize > 1:
        return Stored((values > 0).astype(np.int32), True)
    return Stored(values.astype(np.int32), False)


def _grey_of_palette(picture):
    """The picture's greys where its palette has no colour, else it as it is."""
    colours = np.array(picture.getpalette("RGB"), np.uint8).reshape(-1, 3)
    used = colours[[index for _, index in picture.convert("P").getcolors()]]
    return picture.convert("L") if (used == used[:, :1]).all() else picture


def facts(stored: Stored) -> Facts:
    """How often each value is in a mask.

    Raises:
      slices.SkippedError: it has too many to be a mask.
    """
    values, times = np.unique(stored.values, return_counts=True)
    if len(values) > _MOST_VALUES:
        raise slices.SkippedError(f"has over {_MOST_VALUES} values: no mask")
    counts = dict(zip(values.tolist(), times.tolist(), strict=True))
    digest = hashlib.sha256(repr(stored.values.shape).encode())
    digest.update(np.ascontiguousarray(stored.values))
    return Facts(stored.two_sided, counts, digest.digest())


def meaning(all_facts: Iterable[Facts], where: str) -> Meaning:
    """What the values of a data set's masks mean.

    One value beside 0 is the foreground, whether stored as 1 or as 255, and also where
    some files have the one and some the other. Up to 32 are classes, numbered from 1
    in order. More are black and white with halos where nearly all pixels of each mask
    are near 0 or 255: cut at 127.

    Args:
      all_facts: of every mask.
      where: names the data set in messages.

    Raises:
      ValueError: too many values, or masks of classes beside black and white ones.
    """
    total, two_sided, sets, halos = collections.Counter(), False, set(), True
    for each in all_facts:
        two_sided = two_sided or each.two_sided
        if not each.two_sided:
            total.update(each.counts)
            sets.add(frozenset(each.counts.keys() - {0}))
            halos = halos and _may_have_halos(each.counts)
    values = tuple(sorted(total.keys() - {0}))
    if len(values) > MAX_CLASSES and halos:
        return Meaning((1,), FOREGROUND, _THRESHOLD)
    if len(values) > MAX_CLASSES:
        raise ValueError(
            f"{where}: {len(values)} values in 8-bit masks; at most {MAX_CLASSES} "
            "classes; instances are stored in 16 bits"
        )
    apart = values == (1, 255) and all(len(each) < 2 for each in sets)
    if len(values) < 2 or apart:
        return Meaning((1,), FOREGROUND, 0)
    if two_sided:
        raise ValueError(
            f"{where}: some masks have {len(values)} classes, others are black and "
            "white or count instances in 16 bits; store all in one way"
        )
    return Meaning(values, ("background", *(str(value) for value in values)))


def _may_have_halos(total: dict[int, int]) -> bool:
    """Whether nearly all of one mask is near black or white."""
    between = sum(total.get(value, 0) for value in _BETWEEN)
    fits = min(total) >= 0 and max(total) <= 255
    return fits and between <= _MOST_BETWEEN * sum(total.values())


def numbered(stored: Stored, found: Meaning) -> np.ndarray:
    """int32 [H, W], indices of `found.names`.

    Raises:
      ValueError: the mask has a value that none of the data set had before.
    """
    if stored.two_sided:
        return stored.values
    if found.threshold is not None:
        return (stored.values > found.threshold).astype(np.int32)
    known = np.array([0, *found.values])
    order = np.argsort(known)
    place = np.searchsorted(known[order], stored.values)
    index = order[np.minimum(place, len(known) - 1)]
    if not np.array_equal(known[index], stored.values):
        raise ValueError("a mask has other values than when it was first read")
    return index.astype(np.int32)
