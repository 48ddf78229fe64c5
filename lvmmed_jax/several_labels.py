"""Where an image may have several labels: the mean area under their ROC curves."""

import numpy as np

from lvmmed_jax import class_metrics, probes
from lvmmed_jax.downstream import intervals


def measured(truth: np.ndarray) -> list[int]:
    """The labels of bool [m, K] that some images have and some have not."""
    return np.flatnonzero(truth.any(axis=0) & ~truth.all(axis=0)).tolist()


def mean_area(
    truth: np.ndarray, scores: dict[str, np.ndarray], groups: np.ndarray, *, seed: int
) -> dict[str, probes.Interval]:
    """The mean area under the ROC curve over the labels that can be measured.

    Args:
      truth: bool [m, K].
      scores: name of a model -> [m, K].
      groups: [m], equal where images must be drawn together.
      seed: of the bootstrap.

    Returns:
      Name -> the mean with its 95 % interval; with "random" and "pretrained" also
      their paired "difference".

    Raises:
      ValueError: no label is in some images and not in others.
    """
    if not measured(truth):
        raise ValueError("no label is in some test images and not in others")

    def metric(name: str) -> list[intervals.Metric]:
        return [
            lambda rows: class_metrics.mean_of_defined(
                class_metrics.aucs(truth[rows], scores[name][rows])
            )
        ]

    found = {
        name: intervals.bootstrap(metric(name), groups, seed=seed) for name in scores
    }
    if {"random", "pretrained"} <= scores.keys():
        found["difference"] = intervals.bootstrap(
            metric("pretrained"), groups, seed=seed, baseline=metric("random")
        )
    return found
