"""The section of a report that says whether pre-training helped."""

from collections.abc import Mapping, Sequence
from typing import Any

from lvmmed_jax import (
    report,
    report_figures,
    report_html,
    report_measures,
    report_runs,
)

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


def section(runs: Sequence[report_runs.Run]) -> str:
    """The results beside the random start's, of several runs in one table."""
    parts = [_one(runs[0])] if len(runs) == 1 else _several(runs)
    return report_html.section(_TITLE, *parts)


def _one(run: report_runs.Run) -> str:
    results = report.results(run)
    if not results:
        return report_html.paragraph(report.comparison(run))
    labels = [report.label(result) for result in results]
    columns = ("measure", *_SIDES, "verdict", "train / test")
    about = ", ".join(
        f"{key.replace('_', ' ')} {run.evaluation[key]}"
        for key in ("model", "data", "part", "input_size", "seconds")
        if key in run.evaluation
    )
    note = (
        "Intervals are 95 % bootstrap; the difference is paired, pretrained minus "
        f"random, and clear where its interval leaves out zero. Evaluated: {about}."
    )
    colours = report_figures.SERIES
    random, pretrained, difference = (
        [result[side] for result in results] for side in _SIDES
    )
    values = (
        report_figures.Dots("random", colours[0], "s", random),
        report_figures.Dots("pretrained", colours[1], "o", pretrained),
    )
    name = "pretrained minus random"
    differences = (report_figures.Dots(name, colours[2], "o", difference),)
    return (
        report_html.table(columns, map(_row, results))
        + report_html.note(note)
        + _charts(labels, values, "Random and pretrained", differences, "Difference")
    )


def _row(result: Mapping[str, Any]) -> list[str]:
    return [
        report.label(result),
        *(report.interval(result[side]) for side in ("random", "pretrained")),
        report.interval(result["difference"], sign="+"),
        report.outcome(result),
        _counts(result),
    ]


def _counts(result: Mapping[str, Any]) -> str:
    return " / ".join(str(result.get(f"num_{part}", "?")) for part in ("train", "test"))


def _charts(
    labels: Sequence[str],
    values: Sequence[report_figures.Dots],
    values_title: str,
    differences: Sequence[report_figures.Dots],
    differences_title: str,
) -> str:
    left = report_figures.intervals("Values with intervals", labels, values)
    right = report_figures.intervals(
        "Differences with intervals", labels, differences, equality=True
    )
    cells = (
        report_html.figure(left, "", values_title),
        report_html.figure(right, "", differences_title),
    )
    return report_html.grid("wide", cells)


def _several(runs: Sequence[report_runs.Run]) -> list[str]:
    missing = [
        report_html.paragraph(f"{run.name}: {report.comparison(run)}")
        for run in runs
        if not report.results(run)
    ]
    rows = report_measures.measures(runs)
    if not rows:
        return missing
    labels, starts = report_measures.labels(rows), report_measures.random_starts(rows)
    names = [_start_name(runs, group, len(starts)) for group in starts]
    head = ["measure", *(run.name for run in runs), *names, "train / test"]
    lines = [
        [label, *_values(row, starts), _all_counts(row)]
        for label, row in zip(labels, rows, strict=True)
    ]
    values = [*_run_dots(runs, rows, "pretrained"), *_start_dots(rows, starts, names)]
    return [
        *missing,
        report_html.table(head, lines),
        report_html.note(_SEEDS),
        _charts(
            labels,
            values,
            "Values",
            _run_dots(runs, rows, "difference"),
            "Difference from the own random start",
        ),
    ]


def _start_name(
    runs: Sequence[report_runs.Run], group: Sequence[int], num_groups: int
) -> tuple[str, ...]:
    """Whose they are stands below, so that it does not widen the column."""
    if num_groups == 1:
        return ("random start",)
    return "random start", f"of {', '.join(runs[index].name for index in group)}"


def _values(row: report_measures.Measure, starts: Sequence[Sequence[int]]) -> list[Any]:
    """Cells of the runs, then of the random starts."""
    best, cells = report_measures.highest(row), []
    for index, result in enumerate(row.results):
        if result is None:
            cells.append(report.ABSENT)
            continue
        value = report.interval(result["pretrained"])
        mark = f" {_HIGHEST}" if index == best else ""
        cells.append((value + mark, report.interval(result["difference"], sign="+")))
    for group in starts:
        found = _start(row, group)
        cells.append(report.interval(found) if found else report.ABSENT)
    return cells


def _start(
    row: report_measures.Measure, group: Sequence[int]
) -> Mapping[str, float] | None:
    return next((row.results[i]["random"] for i in group if row.results[i]), None)


def _all_counts(row: report_measures.Measure) -> str:
    """Those of every run, once where they agree."""
    return "; ".join(dict.fromkeys(_counts(result) for result in row.results if result))


def _run_dots(
    runs: Sequence[report_runs.Run], rows: Sequence[report_measures.Measure], side: str
) -> list[report_figures.Dots]:
    """One series a run that has been evaluated."""
    dots = []
    for index, run in enumerate(runs):
        look = report_figures.run_look(index)
        found = [row.results[index] and row.results[index][side] for row in rows]
        if any(found):
            one = report_figures.Dots(run.name, look.colour, look.marker, found)
            dots.append(one)
    return dots


def _start_dots(
    rows: Sequence[report_measures.Measure],
    starts: Sequence[Sequence[int]],
    names: Sequence[Sequence[str]],
) -> list[report_figures.Dots]:
    return [
        report_figures.Dots(
            " ".join(name),
            report_figures.INK,
            _START_MARKERS[number % len(_START_MARKERS)],
            [_start(row, group) for row in rows],
        )
        for number, (group, name) in enumerate(zip(starts, names, strict=True))
    ]
