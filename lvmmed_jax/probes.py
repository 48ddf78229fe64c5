"""Probes of frozen features: k-NN, linear, linear a cell; bootstrap intervals."""

from typing import NamedTuple

import numpy as np
from PIL import Image

_NEIGHBOURS = 10
_BOOTSTRAP = 2000
_NEVER = -1e9  # score of a class not trained; infinity times a weight of 0 is no number


class Interval(NamedTuple):
    """A mean with the bounds of its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


def knn(
    train: np.ndarray,
    labels: np.ndarray,
    test: np.ndarray,
    *,
    neighbours: int = _NEIGHBOURS,
) -> np.ndarray:
    """The vote of the nearest training features, weighted by inverse cosine distance.

    Args:
      train: [n, D] features.
      labels: [n] integers.
      test: [m, D] features.
      neighbours: k; all n where there are fewer.

    Returns:
      [m] predicted labels.
    """
    from sklearn import neighbors

    classifier = neighbors.KNeighborsClassifier(
        min(neighbours, len(train)), metric="cosine", weights="distance"
    )
    return classifier.fit(train, labels).predict(test)


def linear(train: np.ndarray, labels: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Logistic regression on standardised features: [m] predicted labels."""
    from sklearn import linear_model, pipeline, preprocessing

    classifier = pipeline.make_pipeline(
        preprocessing.StandardScaler(), linear_model.LogisticRegression(max_iter=2000)
    )
    return classifier.fit(train, labels).predict(test)


def knn_scores(train: np.ndarray, labels: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Shares of each label among the nearest features, weighted as in `knn`.

    Args:
      train: [n, D] features.
      labels: bool [n, K].
      test: [m, D] features.

    Returns:
      float [m, K] scores.
    """
    from sklearn import neighbors

    voters = neighbors.KNeighborsRegressor(
        min(_NEIGHBOURS, len(train)), metric="cosine", weights="distance"
    )
    return voters.fit(train, labels.astype(np.float32)).predict(test)


def linear_scores(
    train: np.ndarray, labels: np.ndarray, test: np.ndarray
) -> np.ndarray:
    """A logistic regression a label, on standardised features.

    Arguments and result as of `knn_scores`; a label that all training images have, or
    none, has one score.
    """
    from sklearn import linear_model, preprocessing

    scaler = preprocessing.StandardScaler().fit(train)
    known, asked = scaler.transform(train), scaler.transform(test)
    scores = np.zeros((len(test), labels.shape[1]))
    for number, own in enumerate(labels.T):
        if own.min() < own.max():
            one = linear_model.LogisticRegression(max_iter=2000).fit(known, own)
            scores[:, number] = one.decision_function(asked)
    return scores


def linear_segmentation(
    train_maps: np.ndarray,
    train_masks: list[np.ndarray],
    test_maps: np.ndarray,
    test_sizes: list[tuple[int, int]],
    num_classes: int,
) -> list[np.ndarray]:
    """Logistic regression on the cells of feature maps, read at full resolution.

    A training cell counts for each class by the share of its pixels; class scores of a
    test image are enlarged bilinearly to the image, and the highest wins.

    Args:
      train_maps: [n, R, S, D] feature maps.
      train_masks: n masks [H, W] of integers below `num_classes`.
      test_maps: [m, R, S, D].
      test_sizes: m pairs (H, W).
      num_classes: with the background, class 0.

    Returns:
      m masks [H, W].
    """
    from sklearn import linear_model, preprocessing

    grid = train_maps.shape[1:3]
    shares = np.stack([class_shares(mask, grid, num_classes) for mask in train_masks])
    cells = train_maps.reshape(-1, train_maps.shape[-1])
    scaler = preprocessing.StandardScaler().fit(cells)
    cell, label = np.nonzero(shares.reshape(-1, num_classes) > 0)
    weights = shares.reshape(-1, num_classes)[cell, label]
    classifier = linear_model.LogisticRegression(max_iter=1000, tol=1e-3)
    classifier.fit(scaler.transform(cells)[cell], label, sample_weight=weights)
    flat = scaler.transform(test_maps.reshape(-1, test_maps.shape[-1]))
    scores = classifier.predict_log_proba(flat).reshape(*test_maps.shape[:3], -1)
    full = np.full((*scores.shape[:3], num_classes), _NEVER, np.float32)
    full[..., classifier.classes_] = scores
    return [enlarge(one, size) for one, size in zip(full, test_sizes, strict=True)]


def class_shares(
    mask: np.ndarray, grid: tuple[int, int], num_classes: int
) -> np.ndarray:
    """[R, S, K]: the share of each class in each cell of a mask [H, W]."""
    planes = []
    for label in range(num_classes):
        plane = Image.fromarray((mask == label).astype(np.float32))
        planes.append(plane.resize(grid[::-1], Image.Resampling.BOX))
    return np.stack([np.asarray(plane) for plane in planes], axis=-1)


def enlarge(scores: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Scores [R, S, K] -> the best class at every pixel of an image of `size`."""
    planes = [
        Image.fromarray(np.ascontiguousarray(scores[..., label])).resize(
            size[::-1], Image.Resampling.BILINEAR
        )
        for label in range(scores.shape[-1])
    ]
    return np.argmax(np.stack([np.asarray(plane) for plane in planes]), axis=0)


def bootstrap(
    values: np.ndarray, *, seed: int, groups: np.ndarray | None = None
) -> Interval:
    """The mean of one value a test image, with its 95 % percentile interval.

    Args:
      values: [m].
      seed: of the draws.
      groups: [m] integers, equal where images must be drawn together (of one volume or
        patient, near copies): they are no independent witnesses. None: all differ.
    """
    generator = np.random.default_rng(seed)
    sums, counts = _by_group(values, groups)
    draws = generator.integers(0, len(counts), (_BOOTSTRAP, len(counts)))
    means = sums[draws].sum(axis=1) / counts[draws].sum(axis=1)
    low, high = np.percentile(means, (2.5, 97.5))
    return Interval(float(values.mean()), float(low), float(high))


def bootstrap_seeds(
    values: np.ndarray, *, seed: int, groups: np.ndarray | None = None
) -> Interval:
    """As `bootstrap`, of values [S, m] for several seeds: both are drawn anew."""
    generator = np.random.default_rng(seed)
    pairs = [_by_group(each, groups) for each in values]
    sums, counts = np.stack([pair[0] for pair in pairs]), pairs[0][1]
    means = np.empty(_BOOTSTRAP)
    for draw in range(_BOOTSTRAP):
        rows = generator.integers(0, len(values), len(values))
        columns = generator.integers(0, len(counts), len(counts))
        total = sums[rows].mean(axis=0)[columns].sum()
        means[draw] = total / counts[columns].sum()
    low, high = np.percentile(means, (2.5, 97.5))
    return Interval(float(values.mean()), float(low), float(high))


def _by_group(values, groups) -> tuple[np.ndarray, np.ndarray]:
    """The sum of each group's values [m], and how many they are."""
    if groups is None:
        return values, np.ones(len(values))
    _, numbers = np.unique(groups, return_inverse=True)
    return np.bincount(numbers, values), np.bincount(numbers).astype(float)
