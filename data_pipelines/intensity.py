"""One table: how the values of each modality become uint8."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

VERSION = 3  # raise it with any change that gives other pixels

_SLAB = 2**22  # values that are turned into floats at a time
_LARGEST = 1e38  # the difference of two values is still a float32

UNTOUCHED = "8bit"  # values that were made for a screen: kept as they are


class Rule(NamedTuple):
    """A row: values from `low` to `high` become 0 to 255.

    Attributes:
      name: stored with each record.
      low, high: in the unit of the values; None takes the percentile.
      percentiles: of the whole volume, series or file, never of one slice of it.
    """

    name: str
    low: float | None
    high: float | None
    percentiles: tuple[float, float] = (1.0, 99.0)


# CT windows in Hounsfield units: (centre - width / 2, centre + width / 2). Width and
# centre of soft tissue, brain and bone are those of MedSAM (Ma et al. 2024).
_SOFT_TISSUE = Rule("ct_soft_tissue", -160.0, 240.0)
_BRAIN = Rule("ct_brain", 0.0, 80.0)
_CHEST = Rule("ct_chest", -1000.0, 400.0)  # one window that keeps lung and mediastinum
_BONE = Rule("ct_bone", -500.0, 1300.0)
_CT_WINDOWS = {
    "BRAIN": _BRAIN,
    "HEAD": _BRAIN,
    "CHEST": _CHEST,
    "LUNG": _CHEST,
    **dict.fromkeys(("SPINE", "CSPINE", "TSPINE", "LSPINE", "CTSPINE"), _BONE),
    **dict.fromkeys(("EXTREMITY", "SKULL", "JAW", "FOOT", "HAND", "KNEE"), _BONE),
}
# MR, radiographs, 16-bit microscopy: no unit that two devices share
_PERCENTILE = Rule("percentile_1_99", None, None)
# counts and activity begin at 0; what is seen is small and bright
_EMISSION = Rule("zero_to_percentile_99.9", 0.0, None, (0.0, 99.9))


def rule_for(*, modality: str, organ: str | None, hounsfield: bool) -> Rule:
    """The row for values that are not 8-bit.

    Args:
      modality: one of `slices.MODALITIES`.
      organ: one of `slices.ORGANS`, or None; chooses the window of CT.
      hounsfield: whether CT values are known to be in Hounsfield units; a 16-bit PNG
        cannot hold them, so it takes percentiles.
    """
    if modality == "CT" and hounsfield:
        return _CT_WINDOWS.get(organ, _SOFT_TISSUE)
    return _EMISSION if modality in ("PT", "NM") else _PERCENTILE


def to_uint8(values: np.ndarray, rule: Rule) -> np.ndarray:
    """Scales a whole volume or image by one rule.

    Args:
      values: any shape, any real type; what is not finite (padding is made so) counts
        as the lowest value and has no part in percentiles.
      rule: a row of the table.

    Returns:
      uint8 of the same shape; all 0 where `values` are constant.
    """
    (scaled,) = all_to_uint8([values], rule)
    return scaled


def with_limits(rule: Rule, parts: Sequence[np.ndarray]) -> Rule:
    """The rule with the limits that it takes in `parts`: a sample of what is scaled."""
    low, high = _limits([np.asarray(part, np.float32) for part in parts], rule)
    return rule._replace(low=low, high=high)


def all_to_uint8(parts: Sequence[np.ndarray], rule: Rule) -> list[np.ndarray]:
    """Scales the parts of one volume, which may differ in shape, by one scale.

    Takes little memory beside the parts and the results: where a percentile is asked
    for of other values than integers of 8 or 16 bits, one float32 copy.
    """
    low, high = _limits(parts, rule)
    return [_scaled(part, low, high) for part in parts]


def _limits(parts, rule) -> tuple[float, float]:
    if rule.low is not None and rule.high is not None:
        return rule.low, rule.high
    narrow = all(part.dtype.kind in "iu" and part.itemsize <= 2 for part in parts)
    measure = _percentiles_of_counts if narrow else _percentiles_of_floats
    found = measure(parts, rule.percentiles)
    if found is None:
        return 0.0, 0.0
    (low, high), ends = found
    low = low if rule.low is None else rule.low
    if low >= high:  # nearly all values are one: keep what stands out
        low, high = ends
    return float(low), float(high)


def _percentiles_of_counts(parts, percentiles):
    """((low, high), (minimum, maximum)) of integers: exact, from a histogram."""
    counts = np.zeros(2**17, np.int64)
    zero = 2**15  # place of the value 0
    for part in parts:
        for slab in slabs(part):
            places = part[slab].astype(np.int32).ravel() + zero
            counts += np.bincount(places, minlength=len(counts))
    (levels,) = np.nonzero(counts)
    if not levels.size:
        return None
    sums = np.cumsum(counts[levels])
    # numpy.percentile: between the values at the places beside a fractional one
    places = np.array(percentiles) / 100 * (sums[-1] - 1)
    below = np.floor(places).astype(np.int64)
    lower, upper = (
        levels[np.searchsorted(sums, np.minimum(each, sums[-1] - 1), side="right")]
        for each in (below, below + 1)
    )
    low, high = lower + (places - below) * (upper - lower) - zero
    return (low, high), (levels[0] - zero, levels[-1] - zero)


def _percentiles_of_floats(parts, percentiles):
    """The same of any real values; those that are not finite have no part."""
    finite = np.empty(sum(part.size for part in parts), np.float32)
    count = 0
    for part in parts:
        for slab in slabs(part):
            values = _float32(part[slab])
            values = values[np.isfinite(values)]
            finite[count : count + values.size] = values
            count += values.size
    finite = finite[:count]
    if not count:
        return None
    ends = finite.min(), finite.max()
    return np.percentile(finite, percentiles, overwrite_input=True), ends


def _scaled(values, low, high) -> np.ndarray:
    scaled = np.zeros_like(values, np.uint8, subok=False)
    if low == high:
        return scaled
    for slab in slabs(values):
        part = _float32(values[slab])
        part[~np.isfinite(part)] = low
        np.clip(part, low, high, out=part)
        part -= low
        part *= 255 / (high - low)
        scaled[slab] = np.rint(part, out=part)
    return scaled


def _float32(values) -> np.ndarray:
    """A copy; what is too large to subtract in float32 is not finite."""
    with np.errstate(over="ignore"):
        copy = np.array(values, np.float32)
    copy[np.abs(copy) > _LARGEST] = np.inf
    return copy


def slabs(values) -> Iterator[tuple[slice, ...]]:
    """Indices that make up an array, in parts as they lie in memory."""
    if values.size <= _SLAB:
        yield (...,)
        return
    axis = int(np.argmax(np.abs(values.strides)))
    length = values.shape[axis]
    step = max(1, _SLAB * length // values.size)
    for start in range(0, length, step):
        yield (slice(None),) * axis + (slice(start, start + step),)
