"""The HTML page of a report: sections in reading order, everything inline."""

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from lvmmed_jax import health
from lvmmed_jax.report import (
    compare,
    curves,
    markup,
    panels,
    pictures,
    results,
    runs,
    scores,
    style,
    summary,
)

_AXES = (
    "Images seen compare runs of other batch sizes; time is that of the machines they "
    "ran on. Losses of other methods or graph sizes have other scales."
)


def write(text: str, path: pathlib.Path) -> None:
    """Writes a page under a temporary name and renames it; makes its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def page(all_runs: Sequence[runs.Run]) -> str:
    """The whole page; of several runs the pictures are those of the first."""
    several = len(all_runs) > 1
    names = ", ".join(run.name for run in all_runs)
    kind = "Fine-tuning" if all_runs[0].is_fine_tuning else "Pre-training"
    title = f"{kind} {'runs' if several else 'run'} {names}"
    whose = f"The pictures are those of {all_runs[0].name}."
    body = _fine_tuning if all_runs[0].is_fine_tuning else _pretraining
    parts = [
        *body(
            all_runs,
            markup.paragraph(whose) if several else "",
            _differences(all_runs) if several else "",
        ),
        _settings(all_runs),
    ]
    return markup.page(title, style.CSS, parts)


def _pretraining(all_runs: Sequence[runs.Run], *differences: str) -> list[str]:
    several = len(all_runs) > 1
    return [
        *map(_verdict, all_runs),
        *differences,
        _numbers(all_runs),
        compared_curves({run.name: [run] for run in all_runs})
        if several
        else _curves(all_runs[0], panels.PANELS, f"<p>{_health(all_runs[0])}</p>"),
        pictures.views(all_runs[0]),
        pictures.affinity(all_runs[0]),
        results.section(all_runs),
        pictures.overlays(all_runs[0]),
        pictures.contact_sheet(all_runs[0]),
    ]


def _fine_tuning(all_runs: Sequence[runs.Run], *differences: str) -> list[str]:
    several, own = len(all_runs) > 1, panels.FINE_TUNING
    return [
        *(markup.paragraph(f"{run.name}: {summary.story(run)}") for run in all_runs),
        *differences,
        scores.section(all_runs),
        scores.cases(all_runs[0]),
        _numbers(all_runs),
        compared_curves({run.name: [run] for run in all_runs}, shown=own)
        if several
        else _curves(all_runs[0], own, ""),
    ]


def _verdict(run: runs.Run) -> str:
    said = markup.text(f"{summary.story(run)} {summary.comparison(run)}")
    return f"<p>{_health(run)} {said}</p>"


def _health(run: runs.Run) -> str:
    """The verdict as a badge and its reasons."""
    verdict = summary.verdict(run)
    why, badge, kind = "; ".join(verdict.reasons), "✗ not healthy", "bad"
    if verdict.healthy:
        why, badge, kind = "no sign of collapse", "✓ healthy", "good"
    elif verdict.reasons == (health.TOO_SHORT,):
        badge, kind = "? too short to tell", ""
    said = markup.text(f"{run.name}: {why}.")
    return f'<span class="badge {kind}">{badge}</span> {said}'


def _differences(all_runs: Sequence[runs.Run]) -> str:
    """Settings, then facts; all that is not listed is the same in all runs."""
    found = compare.config_differences(all_runs)
    found |= compare.run_differences(all_runs)
    parts = [
        markup.paragraph(f"{run.name}: {name} is not there, so it is not compared.")
        for run in all_runs
        for name, content in (("config.json", run.config), ("run.json", run.about))
        if not content
    ]
    head = ["", *(run.name for run in all_runs)]
    rows = [[name, *values] for name, values in found.items()]
    same = markup.paragraph("The runs have the same settings, data and devices.")
    table = markup.table(head, rows) if rows else same
    return markup.section("What differs", *parts, table)


def _numbers(all_runs: Sequence[runs.Run]) -> str:
    notes = [
        markup.paragraph(
            f"{run.name}: {run.num_unreadable} damaged lines were left out."
        )
        for run in all_runs
        if run.num_unreadable
    ]
    head = ["", *(run.name for run in all_runs)]
    table = markup.table(head, summary.numbers(all_runs))
    return markup.section("Numbers", table, *notes)


def _curves(run: runs.Run, shown: Sequence[panels.Panel], verdict: str) -> str:
    """The verdict again, beside the curves that it was read from."""
    wide, small = [], []
    for panel in shown:
        if picture := curves.curves(run, panel):
            cell = markup.figure(picture, panel.note, panel.title)
            (small if panel.small else wide).append(cell)
    charts = markup.grid("wide", wide), markup.grid("small", small)
    return markup.section("Curves", verdict, *charts)


def compared_curves(
    groups: Mapping[str, Sequence[runs.Run]],
    *notes: str,
    shown: Sequence[panels.Panel] = panels.PANELS,
) -> str:
    """A chart a metric, over what the reader chooses; a curve a group, by its name."""
    lines = [(curves.key_line(index), name) for index, name in enumerate(groups)]
    note = markup.note(" ".join([*notes, _AXES]))
    all_runs = [run for group in groups.values() for run in group]
    choices = [
        (f"over {axis.name}", _charts(list(groups.values()), axis, shown))
        for axis in curves.shared_axes(all_runs)
    ]
    parts = (note, markup.key(lines), markup.choice("axis", choices))
    return markup.section("Curves", *parts)


def _charts(
    groups: Sequence[Sequence[runs.Run]],
    axis: curves.Axis,
    shown: Sequence[panels.Panel],
) -> str:
    wide, small = [], []
    for panel in shown:
        for key in panel.labels:
            if picture := curves.compared(groups, panel, key, axis):
                title = panels.title(panel, key)
                cell = markup.figure(picture, panel.note, title)
                (small if panel.small else wide).append(cell)
    return markup.grid("wide", wide) + markup.grid("small", small)


def _settings(all_runs: Sequence[runs.Run]) -> str:
    parts = []
    for run in all_runs:
        prefix = f"{run.name}: " if len(all_runs) > 1 else ""
        tables = {
            "environment": {k: v for k, v in run.about.items() if k != "versions"},
            "versions": run.about.get("versions") or {},
            **{f"config, {key}": value for key, value in run.config.items()},
        }
        parts += [
            markup.details(prefix + name, _fields(values))
            for name, values in tables.items()
        ]
    return markup.section("Configuration and environment", *parts)


def _fields(values: Any) -> str:
    nested = isinstance(values, dict)
    rows = runs.flatten(values).items() if nested else [("", values)]
    if not rows:
        return markup.paragraph("Not recorded.")
    return markup.table(("", "value"), rows)
