"""What one frozen encoder predicts on labelled data, by each probe."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from data_pipelines import labelled
from lvmmed_jax import encoders, few_labels, probes

TASKS = ("knn", "linear_probe")
# segmentation probes read images at this multiple of the view size, but at no more than
# this many pixels a side, and enlarged at most so much: cells of blur tell little
_DENSE_SCALE, _DENSE_MOST, _DENSE_ENLARGED = 4, 512, 3
_DENSE_UNIT = 32  # pixels: a multiple of the stride of most encoders
_OF_ONE = {"knn": probes.knn, "linear_probe": probes.linear}
_OF_SEVERAL = {"knn": probes.knn_scores, "linear_probe": probes.linear_scores}


class Measured(NamedTuple):
    """What an encoder's probes predict for m test images.

    Attributes:
      correct: task -> bool [m], whether the class is right; empty without classes.
      few: (task, budget) -> the same from few labels.
      scores: task -> [m, K] of several labels; empty without such.
      masks: m predicted masks at their images' size, or None.
    """

    correct: dict[str, np.ndarray]
    few: dict[tuple[str, few_labels.Budget], few_labels.Drawn]
    scores: dict[str, np.ndarray]
    masks: list[np.ndarray] | None


def check(data: labelled.Labelled, tasks: tuple[str, ...]) -> None:
    """Refuses labelled data that probes cannot learn from.

    Raises:
      ValueError: fewer than two classes, no test image, or no task that the labels
        allow.
    """
    if not data.is_test.any():
        raise ValueError("no image to test on: each class needs at least two")
    if data.labels is not None and len(set(data.labels[~data.is_test])) < 2:
        raise ValueError("probes need at least two classes with training images")
    if data.masks is not None and data.labels is None and "linear_probe" not in tasks:
        raise ValueError("the data has masks and no classes: use --task linear_probe")


def measure(
    encoder: encoders.Encoder,
    data: labelled.Labelled,
    tasks: tuple[str, ...],
    budgets: Sequence[few_labels.Budget] = (),
    seeds: Sequence[int] = (0,),
) -> Measured:
    """Runs every task that the data's labels allow.

    Args:
      encoder: stays as it is.
      data: images with class labels, masks or both, or with several labels each.
      tasks: of `TASKS`; `linear_probe` also segments where there are masks.
      budgets: of labels; classes (one an image) are also learned from so few.
      seeds: with which few labels are drawn.
    """
    correct, few, scores, masks = {}, {}, {}, None
    train, test = ~data.is_test, data.is_test
    if data.labels is not None or data.label_sets is not None:
        features = _pooled(encoder, data.images)
    if data.labels is not None:
        wanted = {name: probe for name, probe in _OF_ONE.items() if name in tasks}
        for name, probe in wanted.items():
            found = probe(features[train], data.labels[train], features[test])
            correct[name] = found == data.labels[test]
            for budget in budgets:
                drawn = few_labels.accuracy(features, data, probe, budget, seeds)
                few[name, budget] = drawn
    if data.label_sets is not None:
        for name in [name for name in _OF_SEVERAL if name in tasks]:
            known = features[train], data.label_sets[train]
            scores[name] = _OF_SEVERAL[name](*known, features[test])
    if data.masks is not None and "linear_probe" in tasks:
        masks = _segment(encoder, data)
    return Measured(correct, few, scores, masks)


def _pooled(encoder: encoders.Encoder, images: list[np.ndarray]) -> np.ndarray:
    """[n, D] feature maps averaged over their cells, of images of any size."""
    images = encoders.Resized(images, encoder.image_size)
    return encoders.pooled_features(encoder, images)


def _segment(encoder: encoders.Encoder, data: labelled.Labelled) -> list[np.ndarray]:
    """Predicted masks of the test images, at their own resolution."""
    size = dense_size(encoder.image_size, encoder.stride, data.images)
    maps = encoders.feature_maps(encoder, encoders.Resized(data.images, size))
    train, test = np.nonzero(~data.is_test)[0], np.nonzero(data.is_test)[0]
    return probes.linear_segmentation(
        maps[train],
        [data.masks[index] for index in train],
        maps[test],
        [data.masks[index].shape for index in test],
        len(data.mask_names),
    )


def dense_size(view_size: int, stride: int, images: list[np.ndarray]) -> int:
    """Pixels a side at which segmentation probes read images: whole cells."""
    unit = _DENSE_UNIT if _DENSE_UNIT % stride == 0 else stride
    longest = float(np.median([max(image.shape[:2]) for image in images]))
    units = round(_DENSE_ENLARGED * longest / unit)
    most = min(_DENSE_SCALE * view_size, _DENSE_MOST // unit * unit, units * unit)
    return max(view_size, most)
