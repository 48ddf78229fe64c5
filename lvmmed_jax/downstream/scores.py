"""Predictions to scores: what is measured, of which classes, and what is undefined."""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from lvmmed_jax import class_metrics
from lvmmed_jax.downstream import predictions
from lvmmed_jax.tasks import stem

# what is measured while a run trains; of them those that its classes allow
_FOLLOWED = ("dice", "accuracy", "balanced_accuracy", "auc", "kappa")
UNITS = {"hd95": "pixels", "surface_dice": "within 1 pixel"}

Found = predictions.Classes | predictions.Masks


class Score(NamedTuple):
    """One number to be told.

    Attributes:
      metric: its name.
      class_name: of which class; None: the mean over those that are there.
      of: rows of the test images (drawn with repetition) -> the number; nan where it is
        undefined for them.
      undefined: how many test images it is undefined for, which count in no mean.
      absent: the classes that no test image has, which count in no mean.
      unmeasured: other classes that the mean leaves out, as all images have them.
      by_image: [n, K] what it is a mean of, first over images, nan where undefined;
        None: it is of all images together.
    """

    metric: str
    class_name: str | None
    of: Callable[[np.ndarray], float]
    undefined: int = 0
    absent: tuple[str, ...] = ()
    unmeasured: tuple[str, ...] = ()
    by_image: np.ndarray | None = None


def on_common_images(found: Sequence[Score]) -> list[Score]:
    """The same metric of several runs, of what is defined in all of them.

    Means over other images are no paired difference: a network that finds nothing where
    it is hard would have the smaller distances.
    """
    if any(each.by_image is None for each in found):
        return list(found)
    known = ~np.any([np.isnan(each.by_image) for each in found], axis=0)
    return [
        _of_images(
            each.metric,
            each.class_name,
            np.where(known, each.by_image, np.nan),
            each.absent,
        )
        for each in found
    ]


def _of_images(
    metric: str, class_name: str | None, values: np.ndarray, absent: tuple[str, ...]
) -> Score:
    """The score that is the mean of [n, K] values."""
    of = functools.partial(_mean_over_images, values)
    undefined = int(np.isnan(values).any(axis=1).sum())
    return Score(metric, class_name, of, undefined, absent, by_image=values)


def followed(target: stem.Target, segments: bool) -> tuple[str, ...]:
    """The metrics of the validation part that a run is followed by."""
    if segments:
        return ("dice",)
    if target.multi_label:
        return ("accuracy", "auc")
    own = ("accuracy", "balanced_accuracy", "auc")
    return (*own, "kappa") if stem.are_grades(target.class_names) else own


def short(found: Found) -> dict[str, float]:
    """The metrics that a run is followed by, those that are defined."""
    whole = np.arange(len(found.groups))
    values = {
        each.metric: each.of(whole)
        for each in scores(found)
        if each.class_name is None and each.metric in _FOLLOWED
    }
    return {name: value for name, value in values.items() if not np.isnan(value)}


def scores(found: Found) -> list[Score]:
    """All that is measured of predictions."""
    if isinstance(found, predictions.Masks):
        return _of_masks(found)
    return _of_labels(found) if found.multi_label else _of_classes(found)


def by_image(found: Found) -> np.ndarray:
    """[n] how well each image went.

    Of masks the mean Dice of the classes that the image or its prediction holds, 1
    where neither holds any; of classes the probability of the true one; of labels the
    least that any has.
    """
    if isinstance(found, predictions.Masks):
        held = found.in_truth | found.in_found
        total = np.where(held, found.values["dice"], 0).sum(axis=1)
        return np.where(held.any(axis=1), total / np.maximum(held.sum(axis=1), 1), 1.0)
    if found.multi_label:
        return np.where(found.truth > 0.5, found.chances, 1 - found.chances).min(axis=1)
    return np.take_along_axis(found.chances, found.truth[:, None], axis=1)[:, 0]


def _of_masks(found: predictions.Masks) -> list[Score]:
    """Each metric as a mean over classes, then class by class."""
    names = found.class_names[1:]
    is_there = found.in_truth.any(axis=0)
    absent, measured = _absent(names, is_there), []
    for metric, all_values in found.values.items():
        measured.append(_of_images(metric, None, all_values[:, is_there], absent))
        if len(names) > 1:
            for column in np.flatnonzero(is_there):
                own = all_values[:, [column]]
                measured.append(_of_images(metric, names[column], own, ()))
    return measured


def _mean_over_images(values: np.ndarray, rows: np.ndarray) -> float:
    """Over images, then over classes; of values [n, K] those that are defined."""
    drawn = values[rows]
    defined = ~np.isnan(drawn)
    counts = defined.sum(axis=0)
    if not len(counts) or not counts.all():
        return np.nan
    return float((np.where(defined, drawn, 0).sum(axis=0) / counts).mean())


def _of_classes(found: predictions.Classes) -> list[Score]:
    truth, chances = found.truth, found.chances
    prediction, count = chances.argmax(axis=1), chances.shape[1]
    absent = _absent(found.class_names, [(truth == k).any() for k in range(count)])

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
        *_means(per_class[1:], found.class_names, absent),
        *(graded if stem.are_grades(found.class_names) else ()),
        named("calibration_error", class_metrics.calibration_error, truth, chances),
        *_each_class(per_class, found, absent),
    ]


def _of_labels(found: predictions.Classes) -> list[Score]:
    """Of images with any number of labels: each label for itself, cut at 1/2."""
    truth, chances = found.truth, found.chances
    absent = _absent(found.class_names, (truth > 0.5).any(axis=0))

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
        *_means(per_class, found.class_names, absent),
        Score("calibration_error", None, calibration, 0, absent),
        *_each_class(per_class, found, absent),
    ]


def _absent(names, is_there) -> tuple[str, ...]:
    pairs = zip(names, is_there, strict=True)
    return tuple(name for name, there in pairs if not there)


def _means(per_class, names, absent) -> list[Score]:
    """Macro means over the classes that are there, and can be measured."""
    found = []
    for metric, function, arrays in per_class:
        of = functools.partial(_on_rows, _mean_of(function), arrays)
        undefined = _absent(names, ~np.isnan(function(*arrays)))
        unmeasured = tuple(name for name in undefined if name not in absent)
        found.append(Score(metric, None, of, 0, absent, unmeasured))
    return found


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
