"""What a run wrote: read back, and told in plain words."""

import dataclasses
import json
import pathlib
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lvmmed_jax import health

ABSENT = "–"

_RESULT_KEYS = ("task", "target", "metric")
_ESTIMATES = ("random", "pretrained", "difference")
_OUTCOMES = ("pretrained higher", "random higher", "not clear")


@dataclasses.dataclass(frozen=True)
class Run:
    """All that a report says about one work folder.

    Attributes:
      name: how the page calls the run.
      workdir: the folder as the user typed it.
      metrics: the readable lines of `metrics.jsonl`.
      num_unreadable: how many lines were cut or damaged.
      config, about: `config.json` and `run.json`, empty where absent.
      evaluation: `evaluation.json`, or None where absent.
      training_pictures, evaluation_pictures: arrays by name, empty where absent.
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


def story(run: Run) -> str:
    """What ran, on how much data, for how long; only what the run recorded."""
    data = run.about.get("data") or {}
    counts = [f"{name} {n}" for name, n in (data.get("modalities") or {}).items()]
    if data.get("skipped"):
        counts.append(f"files skipped: {data['skipped']}")
    parts = [
        f"It trained for {_last(run, 'step')} steps",
        f"on {data['records']:,} records" if "records" in data else "",
        f"({', '.join(counts)})" if counts else "",
        f"and saw {_last(run, 'images')} images in {_duration(run)}",
        f"on {run.about['devices']}" if "devices" in run.about else "",
    ]
    return " ".join(filter(None, parts)) + "."


def numbers(run: Run) -> dict[str, str]:
    """The rows of the page's table of numbers."""
    return {
        "steps": _last(run, "step"),
        "images seen": _last(run, "images"),
        "time": _duration(run),
        "images per second, median": _median(run, "images_per_second", ",.0f"),
        "time spent waiting for data, median": _median(run, "data_wait_share", ".1%"),
        "loss without noise": _change(run, "loss_no_noise", ".2f"),
        "loss with noise": _change(run, "loss", ".2f"),
        f"matching accuracy (chance {chance(run):.2f})": _change(
            run, "matching_accuracy", ".2f"
        ),
        "embedding rank": _change(run, "embedding_rank", ".1f"),
        "embedding spread": _change(run, "embedding_std", ".2f"),
    }


def verdict(run: Run) -> health.Verdict:
    """Whether the run was healthy."""
    return health.judge(run.metrics, _graph_size(run))


def chance(run: Run) -> float:
    """Matching accuracy by chance, 1 / N."""
    return 1 / _graph_size(run)


def _graph_size(run: Run) -> int:
    return run.config.get("matching", {}).get("graph_size", 16)


def _last(run: Run, key: str) -> str:
    pair = health.ends(run.metrics, key)
    return f"{pair[1]:,.0f}" if pair else ABSENT


def _change(run: Run, key: str, spec: str) -> str:
    pair = health.ends(run.metrics, key)
    return f"{pair[0]:{spec}} → {pair[1]:{spec}}" if pair else ABSENT


def _median(run: Run, key: str, spec: str) -> str:
    values = list(health.series(run.metrics, key).values())
    return f"{np.median(values):{spec}}" if values else ABSENT


def _duration(run: Run) -> str:
    pair = health.ends(run.metrics, "seconds")
    if not pair:
        return "an unrecorded time"
    minutes, seconds = divmod(round(pair[1]), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def results(run: Run) -> list[dict[str, Any]]:
    """The results of `evaluation.json`, none where it is absent.

    They name their data set only where there are several.
    """
    found = (run.evaluation or {}).get("results", [])
    several = len({result.get("data") for result in found}) > 1
    return found if several else [{**result, "data": None} for result in found]


def label(result: Mapping[str, Any]) -> str:
    """What a result measured, such as `brain, k-NN: plane (accuracy)`."""
    task = {"knn": "k-NN"}.get(result["task"], result["task"].replace("_", " "))
    kind = f", {result['class']}" if result.get("class") else ""
    data = f"{result['data']}, " if result.get("data") else ""
    return f"{data}{task}: {result['target']}{kind} ({result['metric']})"


def outcome(result: Mapping[str, Any]) -> str:
    """Which encoder is higher, if the difference's interval is clear of zero."""
    pretrained_higher, random_higher, not_clear = _OUTCOMES
    if result["difference"]["low"] > 0:
        return pretrained_higher
    return random_higher if result["difference"]["high"] < 0 else not_clear


def interval(estimate: Mapping[str, float], sign: str = "") -> str:
    """A value with its interval; `sign` "+" also writes the plus of a difference."""
    value, low, high = (
        f"{estimate[key]:{sign}.3f}" for key in ("value", "low", "high")
    )
    return f"{value} [{low}, {high}]".replace("-", "−")


def comparison(run: Run) -> str:
    """Whether the pre-trained encoder beats its random start, whichever is higher."""
    found = [outcome(result) for result in results(run)]
    if not found:
        return (
            "The encoder has not been compared with its random start: "
            f"lvmmed evaluate {run.workdir} --data SHARDS does it."
        )
    higher, lower, unclear = map(found.count, _OUTCOMES)
    first = results(run)[0]
    values = (f"{side} {first[side]['value']:.3f}" for side in ("pretrained", "random"))
    return (
        f"Against its random start the pretrained encoder is clearly higher on "
        f"{higher} of {len(found)} measures and clearly lower on {lower}; on {unclear} "
        f"the interval of the difference includes zero. {label(first)}: "
        f"{', '.join(values)}, difference {interval(first['difference'], '+')}, "
        f"{outcome(first)}."
    )


def read_runs(workdirs: Sequence[pathlib.Path]) -> list[Run]:
    """Reads work folders; a run is named by its folder, by its path if two are alike.

    Raises:
      FileNotFoundError: a folder has no `metrics.jsonl`.
      ValueError: a file in it is damaged.
    """
    names = [path.resolve().name for path in workdirs]
    unique = len(set(names)) == len(names)
    return [
        _read_run(path, name if unique else str(path))
        for path, name in zip(workdirs, names, strict=True)
    ]


def _read_run(workdir: pathlib.Path, name: str) -> Run:
    metrics, num_unreadable = _read_metrics(workdir)
    return Run(
        name=name,
        workdir=workdir,
        metrics=metrics,
        num_unreadable=num_unreadable,
        config=_read_json(workdir / "config.json") or {},
        about=_read_json(workdir / "run.json") or {},
        evaluation=_read_evaluation(workdir / "evaluation.json"),
        training_pictures=_read_arrays(workdir / "pictures" / "pretrain.npz"),
        evaluation_pictures=_read_arrays(workdir / "pictures" / "evaluation.npz"),
    )


def _read_metrics(workdir: pathlib.Path) -> tuple[tuple[dict[str, Any], ...], int]:
    """The lines that are whole, and the number of those that are not."""
    path = workdir / "metrics.jsonl"
    if not path.is_file():
        raise FileNotFoundError(
            f"{workdir} has no metrics.jsonl; give the --workdir of a pretrain run"
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


def _read_evaluation(path: pathlib.Path) -> dict[str, Any] | None:
    evaluation = _read_json(path)
    for index, result in enumerate((evaluation or {}).get("results", [])):
        missing = [key for key in _RESULT_KEYS if key not in result]
        missing += [key for key in _ESTIMATES if not _is_estimate(result.get(key))]
        if missing:
            raise ValueError(
                f"{path}: result {index} lacks {', '.join(missing)}; "
                "write the file again with the evaluate command"
            )
    return evaluation


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
