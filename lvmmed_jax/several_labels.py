"""Probes where an image may have several labels, and the area under their curves."""

from typing import NamedTuple

import numpy as np

from lvmmed_jax import probes

_BOOTSTRAP = 500  # draws; each sums over all images for every label


def knn(train: np.ndarray, labels: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Shares of each label among the nearest features, weighted as in `probes.knn`.

    Args:
      train: [n, D] features.
      labels: bool [n, K].
      test: [m, D] features.

    Returns:
      float [m, K] scores.
    """
    from sklearn import neighbors

    voters = neighbors.KNeighborsRegressor(
        min(probes.NEIGHBOURS, len(train)), metric="cosine", weights="distance"
    )
    return voters.fit(train, labels.astype(np.float32)).predict(test)


def linear(train: np.ndarray, labels: np.ndarray, test: np.ndarray) -> np.ndarray:
    """A logistic regression a label, on standardised features.

    Arguments and result as of `knn`; a label that all or no training images have has
    one score.
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


class Curve(NamedTuple):
    """What the area under one label's ROC curve is made of, for any weights.

    Attributes:
      place: int [m], the rank of each image's score among the distinct ones.
      truth: bool [m].
    """

    place: np.ndarray
    truth: np.ndarray

    def area(self, weights: np.ndarray) -> float:
        """The area where image i counts `weights[i]` times; nan without both sides.

        The chance that an image with the label scores higher than one without; ties
        count half.
        """
        size = self.place.max() + 1
        with_label = np.bincount(self.place, weights * self.truth, size)
        without = np.bincount(self.place, weights * ~self.truth, size)
        pairs = with_label.sum() * without.sum()
        below = np.cumsum(without) - without / 2
        return float(with_label @ below / pairs) if pairs else np.nan


def measured(truth: np.ndarray) -> list[int]:
    """The labels of bool [m, K] that some images have and some have not."""
    return np.flatnonzero(truth.any(axis=0) & ~truth.all(axis=0)).tolist()


def mean_area(
    truth: np.ndarray, scores: dict[str, np.ndarray], *, seed: int
) -> dict[str, probes.Interval]:
    """The mean area under the ROC curve over the labels that can be measured.

    Args:
      truth: bool [m, K].
      scores: name of a model -> [m, K].
      seed: of the bootstrap over images, the same draws for every model.

    Returns:
      Name -> the mean with its 95 % interval; with "random" and "pretrained" also
      their paired "difference".

    Raises:
      ValueError: no label is in some images and not in others.
    """
    labels = measured(truth)
    if not labels:
        raise ValueError("no label is in some test images and not in others")
    curves = {
        name: [
            Curve(np.unique(each[:, k], return_inverse=True)[1], truth[:, k])
            for k in labels
        ]
        for name, each in scores.items()
    }
    generator, size = np.random.default_rng(seed), len(truth)
    weights = [np.ones(size)] + [
        np.bincount(generator.integers(0, size, size), minlength=size)
        for _ in range(_BOOTSTRAP)
    ]
    areas = {
        name: np.array([_mean_of_one_draw(own, each) for each in weights])
        for name, own in curves.items()
    }
    if {"random", "pretrained"} <= areas.keys():
        areas["difference"] = areas["pretrained"] - areas["random"]
    return {name: _interval(each) for name, each in areas.items()}


def _mean_of_one_draw(curves, weights) -> float:
    """Over the labels that the draw has on both sides; nan where it has none such."""
    areas = np.array([one.area(weights) for one in curves])
    there = ~np.isnan(areas)
    return areas[there].mean() if there.any() else np.nan


def _interval(areas: np.ndarray) -> probes.Interval:
    """The first is the value; the others are those of the draws."""
    low, high = np.nanpercentile(areas[1:], (2.5, 97.5))
    return probes.Interval(float(areas[0]), float(low), float(high))
