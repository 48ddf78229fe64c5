"""One table of evaluations over several runs: its rows, and what stands out."""

import collections
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lvmmed_jax.report import runs, summary


class Measure(NamedTuple):
    """One measure, in every run.

    Attributes:
      data, part, task, target, class_name, metric: what was measured on what; `part`
        is that of the data which was tested on.
      results: a result of `evaluation.json` for each run, None where it has none.
    """

    data: str
    part: str
    task: str
    target: str
    class_name: str | None
    metric: str
    results: tuple[Mapping[str, Any] | None, ...]

    @property
    def identity(self) -> dict[str, str | None]:
        """What was measured, in the names of JSON and CSV."""
        return {
            "data": self.data,
            "part": self.part,
            "task": self.task,
            "target": self.target,
            "class": self.class_name,
            "metric": self.metric,
        }


def measures(all_runs: Sequence[runs.Run]) -> list[Measure]:
    """Every measure that any run has, sorted."""
    rows: dict[tuple, list[Mapping[str, Any] | None]] = {}
    for column, run in enumerate(all_runs):
        for key, result in _by_key(run).items():
            rows.setdefault(key, [None] * len(all_runs))[column] = result
    # the empty string sorts where None cannot
    return [
        Measure(*key[:4], key[4] or None, key[5], tuple(rows[key]))
        for key in sorted(rows)
    ]


def _by_key(run: runs.Run) -> dict[tuple, Mapping[str, Any]]:
    """The results by what they measured; equal names are told apart by their order."""
    evaluation = run.evaluation or {}
    # older files name the data once, for all results
    data = pathlib.PurePath(str(evaluation.get("data", ""))).name
    part, seen = str(evaluation.get("part", "test")), collections.Counter()
    keyed = {}
    for result in evaluation.get("results", []):
        target = summary.target(result)
        names = (result["task"], target, result.get("class") or "")
        key = (result.get("data") or data, part, *names, result["metric"])
        key = tuple(map(str, key))
        keyed[(*key, seen[key])] = result
        seen[key] += 1
    return keyed


def labels(rows: Sequence[Measure]) -> list[str]:
    """What each row measured, without what is the same in all of them."""
    several_data = len({row.data for row in rows}) > 1
    several_parts = len({row.part for row in rows}) > 1
    return [
        summary.label(
            {
                "data": ", ".join(
                    [row.data] * several_data + [f"part {row.part}"] * several_parts
                ),
                "task": row.task,
                "target": row.target,
                "class": row.class_name,
                "metric": row.metric,
            }
        )
        for row in rows
    ]


def highest(row: Measure) -> int | None:
    """The run whose whole interval lies above all others and all random starts.

    None where there is none, where one run alone was measured, or where runs were
    trained or tested on different numbers of images.
    """
    measured = {index: one for index, one in enumerate(row.results) if one}
    counts = {(one.get("num_train"), one.get("num_test")) for one in measured.values()}
    if len(measured) < 2 or len(counts) > 1:
        return None
    best = max(measured, key=lambda index: measured[index]["pretrained"]["value"])
    others = [one["random"]["high"] for one in measured.values()]
    others += [one["pretrained"]["high"] for i, one in measured.items() if i != best]
    return best if measured[best]["pretrained"]["low"] > max(others) else None


def random_starts(rows: Sequence[Measure]) -> list[list[int]]:
    """The runs in groups of one random start: equal wherever both have a value."""
    groups: list[list[int]] = []
    for index in range(len(rows[0].results) if rows else 0):
        if all(row.results[index] is None for row in rows):
            continue
        for group in groups:
            if all(_same_start(rows, index, other) for other in group):
                group.append(index)
                break
        else:
            groups.append([index])
    return groups


def _same_start(rows: Sequence[Measure], one: int, other: int) -> bool:
    pairs = [(row.results[one], row.results[other]) for row in rows]
    both = [(a["random"], b["random"]) for a, b in pairs if a and b]
    return bool(both) and all(a == b for a, b in both)
