"""Frozen features on labelled data: a model and its own random start, side by side."""

from typing import Any, NamedTuple

import numpy as np

from data_pipelines import labelled
from lvmmed_jax import mask_metrics, measuring, probes, several_labels

_NUM_PICTURED = 6


class Evaluation(NamedTuple):
    """What was measured.

    Attributes:
      results: in JSON values.
      by_image: of each result, name of a model -> [m] values of the test images, whose
        mean is the result's (of few labels: the mean over the seeds); empty of an area.
      groups: int [m], equal where images were drawn together; None: all differ.
      pictures: arrays for the report's overlays, or None.
    """

    results: list[dict[str, Any]]
    by_image: list[dict[str, np.ndarray]]
    groups: np.ndarray | None
    pictures: dict[str, np.ndarray] | None


def compare(
    measured: dict[str, measuring.Measured], data: labelled.Labelled, *, seed: int
) -> Evaluation:
    """What was measured, with intervals.

    Args:
      measured: name of a model -> what it predicts; with "random" and "pretrained",
        their paired difference is added.
      data: of all of them.
      seed: of the bootstrap.

    Returns:
      One result a task, target, class and budget; metrics are per test image (of
      several labels the mean area under their ROC curves), with 95 % bootstrap
      intervals over the test images' groups, of few labels over seeds too.
    """
    results, by_image, pictures, groups = [], [], None, _groups(data)
    first = next(iter(measured.values()))
    for name in first.correct:
        values = {model: one.correct[name] for model, one in measured.items()}
        row = _result(name, "accuracy", None, values, data, groups, seed)
        results.append(row)
        by_image.append(values)
    for name, budget in first.few:
        drawn = {model: one.few[name, budget] for model, one in measured.items()}
        results.append(_few(name, budget, drawn, data, groups, seed))
        by_image.append({k: one.correct.mean(axis=0) for k, one in drawn.items()})
    for name in first.scores:
        scores = {model: one.scores[name] for model, one in measured.items()}
        results.append(_areas(name, scores, data, groups, seed))
        by_image.append({})  # an area is of all images together
    if first.masks is not None:
        predictions = {model: one.masks for model, one in measured.items()}
        for label, class_name in list(enumerate(data.mask_names))[1:]:
            values = _dice(predictions, data, label)
            row = _result(
                "linear_probe", "dice", class_name, values, data, groups, seed
            )
            results.append(row)
            by_image.append(values)
        pictures = _overlays(predictions, data)
    return Evaluation(results, by_image, groups, pictures)


def _groups(data: labelled.Labelled) -> np.ndarray | None:
    """Of the test images: int [m], equal where they stand on one side together."""
    if data.keys is None:
        return None
    keys = np.array(data.keys)[data.is_test]
    return np.unique(keys, return_inverse=True)[1].astype(np.int32)


def _areas(task, scores, data, groups, seed) -> dict[str, Any]:
    """A row of evaluation.json: the mean area under the curves of several labels."""
    test = data.is_test
    truth, row = data.label_sets[test], _head(task, "auc", None, data)
    count, names = len(several_labels.measured(truth)), data.class_names
    absent = f" of {len(names)}" if count < len(names) else ""
    row["target"] = f"{count}{absent} labels"
    groups = np.arange(len(truth)) if groups is None else groups
    found = several_labels.mean_area(truth, scores, groups, seed=seed)
    return row | {name: interval._asdict() for name, interval in found.items()}


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


def _result(task, metric, class_name, values, data, groups, seed) -> dict[str, Any]:
    """A row of evaluation.json."""
    row, values = _head(task, metric, class_name, data), _with_difference(values)
    for name, one in values.items():
        found = probes.bootstrap(one, seed=seed, groups=groups)
        row[name] = found._asdict()
    return row


def _with_difference(values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """As floats, and where both are there "pretrained" less "random"."""
    found = {name: each.astype(float) for name, each in values.items()}
    if {"random", "pretrained"} <= found.keys():
        found["difference"] = found["pretrained"] - found["random"]
    return found


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


def _few(task, budget, drawn, data, groups, seed) -> dict[str, Any]:
    """A row of evaluation.json, with `labels` and `seeds`; the means by seed too."""
    first = next(iter(drawn.values()))
    row = _head(task, "accuracy", None, data) | {
        "labels": str(budget),
        "seeds": len(first.correct),
        "num_train": first.num_train,
    }
    values = _with_difference({name: each.correct for name, each in drawn.items()})
    for name, each in values.items():
        found = probes.bootstrap_seeds(each, seed=seed, groups=groups)
        row[name] = found._asdict() | {"by_seed": each.mean(axis=1).tolist()}
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
