"""Metrics of classes, each with one definition here; what is undefined is nan.

Classes are numbers from 0, probabilities [n, K]. A class that no test image has is
absent: per-class values are nan for it, and means are over those that are there.
"""

import numpy as np

_NUM_BINS = 15  # of the calibration error (Guo et al. 2017)


def accuracy(truth: np.ndarray, prediction: np.ndarray) -> float:
    """The share of images whose class is right; of labels [n, K], of all labels."""
    return float(np.mean(truth == prediction)) if truth.size else np.nan


def recalls(truth: np.ndarray, prediction: np.ndarray, num_classes: int) -> np.ndarray:
    """[K]: the share of each class's images that were found."""
    table = confusion(truth, prediction, num_classes)
    return _divide(np.diagonal(table), table.sum(axis=1))


def balanced_accuracy(
    truth: np.ndarray, prediction: np.ndarray, num_classes: int
) -> float:
    """The mean of the recalls of the classes that are there."""
    return mean_of_defined(recalls(truth, prediction, num_classes))


def f1_scores(
    truth: np.ndarray, prediction: np.ndarray, num_classes: int
) -> np.ndarray:
    """[K]: 2 TP / (2 TP + FP + FN) of each class."""
    table = confusion(truth, prediction, num_classes)
    right, is_there = np.diagonal(table), table.sum(axis=1) > 0
    values = _divide(2.0 * right, table.sum(axis=0) + table.sum(axis=1))
    return np.where(is_there, values, np.nan)


def aucs(truth: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """[K]: the area under the ROC curve of each class against all others.

    The chance that an image of the class has a higher probability than another; ties
    count half. nan where all images or none are of the class.

    Args:
      truth: [n] classes, or [n, K] of 0 and 1.
      probabilities: [n, K].
    """
    num_classes = probabilities.shape[1]
    if truth.ndim == 1:
        truth = truth[:, None] == np.arange(num_classes)
    return np.array(
        [_auc(truth[:, k] > 0.5, probabilities[:, k]) for k in range(num_classes)]
    )


def quadratic_kappa(
    truth: np.ndarray, prediction: np.ndarray, num_classes: int
) -> float:
    """Cohen's kappa with squared distances of grades as weights (Cohen 1968).

    nan where truth and prediction are one and the same grade in all images.
    """
    table = confusion(truth, prediction, num_classes).astype(np.float64)
    grades = np.arange(num_classes)
    weights = (grades[:, None] - grades[None, :]) ** 2.0
    by_chance = np.outer(table.sum(axis=1), table.sum(axis=0)) / max(table.sum(), 1)
    expected = (weights * by_chance).sum()
    return float(1 - (weights * table).sum() / expected) if expected else np.nan


def calibration_error(truth: np.ndarray, probabilities: np.ndarray) -> float:
    """How far confidence is from accuracy, in 15 equal bins (Guo et al. 2017, Eq. 3).

    Confidence is the highest probability of an image; of labels, each label is an
    event of its own, and its probability the confidence that it is there.

    Args:
      truth: [n] classes, or [n, K] of 0 and 1.
      probabilities: [n, K].
    """
    if truth.ndim == 1:
        right = probabilities.argmax(axis=1) == truth
        confidence = probabilities.max(axis=1)
    else:
        right, confidence = truth.ravel() > 0.5, probabilities.ravel()
    if not len(confidence):
        return np.nan
    edges = np.arange(1, _NUM_BINS) / _NUM_BINS  # of bins closed above
    bins = np.searchsorted(edges, confidence)
    gaps = np.bincount(bins, right - confidence, _NUM_BINS)
    return float(np.abs(gaps).sum() / len(confidence))


def confusion(
    truth: np.ndarray, prediction: np.ndarray, num_classes: int
) -> np.ndarray:
    """[K, K] how often each class (row) was called each class (column)."""
    pairs = truth.astype(int) * num_classes + prediction.astype(int)
    counts = np.bincount(pairs, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)


def mean_of_defined(values: np.ndarray) -> float:
    """The mean of what is not nan; nan where nothing is."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else np.nan


def _auc(is_class: np.ndarray, scores: np.ndarray) -> float:
    """By the sum of ranks (Mann and Whitney 1947)."""
    num_class, num_other = is_class.sum(), (~is_class).sum()
    if not num_class or not num_other:
        return np.nan
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2
    total = ranks[place][is_class].sum()
    return float((total - num_class * (num_class + 1) / 2) / (num_class * num_other))


def _divide(values: np.ndarray, by: np.ndarray) -> np.ndarray:
    """nan where it is by 0."""
    return np.where(by > 0, values / np.maximum(by, 1), np.nan)
