"""What a run wrote: read back, judged healthy or not, and told in plain words."""

import dataclasses
import json
import math
import pathlib
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

CHANCE = 1 / 16  # of a pair in a graph of 16 images
ABSENT = "–"

MANY_STEPS = 100
MIN_VALUES = 3
MIN_RANK = 2.0
MIN_RANK_FRACTION = 0.15
MIN_STD = 0.1
MIN_AFFINITY_GAP, HIGH_AFFINITY = 0.02, 0.95
NEAR_CHANCE, MIN_RISE = 0.18, 0.05

TOO_SHORT = (
    f"too short to tell: embedding rank, spread or matching accuracy must have been "
    f"measured {MIN_VALUES} times"
)

_SIGNS = ("embedding_rank", "embedding_std", "matching_accuracy")
_RESULT_KEYS = ("task", "target", "metric")
_ESTIMATES = ("random", "pretrained", "difference")
_OUTCOMES = ("pretrained higher", "random higher", "not clear")


class Verdict(NamedTuple):
    """Whether training is healthy, and if not, why; one reason a sign."""

    healthy: bool
    reasons: tuple[str, ...]


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


def series(metrics: Iterable[Mapping[str, Any]], key: str) -> dict[int, float]:
    """The values of one metric by step, in the order of steps.

    A resumed run writes some steps twice: the later line counts. JSON's null, which
    strict writers put for a number that is not finite, is read as nan.
    """
    values = {
        int(line["step"]): math.nan if line[key] is None else float(line[key])
        for line in metrics
        if key in line
    }
    return dict(sorted(values.items()))


def ends(metrics: Iterable[Mapping[str, Any]], key: str) -> tuple[float, float] | None:
    """The first and the last value of a metric, None where it was never logged."""
    values = list(series(metrics, key).values())
    return (values[0], values[-1]) if values else None


def health(metrics: Sequence[Mapping[str, Any]]) -> Verdict:
    """Tells a healthy run from one that collapses, diverges or does not learn.

    The thresholds stand between what runs that learned and runs that did not have
    measured (F = 128, graphs of N = 16, 300 to 750 steps):

    * a loss, rank, spread or accuracy that is not finite: diverged.
    * embedding rank, exp of the entropy of the normalised singular values of z: below
      2 the embeddings lie on a line; 0.15 of the start is half the lowest fraction
      of a run that learned (55-61 fell to 28-35, and to 16 at too high a rate).
    * embedding spread, that of the directions times sqrt(F), below 0.1: 1 where they
      fill the space; sqrt(1 - c) at mean cosine c of different images, so that 0.1
      is 0.99. The worst run that did not collapse drifted to 0.85.
    * affinities of true and of other pairs both above 0.95 and less than 0.02 apart:
      random encoders, the worst start, have 0.95 and 0.72.
    * matching accuracy below 0.18 that did not rise by 0.05 (one standard error of
      128 images is 0.04) after 100 steps: runs that failed end at 0.05-0.16, an
      untrained encoder has 0.20-0.27, and one that learns about 0.4 at that step.

    Args:
      metrics: lines of `metrics.jsonl`, any keys missing in any line.

    Returns:
      The verdict. A run with under three values of each sign is not called healthy:
      its one reason is `TOO_SHORT`.
    """
    if reason := _not_finite(metrics):
        return Verdict(False, (reason,))
    if max(len(series(metrics, key)) for key in _SIGNS) < MIN_VALUES:
        return Verdict(False, (TOO_SHORT,))
    tests = (_low_rank, _no_spread, _equal_affinities, _not_learning)
    reasons = tuple(reason for test in tests if (reason := test(metrics)))
    return Verdict(not reasons, reasons)


def _not_finite(metrics: Sequence[Mapping[str, Any]]) -> str | None:
    for key in ("loss", "loss_no_noise", *_SIGNS):
        for step, value in series(metrics, key).items():
            if not math.isfinite(value):
                return f"diverged: {key} is not finite at step {step}"
    return None


def _low_rank(metrics: Sequence[Mapping[str, Any]]) -> str | None:
    first, last = ends(metrics, "embedding_rank") or (math.inf, math.inf)
    if last >= MIN_RANK and last >= MIN_RANK_FRACTION * first:
        return None
    return f"collapsing: the embedding rank is {last:.1f}, at first {first:.1f}"


def _no_spread(metrics: Sequence[Mapping[str, Any]]) -> str | None:
    _, last = ends(metrics, "embedding_std") or (math.inf, math.inf)
    if last >= MIN_STD:
        return None
    return f"collapsing: the embedding spread is {last:.2f}, all images look alike"


def _equal_affinities(metrics: Sequence[Mapping[str, Any]]) -> str | None:
    _, true = ends(metrics, "affinity_true") or (0.0, 0.0)
    _, other = ends(metrics, "affinity_other") or (0.0, 0.0)
    if min(true, other) <= HIGH_AFFINITY or true - other >= MIN_AFFINITY_GAP:
        return None
    return (
        f"collapsing: the affinity of true pairs ({true:.3f}) is hardly above that of "
        f"other pairs ({other:.3f})"
    )


def _not_learning(metrics: Sequence[Mapping[str, Any]]) -> str | None:
    steps = max(series(metrics, "matching_accuracy"), default=0)
    first, last = ends(metrics, "matching_accuracy") or (0.0, 0.0)
    if steps < MANY_STEPS or last >= NEAR_CHANCE or last - first >= MIN_RISE:
        return None
    return (
        f"not learning: the matching accuracy is {last:.2f} after {steps} steps, "
        f"at first {first:.2f}, by chance {CHANCE:.2f}"
    )


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
        f"matching accuracy (chance {CHANCE:.2f})": _change(
            run, "matching_accuracy", ".2f"
        ),
        "embedding rank": _change(run, "embedding_rank", ".1f"),
        "embedding spread": _change(run, "embedding_std", ".2f"),
    }


def _last(run: Run, key: str) -> str:
    pair = ends(run.metrics, key)
    return f"{pair[1]:,.0f}" if pair else ABSENT


def _change(run: Run, key: str, spec: str) -> str:
    pair = ends(run.metrics, key)
    return f"{pair[0]:{spec}} → {pair[1]:{spec}}" if pair else ABSENT


def _median(run: Run, key: str, spec: str) -> str:
    values = list(series(run.metrics, key).values())
    return f"{np.median(values):{spec}}" if values else ABSENT


def _duration(run: Run) -> str:
    pair = ends(run.metrics, "seconds")
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
