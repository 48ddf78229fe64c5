"""The HTML page of a report: sections in reading order, everything inline."""

import os
import pathlib
from collections.abc import Sequence
from typing import Any

from lvmmed_jax import (
    health,
    report,
    report_compare,
    report_curves,
    report_evaluation,
    report_html,
    report_panels,
    report_pictures,
    report_runs,
    report_style,
)


def write(runs: Sequence[report_runs.Run], path: pathlib.Path) -> None:
    """Writes the page under a temporary name and renames it; makes its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(page(runs), encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def page(runs: Sequence[report_runs.Run]) -> str:
    """The whole page; of several runs the pictures are those of the first."""
    several = len(runs) > 1
    names = ", ".join(run.name for run in runs)
    title = f"{'Pre-training runs' if several else 'Pre-training run'} {names}"
    pictures = f"The pictures are those of {runs[0].name}."
    body = [
        f"<h1>{report_html.text(title)}</h1>",
        *map(_verdict, runs),
        report_html.paragraph(pictures) if several else "",
        _differences(runs) if several else "",
        _numbers(runs),
        _compared_curves(runs) if several else _curves(runs[0]),
        report_pictures.views(runs[0]),
        report_pictures.affinity(runs[0]),
        report_evaluation.section(runs),
        report_pictures.overlays(runs[0]),
        report_pictures.contact_sheet(runs[0]),
        _settings(runs),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{report_html.text(title)}</title>\n"
        f"<style>{report_style.CSS}</style>\n</head>\n"
        "<body>\n<main>\n" + "\n".join(body) + "\n</main>\n</body>\n</html>\n"
    )


def _verdict(run: report_runs.Run) -> str:
    said = report_html.text(f"{report.story(run)} {report.comparison(run)}")
    return f"<p>{_health(run)} {said}</p>"


def _health(run: report_runs.Run) -> str:
    """The verdict as a badge and its reasons."""
    verdict = report.verdict(run)
    why, badge, kind = "; ".join(verdict.reasons), "✗ not healthy", "bad"
    if verdict.healthy:
        why, badge, kind = "no sign of collapse", "✓ healthy", "good"
    elif verdict.reasons == (health.TOO_SHORT,):
        badge, kind = "? too short to tell", ""
    said = report_html.text(f"{run.name}: {why}.")
    return f'<span class="badge {kind}">{badge}</span> {said}'


def _differences(runs: Sequence[report_runs.Run]) -> str:
    """Settings, then facts; all that is not listed is the same in all runs."""
    found = report_compare.config_differences(runs)
    found |= report_compare.run_differences(runs)
    parts = [
        report_html.paragraph(
            f"{run.name}: {name} is not there, so it is not compared."
        )
        for run in runs
        for name, content in (("config.json", run.config), ("run.json", run.about))
        if not content
    ]
    head = ["", *(run.name for run in runs)]
    rows = [[name, *values] for name, values in found.items()]
    same = report_html.paragraph("The runs have the same settings, data and devices.")
    table = report_html.table(head, rows) if rows else same
    return report_html.section("What differs", *parts, table)


def _numbers(runs: Sequence[report_runs.Run]) -> str:
    notes = [
        report_html.paragraph(
            f"{run.name}: {run.num_unreadable} damaged lines were left out."
        )
        for run in runs
        if run.num_unreadable
    ]
    head = ["", *(run.name for run in runs)]
    table = report_html.table(head, report.numbers(runs))
    return report_html.section("Numbers", table, *notes)


def _curves(run: report_runs.Run) -> str:
    """The verdict again, beside the curves that it was read from."""
    wide, small = [], []
    for panel in report_panels.PANELS:
        if picture := report_curves.curves(run, panel):
            cell = report_html.figure(picture, panel.note, panel.title)
            (small if panel.small else wide).append(cell)
    charts = report_html.grid("wide", wide), report_html.grid("small", small)
    return report_html.section("Curves", f"<p>{_health(run)}</p>", *charts)


def _compared_curves(runs: Sequence[report_runs.Run]) -> str:
    """A chart a metric, over what the reader chooses."""
    lines = [
        (report_curves.key_line(index), run.name) for index, run in enumerate(runs)
    ]
    note = report_html.note(
        "Images seen compare runs of other batch sizes; time is that of the machines "
        "they ran on. Losses of other methods or graph sizes have other scales."
    )
    panels = [
        (f"over {axis.name}", _charts(runs, axis))
        for axis in report_curves.shared_axes(runs)
    ]
    parts = (note, report_html.key(lines), report_html.choice("axis", panels))
    return report_html.section("Curves", *parts)


def _charts(runs: Sequence[report_runs.Run], axis: report_curves.Axis) -> str:
    wide, small = [], []
    for panel in report_panels.PANELS:
        for key in panel.labels:
            if picture := report_curves.compared(runs, panel, key, axis):
                title = report_panels.title(panel, key)
                cell = report_html.figure(picture, panel.note, title)
                (small if panel.small else wide).append(cell)
    return report_html.grid("wide", wide) + report_html.grid("small", small)


def _settings(runs: Sequence[report_runs.Run]) -> str:
    parts = []
    for run in runs:
        prefix = f"{run.name}: " if len(runs) > 1 else ""
        tables = {
            "environment": {k: v for k, v in run.about.items() if k != "versions"},
            "versions": run.about.get("versions") or {},
            **{f"config, {key}": value for key, value in run.config.items()},
        }
        parts += [
            report_html.details(prefix + name, _fields(values))
            for name, values in tables.items()
        ]
    return report_html.section("Configuration and environment", *parts)


def _fields(values: Any) -> str:
    nested = isinstance(values, dict)
    rows = report_runs.flatten(values).items() if nested else [("", values)]
    if not rows:
        return report_html.paragraph("Not recorded.")
    return report_html.table(("", "value"), rows)
