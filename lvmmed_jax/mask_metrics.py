"""Metrics of masks, of one class in one image at its own size; undefined is nan."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage, spatial


def dice(truth: np.ndarray, prediction: np.ndarray, label: int) -> float:
    """2 |A and B| / (|A| + |B|): 1 where both are empty, 0 where one is.

    Args:
      truth: classes, [H, W] or [D, H, W].
      prediction: likewise.
      label: the class.
    """
    truth, prediction = truth == label, prediction == label
    total = truth.sum() + prediction.sum()
    return 1.0 if total == 0 else float(2 * (truth & prediction).sum() / total)


def iou(truth: np.ndarray, prediction: np.ndarray, label: int) -> float:
    """|A and B| / |A or B|; otherwise as `dice`."""
    truth, prediction = truth == label, prediction == label
    union = (truth | prediction).sum()
    return 1.0 if union == 0 else float((truth & prediction).sum() / union)


def hausdorff95(
    truth: np.ndarray,
    prediction: np.ndarray,
    label: int,
    spacing: tuple[float, ...] | None = None,
) -> float:
    """The larger of the two 95th percentiles of distances from border to border.

    A border is what a mask loses when it is eroded by a cross, the image's edge being
    background; percentiles are linear between values. nan where one mask or both are
    empty: there is no distance then.

    Args:
      truth: classes, [H, W] or [D, H, W].
      prediction: likewise.
      label: the class.
      spacing: of pixels, an axis each; None: 1, so that the distance is in pixels.
    """
    return _hausdorff95(_compared(truth, prediction, label, spacing))


def surface_dice(
    truth: np.ndarray,
    prediction: np.ndarray,
    label: int,
    tolerance: float = 1.0,
    spacing: tuple[float, ...] | None = None,
) -> float:
    """The share of both borders that lies within `tolerance` of the other.

    Reference: Nikolov et al. 2021, with borders of pixels as in `hausdorff95`. 0 where
    one mask is empty, nan where both are.

    Args:
      truth: classes, [H, W] or [D, H, W].
      prediction: likewise.
      label: the class.
      tolerance: in pixels, or in the unit of `spacing`.
      spacing: see `hausdorff95`.
    """
    return _surface_dice(_compared(truth, prediction, label, spacing), tolerance)


METRICS = {
    "dice": dice,
    "iou": iou,
    "hd95": hausdorff95,
    "surface_dice": surface_dice,
}


def measure(
    truth: np.ndarray, prediction: np.ndarray, label: int, names: Sequence[str]
) -> list[float]:
    """Some of `METRICS` of one class, by name; distances are looked for once."""
    borders = {"hd95": _hausdorff95, "surface_dice": _surface_dice}
    found = None
    if not borders.keys().isdisjoint(names):
        found = _compared(truth, prediction, label, None)
    return [
        borders[name](found)
        if name in borders
        else METRICS[name](truth, prediction, label)
        for name in names
    ]


class _Borders(NamedTuple):
    """Two masks' borders.

    Attributes:
      distances: of each border's pixels to the other border; None where a mask is
        empty.
      any_mask: whether one of them holds anything.
    """

    distances: tuple[np.ndarray, np.ndarray] | None
    any_mask: bool


def _hausdorff95(borders: _Borders) -> float:
    if borders.distances is None:
        return np.nan
    return float(max(np.percentile(each, 95) for each in borders.distances))


def _surface_dice(borders: _Borders, tolerance: float = 1.0) -> float:
    if borders.distances is None:
        return 0.0 if borders.any_mask else np.nan
    near = sum((each <= tolerance).sum() for each in borders.distances)
    return float(near / sum(map(len, borders.distances)))


def _compared(truth, prediction, label, spacing) -> _Borders:
    masks = [truth == label, prediction == label]
    if not all(mask.any() for mask in masks):
        return _Borders(None, any(mask.any() for mask in masks))
    where = ndimage.find_objects((masks[0] | masks[1]).astype(np.int8))[0]
    scale = np.ones(truth.ndim) if spacing is None else np.array(spacing)
    first, other = (np.argwhere(_border(mask[where])) * scale for mask in masks)
    pair = (_to_nearest(first, other), _to_nearest(other, first))
    return _Borders(pair, True)


def _to_nearest(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    # a border is thin: its pixels are far fewer than those of a distance map
    return spatial.KDTree(others).query(points)[0]


def _border(mask: np.ndarray) -> np.ndarray:
    return mask & ~ndimage.binary_erosion(mask)
