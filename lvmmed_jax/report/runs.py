"""Work folders read back: what a run wrote, and what of it was damaged."""

import dataclasses
import json
import pathlib
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

_RESULT_KEYS = ("task", "target", "metric")
_MODELS = ("random", "pretrained")
_ESTIMATES = (*_MODELS, "difference")


@dataclasses.dataclass(frozen=True)
class Run:
    """All that a report says about one work folder.

    Attributes:
      name: how the page calls the run.
      workdir: the folder as the user typed it.
      metrics: the readable lines of `metrics.jsonl`.
      num_unreadable: how many lines were cut or damaged.
      config, about: `config.json` and `run.json`, empty where absent.
      evaluation: `evaluation.json`, or None where absent; where values of single
        images were stored, a result has them as `by_image`, by name of the model.
      training_pictures, evaluation_pictures: arrays by name, empty where absent.
      scores, cases: of a fine-tuned network: `scores.json` or None, and arrays.
    """

    name: str
    workdir: pathlib.Path
    metrics: tuple[dict[str, Any], ...]
    num_unreadable: int
    config: dict[str, Any]
    about: dict[str, Any]
    evaluation: dict[str, Any] | None
    training_pictures: dict[str, np.ndarray]
    evaluation_pictures: dict[str, np.ndarray]
    scores: dict[str, Any] | None = None
    cases: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)

    @property
    def is_fine_tuning(self) -> bool:
        """Whether it is a run of `finetune`, not of `pretrain`."""
        return self.about.get("kind") == "finetune"


def read(workdirs: Sequence[pathlib.Path]) -> list[Run]:
    """Reads work folders; a run is named by its folder, by its path if two are alike.

    Raises:
      FileNotFoundError: a folder has no `metrics.jsonl`.
      ValueError: a file in it is damaged, or runs of both kinds are among them.
    """
    names = [path.resolve().name for path in workdirs]
    unique = len(set(names)) == len(names)
    found = [
        _read_run(path, name if unique else str(path))
        for path, name in zip(workdirs, names, strict=True)
    ]
    if len({run.is_fine_tuning for run in found}) > 1:
        raise ValueError(
            "runs of `pretrain` and of `finetune` have nothing to compare: report on "
            "them apart"
        )
    return found


def _read_run(workdir: pathlib.Path, name: str) -> Run:
    metrics, num_unreadable = _read_metrics(workdir)
    return Run(
        name=name,
        workdir=workdir,
        metrics=metrics,
        num_unreadable=num_unreadable,
        config=_read_json(workdir / "config.json") or {},
        about=_read_json(workdir / "run.json") or {},
        evaluation=_read_evaluation(workdir),
        training_pictures=_read_arrays(workdir / "pictures" / "pretrain.npz"),
        evaluation_pictures=_read_arrays(workdir / "pictures" / "evaluation.npz"),
        scores=_read_scores(workdir / "scores.json"),
        cases=_read_arrays(workdir / "pictures" / "cases.npz"),
    )


def _read_metrics(workdir: pathlib.Path) -> tuple[tuple[dict[str, Any], ...], int]:
    """The lines that are whole, and the number of those that are not."""
    path = workdir / "metrics.jsonl"
    if not path.is_file():
        raise FileNotFoundError(
            f"{workdir} has no metrics.jsonl; give the --workdir of a run"
        )
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    parsed = [_parse_line(line) for line in lines if line.strip()]
    whole = tuple(line for line in parsed if line is not None)
    return whole, len(parsed) - len(whole)


def _parse_line(text: str) -> dict[str, Any] | None:
    try:
        line = json.loads(text)
    except ValueError:
        return None
    whole = isinstance(line, dict) and isinstance(line.get("step"), int)
    return line if whole else None


def _read_json(path: pathlib.Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}); delete it or rerun") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__}, not an object")
    return content


def _read_evaluation(workdir: pathlib.Path) -> dict[str, Any] | None:
    path = workdir / "evaluation.json"
    evaluation = _read_json(path)
    for index, result in enumerate((evaluation or {}).get("results", [])):
        missing = [key for key in _RESULT_KEYS if key not in result]
        missing += [key for key in _ESTIMATES if not _is_estimate(result.get(key))]
        if missing:
            raise ValueError(
                f"{path}: result {index} lacks {', '.join(missing)}; "
                "write the file again with the evaluate command"
            )
    if evaluation:
        _add_images(evaluation, _read_arrays(workdir / "evaluation.npz"))
    return evaluation


def _add_images(evaluation: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Gives results the values of their images.

    Arrays whose mean is not the result's are of another evaluation, which was ended
    between the two files, and are left out.
    """
    for index, result in enumerate(evaluation["results"]):
        found = {name: arrays.get(f"{name}_{index}") for name in _MODELS}
        if all(
            values is not None
            and np.isclose(values.mean(dtype=float), result[name]["value"], atol=1e-5)
            for name, values in found.items()
        ):
            result["by_image"] = found
            result["groups"] = arrays.get(f"groups_{index}")


def _read_scores(path: pathlib.Path) -> dict[str, Any] | None:
    scores = _read_json(path)
    if scores is not None and not scores.get("results"):
        raise ValueError(
            f"{path} has no results; write the file again with the evaluate command"
        )
    return scores


def _is_estimate(value: Any) -> bool:
    """Whether it is a number with its interval."""
    keys = ("value", "low", "high")
    return isinstance(value, dict) and all(
        isinstance(value.get(key), int | float) for key in keys
    )


def _read_arrays(path: pathlib.Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        return {}
    try:
        # np.load leaves a file that it opened itself open when the archive is cut
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is damaged ({error}); delete it or rerun") from error


def flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted names, as the command line's --section.key has them."""
    flat = {}
    for name, value in nested.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
