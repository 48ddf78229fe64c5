"""The section of a report that says whether pre-training helped."""

from collections.abc import Mapping, Sequence
from typing import Any

from lvmmed_jax.report import figures, markup, measures, runs, summary

_TITLE = "Does pre-training help?"
_SIDES = ("random", "pretrained", "difference")
_START_MARKERS = ("x", "+", "1", "2", "3")
_HIGHEST = "▲\u00a0highest"
_SEEDS = (
    "Intervals are 95 % bootstrap over the test images, below each value the paired "
    "difference from the run's own random start. They leave out what another training "
    "seed would change: a difference between two runs of one seed each is no finding; "
    f"train each with several seeds. “{_HIGHEST}” marks a value whose whole "
    "interval lies above all others of its row, where all runs had equal numbers of "
    "training and test images."
)


def section(all_runs: Sequence[runs.Run]) -> str:
    """The results beside the random start's, of several runs in one table."""
    parts = [_one(all_runs[0])] if len(all_runs) == 1 else _several(all_runs)
    return markup.section(_TITLE, *parts)


def _one(run: runs.Run) -> str:
    results = summary.results(run)
    if not results:
        return markup.paragraph(summary.comparison(run))
    labels = [summary.label(result) for result in results]
    columns = ("measure", *_SIDES, "verdict", "train / test")
    about = ", ".join(
        f"{key.replace('_', ' ')} {run.evaluation[key]}"
        for key in ("model", "data", "part", "input_size", "seconds")
        if key in run.evaluation
    )
    note = (
        "Intervals are 95 % bootstrap; the difference is paired, pretrained minus "
        "random, and clear where its interval leaves out zero. "
        f"{_leakage_note(run)}Evaluated: {about}."
    )
    colours = figures.SERIES
    random, pretrained, difference = (
        [result[side] for result in results] for side in _SIDES
    )
    values = (
        figures.Dots("random", colours[0], "s", random),
        figures.Dots("pretrained", colours[1], "o", pretrained),
    )
    name = "pretrained minus random"
    differences = (figures.Dots(name, colours[2], "o", difference),)
    return (
        markup.table(columns, map(_row, results))
        + markup.note(note)
        + _charts(labels, values, "Random and pretrained", differences, "Difference")
    )


def _row(result: Mapping[str, Any]) -> list[Any]:
    return [
        summary.label(result),
        *(summary.interval(result[side]) for side in ("random", "pretrained")),
        summary.interval(result["difference"], sign="+"),
        summary.outcome(result),
        (_counts(result), *_leakage(result)),
    ]


def _leakage(result: Mapping[str, Any]) -> list[str]:
    """How many test images are among those of pre-training, where it is known."""
    found = result.get("leakage")
    if found is None:
        return []
    leaked, tested = found["leaked"], found["tested"]
    return [f"leakage: {leaked} of {tested} test images"]


def _leakage_note(run: runs.Run) -> str:
    found = [result.get("leakage") for result in run.evaluation["results"]]
    if any(found):
        return ""
    return (
        "Whether test images are among those of pre-training was not looked for: "
        "evaluate --against SHARDS does it. "
    )


def _counts(result: Mapping[str, Any]) -> str:
    return " / ".join(str(result.get(f"num_{part}", "?")) for part in ("train", "test"))


def _charts(
    labels: Sequence[str],
    values: Sequence[figures.Dots],
    values_title: str,
    differences: Sequence[figures.Dots],
    differences_title: str,
) -> str:
    left = figures.intervals("Values with intervals", labels, values)
    right = figures.intervals(
        "Differences with intervals", labels, differences, equality=True
    )
    cells = (
        markup.figure(left, "", values_title),
        markup.figure(right, "", differences_title),
    )
    return markup.grid("wide", cells)


def _several(all_runs: Sequence[runs.Run]) -> list[str]:
    missing = [
        markup.paragraph(f"{run.name}: {summary.comparison(run)}")
        for run in all_runs
        if not summary.results(run)
    ]
    rows = measures.measures(all_runs)
    if not rows:
        return missing
    labels, starts = measures.labels(rows), measures.random_starts(rows)
    names = [_start_name(all_runs, group, len(starts)) for group in starts]
    head = ["measure", *(run.name for run in all_runs), *names, "train / test"]
    lines = [
        [label, *_values(row, starts), (_all_counts(row), *_all_leakage(row))]
        for label, row in zip(labels, rows, strict=True)
    ]
    values = [
        *_run_dots(all_runs, rows, "pretrained"),
        *_start_dots(rows, starts, names),
    ]
    return [
        *missing,
        markup.table(head, lines),
        markup.note(_SEEDS),
        _charts(
            labels,
            values,
            "Values",
            _run_dots(all_runs, rows, "difference"),
            "Difference from the own random start",
        ),
    ]


def _start_name(
    all_runs: Sequence[runs.Run], group: Sequence[int], num_groups: int
) -> tuple[str, ...]:
    """Whose they are stands below, so that it does not widen the column."""
    if num_groups == 1:
        return ("random start",)
    return "random start", f"of {', '.join(all_runs[index].name for index in group)}"


def _values(row: measures.Measure, starts: Sequence[Sequence[int]]) -> list[Any]:
    """Cells of the runs, then of the random starts."""
    best, cells = measures.highest(row), []
    for index, result in enumerate(row.results):
        if result is None:
            cells.append(summary.ABSENT)
            continue
        value = summary.interval(result["pretrained"])
        mark = f" {_HIGHEST}" if index == best else ""
        cells.append((value + mark, summary.interval(result["difference"], sign="+")))
    for group in starts:
        found = _start(row, group)
        cells.append(summary.interval(found) if found else summary.ABSENT)
    return cells


def _start(row: measures.Measure, group: Sequence[int]) -> Mapping[str, float] | None:
    return next((row.results[i]["random"] for i in group if row.results[i]), None)


def _all_counts(row: measures.Measure) -> str:
    """Those of every run, once where they agree."""
    return "; ".join(dict.fromkeys(_counts(result) for result in row.results if result))


def _all_leakage(row: measures.Measure) -> list[str]:
    found = (line for result in row.results if result for line in _leakage(result))
    return list(dict.fromkeys(found))


def _run_dots(
    all_runs: Sequence[runs.Run], rows: Sequence[measures.Measure], side: str
) -> list[figures.Dots]:
    """One series a run that has been evaluated."""
    dots = []
    for index, run in enumerate(all_runs):
        look = figures.run_look(index)
        found = [row.results[index] and row.results[index][side] for row in rows]
        if any(found):
            one = figures.Dots(run.name, look.colour, look.marker, found)
            dots.append(one)
    return dots


def _start_dots(
    rows: Sequence[measures.Measure],
    starts: Sequence[Sequence[int]],
    names: Sequence[Sequence[str]],
) -> list[figures.Dots]:
    return [
        figures.Dots(
            " ".join(name),
            figures.INK,
            _START_MARKERS[number % len(_START_MARKERS)],
            [_start(row, group) for row in rows],
        )
        for number, (group, name) in enumerate(zip(starts, names, strict=True))
    ]
