"""Frozen features on labelled data: a model and its own random start, side by side."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from data_pipelines import labelled
from lvmmed_jax import encoders, few_labels, mask_metrics, probes, several_labels

TASKS = ("knn", "linear_probe")
# segmentation probes read images at this multiple of the view size, but at no more than
# this many pixels a side, and enlarged at most so much: cells of blur tell little
_DENSE_SCALE, _DENSE_MOST, _DENSE_ENLARGED = 4, 512, 3
_DENSE_UNIT = 32  # pixels: a multiple of the stride of most encoders
_NUM_PICTURED = 6
_PROBES = {"knn": probes.knn, "linear_probe": probes.linear}
_OF_SEVERAL = {"knn": probes.knn_scores, "linear_probe": probes.linear_scores}


class Evaluation(NamedTuple):
    """What was measured.

    Attributes:
      results: in JSON values.
      by_image: of each result, name of a model -> [m] values of the test images, whose
        mean is the result's (of few labels: the mean over the seeds); empty of an area.
      pictures: arrays for the report's overlays, or None.
    """

    results: list[dict[str, Any]]
    by_image: list[dict[str, np.ndarray]]
    pictures: dict[str, np.ndarray] | None


def evaluate(
    models: dict[str, encoders.Encoder],
    data: labelled.Labelled,
    tasks: tuple[str, ...],
    *,
    seed: int,
    budgets: Sequence[few_labels.Budget] = (),
    num_seeds: int = 1,
) -> Evaluation:
    """Runs every task that the data's labels allow.

    Args:
      models: name -> encoder; with "random" and "pretrained", their paired difference
        is added.
      data: images with class labels, masks or both, or with several labels each.
      tasks: of `TASKS`; `linear_probe` also segments where there are masks.
      seed: of the bootstrap, and the first of `num_seeds`.
      budgets: of labels; classes (one an image) are also learned from so few.
      num_seeds: with which few labels are drawn.

    Returns:
      One result a task, target, class and budget; metrics are per test image (of
      several labels the mean area under their ROC curves), with 95 % bootstrap
      intervals over the test images, of few labels over seeds too.

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
    results, by_image, pictures = [], [], None
    if data.labels is not None:
        features = {name: _pooled(one, data.images) for name, one in models.items()}
        wanted = {name: probe for name, probe in _PROBES.items() if name in tasks}
        for name, probe in wanted.items():
            values = _accuracy(features, data, probe)
            results.append(_result(name, "accuracy", None, values, data, seed))
            by_image.append(values)
        seeds = range(seed, seed + num_seeds)
        for name, probe in wanted.items():
            for budget in budgets:
                drawn = few_labels.accuracy(features, data, probe, budget, seeds)
                results.append(_few(name, budget, drawn, data, seed))
                by_image.append({k: x.mean(axis=0) for k, x in drawn.correct.items()})
    if data.label_sets is not None:
        features = {name: _pooled(one, data.images) for name, one in models.items()}
        for name in [name for name in _OF_SEVERAL if name in tasks]:
            results.append(_areas(name, features, data, seed))
            by_image.append({})  # an area is of all images together
    if data.masks is not None and "linear_probe" in tasks:
        predictions = {name: _segment(one, data) for name, one in models.items()}
        for label, class_name in list(enumerate(data.mask_names))[1:]:
            values = _dice(predictions, data, label)
            results.append(
                _result("linear_probe", "dice", class_name, values, data, seed)
            )
            by_image.append(values)
        pictures = _overlays(predictions, data)
    return Evaluation(results, by_image, pictures)


def _pooled(encoder: encoders.Encoder, images: list[np.ndarray]) -> np.ndarray:
    """[n, D] feature maps averaged over their cells, of images of any size."""
    images = encoders.Resized(images, encoder.image_size)
    return encoders.pooled_features(encoder, images)


def resized(images: list[np.ndarray], size: int) -> np.ndarray:
    """[n, size, size, 3] uint8."""
    return encoders.Resized(images, size)[:]


def _accuracy(features, data, probe: Callable) -> dict[str, np.ndarray]:
    """Name -> [m] 1 where the test image's class is right."""
    train, test = ~data.is_test, data.is_test
    return {
        name: (probe(x[train], data.labels[train], x[test]) == data.labels[test])
        for name, x in features.items()
    }


def _areas(task, features, data, seed) -> dict[str, Any]:
    """A row of evaluation.json: the mean area under the curves of several labels."""
    probe, train, test = _OF_SEVERAL[task], ~data.is_test, data.is_test
    scores = {
        name: probe(x[train], data.label_sets[train], x[test])
        for name, x in features.items()
    }
    truth, row = data.label_sets[test], _head(task, "auc", None, data)
    count, names = len(several_labels.measured(truth)), data.class_names
    absent = f" of {len(names)}" if count < len(names) else ""
    row["target"] = f"{count}{absent} labels"
    keys = np.arange(len(test)) if data.keys is None else np.array(data.keys)
    found = several_labels.mean_area(truth, scores, keys[test], seed=seed)
    return row | {name: interval._asdict() for name, interval in found.items()}


def _segment(encoder: encoders.Encoder, data: labelled.Labelled) -> list[np.ndarray]:
    """Predicted masks of the test images, at their own resolution."""
    size = dense_size(encoder.image_size, encoder.stride, data.images)
    maps = encoders.feature_maps(encoder, resized(data.images, size))
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


def _dice(predictions, data, label: int) -> dict[str, np.ndarray]:
    """Name -> [m] Dice of one class in every test image."""
    truths = [data.masks[index] for index in np.nonzero(data.is_test)[0]]
    return {
        name: np.array(
            [
                mask_metrics.dice(*pair, label)
                for pair in zip(truths, masks, strict=True)
            ]
        )
        for name, masks in predictions.items()
    }


def _result(task, metric, class_name, values, data, seed) -> dict[str, Any]:
    """A row of evaluation.json."""
    row = _head(task, metric, class_name, data)
    for name, one in values.items():
        row[name] = probes.bootstrap(one.astype(float), seed=seed)._asdict()
    if {"random", "pretrained"} <= values.keys():
        gain = values["pretrained"].astype(float) - values["random"].astype(float)
        row["difference"] = probes.bootstrap(gain, seed=seed)._asdict()
    return row


def _head(task, metric, class_name, data) -> dict[str, Any]:
    """How every row begins."""
    return {
        "task": task,
        "target": "segmentation" if class_name else _name_classes(data.class_names),
        "metric": metric,
        "class": class_name,
        "num_train": int((~data.is_test).sum()),
        "num_test": int(data.is_test.sum()),
    }


def _few(task, budget, drawn: few_labels.Drawn, data, seed) -> dict[str, Any]:
    """A row of evaluation.json, with `labels` and `seeds`; the means by seed too."""
    row = _head(task, "accuracy", None, data) | {
        "labels": str(budget),
        "seeds": len(next(iter(drawn.correct.values()))),
        "num_train": drawn.num_train,
    }
    values = {name: each.astype(float) for name, each in drawn.correct.items()}
    if {"random", "pretrained"} <= values.keys():
        values["difference"] = values["pretrained"] - values["random"]
    for name, each in values.items():
        row[name] = probes.bootstrap_seeds(each, seed=seed)._asdict()
        row[name]["by_seed"] = each.mean(axis=1).tolist()
    return row


def _name_classes(names: tuple[str, ...]) -> str:
    return "/".join(names) if len(names) <= 4 else f"{len(names)} classes"


def _overlays(predictions, data) -> dict[str, np.ndarray]:
    """A few test images, evenly spread, with truth and predictions, padded square."""
    test = np.nonzero(data.is_test)[0]
    chosen = np.linspace(0, len(test) - 1, min(_NUM_PICTURED, len(test))).astype(int)
    side = max(max(data.masks[test[position]].shape) for position in chosen)

    def pad(array: np.ndarray) -> np.ndarray:
        array = array if array.ndim == 2 else array.mean(axis=2)
        out = np.zeros((side, side), np.uint8)
        out[: array.shape[0], : array.shape[1]] = array
        return out

    arrays = {
        "images": np.stack([pad(data.images[test[p]]) for p in chosen]),
        "truth": np.stack([pad(data.masks[test[p]]) for p in chosen]),
        "class_names": np.array(data.mask_names),
    }
    for name, masks in predictions.items():
        arrays[name] = np.stack([pad(masks[position]) for position in chosen])
    return arrays
