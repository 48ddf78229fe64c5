"""One table: how the values of each modality become uint8."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

VERSION = 3  # raise it with any change that gives other pixels

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
    """Scales the parts of one volume, which may differ in shape, by one scale."""
    parts = [np.array(part, np.float32) for part in parts]  # copies: changed below
    low, high = _limits(parts, rule)
    return [_scaled(part, low, high) for part in parts]


def _limits(parts, rule) -> tuple[float, float]:
    if rule.low is not None and rule.high is not None:
        return rule.low, rule.high
    finite = np.concatenate([part[np.isfinite(part)] for part in parts])
    if not finite.size:
        return 0.0, 0.0
    low, high = np.percentile(finite, rule.percentiles)
    low = low if rule.low is None else rule.low
    if low >= high:  # nearly all values are one: keep what stands out
        low, high = finite.min(), finite.max()
    return float(low), float(high)


def _scaled(values, low, high) -> np.ndarray:
    if low == high:
        return np.zeros(values.shape, np.uint8)
    values[~np.isfinite(values)] = low
    np.clip(values, low, high, out=values)
    values -= low
    values *= 255 / (high - low)
    return np.rint(values, out=values).astype(np.uint8)
