"""What a run did, told in plain words and numbers."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from lvmmed_jax import health
from lvmmed_jax.report import runs

ABSENT = "–"

_COUNT, _SHARE, _TWO_DIGITS = "{:,.0f}".format, "{:.1%}".format, "{:.2f}".format
_GIGABYTES = "{:,.1f} GB".format
_OUTCOMES = ("pretrained higher", "random higher", "not clear")


def story(run: runs.Run) -> str:
    """What ran, on how much data, for how long; only what the run recorded."""
    data = run.about.get("data") or {}
    counts = [f"{name} {n}" for name, n in (data.get("modalities") or {}).items()]
    if data.get("skipped"):
        counts.append(f"files skipped: {data['skipped']}")
    seconds = _last(run, "seconds", duration)
    parts = [
        f"It trained for {_last(run, 'step')} steps",
        f"on {data['records']:,} records" if "records" in data else "",
        f"({', '.join(counts)})" if counts else "",
        f"and saw {_last(run, 'images')} images in",
        "an unrecorded time" if seconds == ABSENT else seconds,
        f"on {run.about['devices']}" if "devices" in run.about else "",
    ]
    return " ".join(filter(None, parts)) + "."


def numbers(all_runs: Sequence[runs.Run]) -> list[list[str]]:
    """The table of numbers: a row's name, then its value in every run.

    Rows that no run logged are left out.
    """
    rows = []
    for name, tell, key, say in _NUMBERS:
        rows.append([name, *(tell(run, key, say) for run in all_runs)])
        if key == "matching_accuracy":
            rows = [*rows[:-1], *_with_chance(rows[-1], all_runs)]
    return [row for row in rows if set(row[1:]) != {ABSENT}]


def _with_chance(row: list[str], all_runs: Sequence[runs.Run]) -> list[list[str]]:
    """The row with its chance in its name, or below it where runs have other graphs."""
    name, *cells = row
    chances = [f"{chance(run):.2f}" for run in all_runs]
    if len(set(chances)) == 1:
        return [[f"{name} (chance {chances[0]})", *cells]]
    known = [
        ABSENT if cell == ABSENT else by_chance
        for cell, by_chance in zip(cells, chances, strict=True)
    ]
    return [row, [f"{name} by chance", *known]]


def verdict(run: runs.Run) -> health.Verdict:
    """Whether the run was healthy."""
    return health.judge(run.metrics, _graph_size(run))


def chance(run: runs.Run) -> float:
    """Matching accuracy by chance, 1 / N."""
    return 1 / _graph_size(run)


def duration(seconds: float) -> str:
    """A time as people say it, such as `1 h 5 min`."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def _graph_size(run: runs.Run) -> int:
    return run.config.get("matching", {}).get("graph_size", 16)


def _last(run: runs.Run, key: str, say: Callable[[float], str] = _COUNT) -> str:
    pair = health.ends(run.metrics, key)
    return say(pair[1]) if pair else ABSENT


def _change(run: runs.Run, key: str, say: Callable[[float], str]) -> str:
    pair = health.ends(run.metrics, key)
    return f"{say(pair[0])} → {say(pair[1])}" if pair else ABSENT


def _median(run: runs.Run, key: str, say: Callable[[float], str]) -> str:
    values = _finite(run, key)
    return say(np.median(values)) if values else ABSENT


def _most(run: runs.Run, key: str, say: Callable[[float], str]) -> str:
    return say(max(values)) if (values := _finite(run, key)) else ABSENT


def _finite(run: runs.Run, key: str) -> list[float]:
    return [v for v in health.series(run.metrics, key).values() if math.isfinite(v)]


# a row's name, what it tells of which metric, how it writes a value
_NUMBERS = (
    ("steps", _last, "step", _COUNT),
    ("steps skipped (not finite)", _last, "skipped_steps", _COUNT),
    ("images seen", _last, "images", _COUNT),
    ("time", _last, "seconds", duration),
    ("images per second, median", _median, "images_per_second", _COUNT),
    ("time spent waiting for data, median", _median, "data_wait_share", _SHARE),
    ("teraflops per second, median", _median, "teraflops_per_second", "{:,.2f}".format),
    ("share of the devices' peak, median", _median, "flops_utilisation", _SHARE),
    ("memory of a device, most", _most, "device_memory_gb", _GIGABYTES),
    ("memory of the host, most", _most, "host_memory_gb", _GIGABYTES),
    ("loss without noise", _change, "loss_no_noise", _TWO_DIGITS),
    ("loss with noise", _change, "loss", _TWO_DIGITS),
    ("matching accuracy", _change, "matching_accuracy", _TWO_DIGITS),
    ("k-NN accuracy while training", _change, "knn_accuracy", _TWO_DIGITS),
    ("embedding rank", _change, "embedding_rank", "{:.1f}".format),
    ("embedding spread", _change, "embedding_std", _TWO_DIGITS),
)


def results(run: runs.Run) -> list[dict[str, Any]]:
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
    return f"{data}{task}: {target(result)}{kind} ({result['metric']})"


def target(result: Mapping[str, Any]) -> str:
    """What was to be told, and from how few labels where it was so."""
    few = f", from {result['labels']}" if result.get("labels") else ""
    return f"{result['target']}{few}"


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


def comparison(run: runs.Run) -> str:
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
