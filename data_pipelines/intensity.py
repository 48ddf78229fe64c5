"""One table: how the values of each modality become uint8."""

from typing import NamedTuple

import numpy as np

VERSION = 1  # raise it with any change that gives other pixels

UNTOUCHED = "8bit"  # values that were made for a screen: kept as they are
PERCENTILES = (1.0, 99.0)  # of the whole volume or file, never of one slice


class Rule(NamedTuple):
    """A row: values from `low` to `high` become 0 to 255; None means a percentile."""

    name: str
    low: float | None
    high: float | None


# CT windows in Hounsfield units: (centre - width / 2, centre + width / 2)
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
_PERCENTILE = Rule("percentile_1_99", None, None)


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
    return _PERCENTILE


def to_uint8(values: np.ndarray, rule: Rule) -> np.ndarray:
    """Scales a whole volume, series file or image by one rule.

    Args:
      values: any shape, any real type; not-a-number counts as the lowest value.
      rule: a row of the table.

    Returns:
      uint8 of the same shape; all 0 where `values` are constant.
    """
    values = np.array(values, np.float32)  # a copy: changed in place below
    finite = np.isfinite(values)
    if not finite.all():
        values[~finite] = values[finite].min() if finite.any() else 0
    low, high = rule.low, rule.high
    if low is None:
        low, high = np.percentile(values, PERCENTILES)
        if low == high:  # nearly all values are one: keep what stands out
            low, high = values.min(), values.max()
    if low == high:
        return np.zeros(values.shape, np.uint8)
    np.clip(values, low, high, out=values)
    values -= low
    values *= 255 / (high - low)
    return np.rint(values, out=values).astype(np.uint8)
