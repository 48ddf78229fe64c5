"""Predictions to scores: what is measured, of which classes, and what is undefined."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from lvmmed_jax import class_metrics, mask_metrics
from lvmmed_jax.downstream import predictions
from lvmmed_jax.tasks import stem

# what is measured while a run trains; of them those that its classes allow
_FOLLOWED = ("accuracy", "balanced_accuracy", "auc", "kappa")
# of a class in an image
MASK_METRICS = {
    "dice": mask_metrics.dice,
    "iou": mask_metrics.iou,
    "hd95": mask_metrics.hausdorff95,
    "surface_dice": mask_metrics.surface_dice,
}
UNITS = {"hd95": "pixels", "surface_dice": "within 1 pixel"}
LESS_IS_BETTER = ("hd95", "calibration_error")


class Score(NamedTuple):
    """One number to be told.

    Attributes:
      metric: its name.
      class_name: of which class; None: the mean over those that are there.
      of: rows of the test images (drawn with repetition) -> the number; nan where it is
        undefined for them.
      undefined: how many test images it is undefined for, which count in no mean.
      absent: the classes that no test image has, which count in no mean.
    """

    metric: str
    class_name: str | None
    of: Callable[[np.ndarray], float]
    undefined: int = 0
    absent: tuple[str, ...] = ()


def followed(target: stem.Target, segments: bool) -> tuple[str, ...]:
    """The metrics of the validation part that a run is followed by."""
    if segments:
        return ("dice",)
    if target.multi_label:
        return ("accuracy", "auc")
    own = ("accuracy", "balanced_accuracy", "auc")
    return (*own, "kappa") if _are_grades(target.class_names) else own


def short(found: predictions.Of) -> dict[str, float]:
    """The metrics that a run is followed by, those that are defined."""
    whole = np.arange(len(found.groups))
    wanted = ("dice",) if found.segments else _FOLLOWED
    values = {
        each.metric: each.of(whole)
        for each in scores(found, wanted)
        if each.class_name is None
    }
    return {name: value for name, value in values.items() if not np.isnan(value)}


def _are_grades(names: tuple[str, ...]) -> bool:
    """Whether classes have an order, as whole numbers do; kappa's weights need one."""
    return all(name.isdecimal() for name in names)


def scores(found: predictions.Of, wanted: tuple[str, ...] = ()) -> list[Score]:
    """All that is measured of predictions.

    Args:
      found: the predictions.
      wanted: some metrics only; none: all.
    """
    if found.segments:
        return _of_masks(found, wanted or tuple(MASK_METRICS))
    measured = _of_labels(found) if found.multi_label else _of_classes(found)
    return [each for each in measured if not wanted or each.metric in wanted]


def by_image(found: predictions.Of) -> np.ndarray:
    """[n] how well each image went: its Dice over the classes that it or its prediction
    holds, or the probability of its true class; of labels, the least of any.
    """
    if found.segments:
        return np.array(
            [
                _mean_dice(truth, mask, len(found.class_names))
                for truth, mask in zip(found.truth, found.found, strict=True)
            ]
        )
    if found.multi_label:
        return np.where(found.truth > 0.5, found.found, 1 - found.found).min(axis=1)
    return np.take_along_axis(found.found, found.truth[:, None], axis=1)[:, 0]


def _mean_dice(truth, mask, num_classes) -> float:
    held = [k for k in range(1, num_classes) if (truth == k).any() or (mask == k).any()]
    values = [mask_metrics.dice(truth, mask, k) for k in held]
    return float(np.mean(values)) if values else 1.0


def _of_masks(found, wanted) -> list[Score]:
    """Each metric as a mean over classes, then class by class."""
    names = found.class_names[1:]
    is_there = [
        any((truth == k).any() for truth in found.truth)
        for k in range(1, len(names) + 1)
    ]
    absent = tuple(
        name for name, there in zip(names, is_there, strict=True) if not there
    )
    there = [k for k, each in enumerate(is_there, start=1) if each]
    measured = []
    for metric in wanted:
        function = MASK_METRICS[metric]
        values = np.array(
            [
                [function(truth, mask, k) for k in there]
                for truth, mask in zip(found.truth, found.found, strict=True)
            ]
        ).reshape(len(found.truth), len(there))
        undefined = int(np.isnan(values).any(axis=1).sum())
        of = functools.partial(_mean_over_images, values)
        measured.append(Score(metric, None, of, undefined, absent))
        if len(names) > 1:
            for column, k in enumerate(there):
                own = values[:, [column]]
                of = functools.partial(_mean_over_images, own)
                undefined = int(np.isnan(own).sum())
                measured.append(Score(metric, names[k - 1], of, undefined))
    return measured


def _mean_over_images(values: np.ndarray, rows: np.ndarray) -> float:
    """Over images, then over classes; of values [n, K] those that are defined."""
    drawn = values[rows]
    defined = ~np.isnan(drawn)
    counts = defined.sum(axis=0)
    if not len(counts) or not counts.all():
        return np.nan
    return float((np.where(defined, drawn, 0).sum(axis=0) / counts).mean())


def _of_classes(found) -> list[Score]:
    truth, chances = found.truth, found.found
    prediction, count = chances.argmax(axis=1), chances.shape[1]
    absent = _absent(found, [(truth == k).any() for k in range(count)])

    def named(metric, function, *arrays):
        of = functools.partial(_on_rows, function, arrays)
        return Score(metric, None, of, 0, absent)

    pair = (truth, prediction)
    per_class = [
        ("recall", lambda t, p: class_metrics.recalls(t, p, count), pair),
        ("f1", lambda t, p: class_metrics.f1_scores(t, p, count), pair),
        ("auc", class_metrics.aucs, (truth, chances)),
    ]
    graded = [
        named("kappa", lambda t, p: class_metrics.quadratic_kappa(t, p, count), *pair)
    ]
    return [
        named("accuracy", class_metrics.accuracy, *pair),
        named(
            "balanced_accuracy",
            lambda t, p: class_metrics.balanced_accuracy(t, p, count),
            *pair,
        ),
        *_means(per_class[1:], absent),
        *(graded if _are_grades(found.class_names) else ()),
        named("calibration_error", class_metrics.calibration_error, truth, chances),
        *_each_class(per_class, found, absent),
    ]


def _of_labels(found) -> list[Score]:
    """Of images with any number of labels: each label for itself, cut at 1/2."""
    truth, chances = found.truth, found.found
    absent = _absent(found, (truth > 0.5).any(axis=0))

    def f1(truth, prediction):
        pairs = zip(truth.T > 0.5, prediction.T, strict=True)
        return np.array([class_metrics.f1_scores(*pair, 2)[1] for pair in pairs])

    prediction = chances > 0.5
    per_class = [
        ("f1", f1, (truth, prediction)),
        ("auc", class_metrics.aucs, (truth, chances)),
    ]
    accuracy = functools.partial(
        _on_rows, class_metrics.accuracy, (truth > 0.5, prediction)
    )
    calibration = functools.partial(
        _on_rows, class_metrics.calibration_error, (truth, chances)
    )
    return [
        Score("accuracy", None, accuracy, 0, absent),
        *_means(per_class, absent),
        Score("calibration_error", None, calibration, 0, absent),
        *_each_class(per_class, found, absent),
    ]


def _absent(found, is_there) -> tuple[str, ...]:
    pairs = zip(found.class_names, is_there, strict=True)
    return tuple(name for name, there in pairs if not there)


def _means(per_class, absent) -> list[Score]:
    """Macro means over the classes that are there."""
    return [
        Score(
            metric,
            None,
            functools.partial(_on_rows, _mean_of(function), arrays),
            0,
            absent,
        )
        for metric, function, arrays in per_class
    ]


def _mean_of(function):
    return lambda *arrays: class_metrics.mean_of_defined(function(*arrays))


def _each_class(per_class, found, absent) -> list[Score]:
    """Class by class, those that are there."""

    def at(function, place):
        return lambda *arrays: float(function(*arrays)[place])

    return [
        Score(metric, name, functools.partial(_on_rows, at(function, place), arrays))
        for metric, function, arrays in per_class
        for place, name in enumerate(found.class_names)
        if name not in absent
    ]


def _on_rows(function, arrays, rows) -> float:
    return float(function(*(array[rows] for array in arrays)))
