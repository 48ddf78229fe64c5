"""Metrics of masks, of one class in one image at its own size; undefined is nan."""

import numpy as np
from scipy import ndimage


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
    found = _distances(truth == label, prediction == label, spacing)
    if found is None:
        return np.nan
    return float(max(np.percentile(each, 95) for each in found))


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
    truth, prediction = truth == label, prediction == label
    found = _distances(truth, prediction, spacing)
    if found is None:
        return 0.0 if truth.any() or prediction.any() else np.nan
    near = sum((each <= tolerance).sum() for each in found)
    return float(near / sum(map(len, found)))


def _distances(truth, prediction, spacing) -> tuple[np.ndarray, np.ndarray] | None:
    """Of each border's pixels to the other border; None where one mask is empty."""
    if not truth.any() or not prediction.any():
        return None
    where = ndimage.find_objects((truth | prediction).astype(np.int8))[0]
    borders = [_border(mask[where]) for mask in (truth, prediction)]
    away = [
        ndimage.distance_transform_edt(~border, sampling=spacing) for border in borders
    ]
    return away[1][borders[0]], away[0][borders[1]]


def _border(mask: np.ndarray) -> np.ndarray:
    return mask & ~ndimage.binary_erosion(mask)
