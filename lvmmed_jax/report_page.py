"""The HTML page of a report: sections in reading order, everything inline."""

import html
import itertools
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from lvmmed_jax import health, report, report_figures

# what keeps the page small: images of a kind, and pixels of their longer side
_MAX_CONTACT, _CONTACT_SIDE = 48, 96
_MAX_OVERLAYS, _OVERLAY_SIDE = 8, 160

_STYLE = """
:root { --ink: #1b1f24; --muted: #57606a; --line: #d0d7de; --paper: #ffffff;
  --panel: #f6f8fa; --good: #0b6b4f; --bad: #a33a00; --series-0: #0072b2;
  --series-1: #d55e00; --series-2: #00805c; --series-3: #b0568a; --series-4: #a86f00;
  --series-5: #2d7fb0; color-scheme: light dark; }
@media screen and (prefers-color-scheme: dark) { :root { --ink: #e6edf3;
  --muted: #9da7b1; --line: #3b434c; --paper: #0d1117; --panel: #161b22;
  --good: #4fd1a5; --bad: #ffa066; --series-0: #58b4f0; --series-1: #ff8c42;
  --series-2: #2fcf9f; --series-3: #e59bc4; --series-4: #f0c04a;
  --series-5: #a5d8ff; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 1rem; }
h1, h2, h3 { line-height: 1.25; overflow-wrap: anywhere; }
h2 { margin: 2.5rem 0 .5rem; border-top: 1px solid var(--line); padding-top: 1.25rem; }
h3 { margin: 0 0 .25rem; font-size: 1rem; }
section > h3 { margin-top: 2rem; }
p { max-width: 75ch; overflow-wrap: anywhere; }
figure { margin: 0; break-inside: avoid; min-width: 0; }
figcaption, .note { color: var(--muted); font-size: .875rem; }
svg { width: 100%; height: auto; display: block; }
svg text { font-family: inherit !important; }
.badge { display: inline-block; border: 2px solid currentColor; border-radius: 1rem;
  padding: 0 .6rem; font-weight: 600; }
.good { color: var(--good); } .bad { color: var(--bad); }
.scroll { overflow-x: auto; }
td, thead th { white-space: nowrap; }
table { border-collapse: collapse; font-size: .9375rem;
  font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; vertical-align: top;
  border-bottom: 1px solid var(--line); }
thead th, tbody th { font-weight: 600; }
tbody th { font-weight: 400; min-width: 8.5rem; }
.grid { display: grid; gap: 1.5rem; margin-top: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, var(--cell)), 1fr)); }
.wide { --cell: 440px; } .small { --cell: 300px; }
.pairs { --cell: 235px; } .pairs svg { background: var(--line); }
.tiles { --cell: 88px; gap: .6rem; }
.medium { max-width: 520px; }
.tiles img, .row img { width: 100%; display: block; image-rendering: pixelated; }
.tiles figcaption { text-align: center; overflow-wrap: anywhere; }
.row { display: grid; grid-template-columns: repeat(4, 1fr); gap: .4rem;
  max-width: 720px; margin-bottom: .4rem; break-inside: avoid; }
.entry { display: inline-block; margin-right: 1rem; }
.key { display: inline-block; width: .9em; height: .9em; margin-right: .3em;
  vertical-align: -.1em; }
.location { --mark: #56b4e9; } .feature { --mark: #e69f00; }
.location line, .feature line { stroke: var(--mark); stroke-width: 1; }
.feature line { stroke-dasharray: 3 2; }
.location rect, .feature rect { fill: var(--mark); stroke: #000; stroke-width: .6; }
.location text, .feature text { font-size: 9px; font-weight: 600; fill: #000;
  text-anchor: middle; }
.key.location, .key.feature { background: var(--mark); border: 1px solid #000; }
.key.location { border-radius: 50%; }
summary { cursor: pointer; padding: .3rem 0; }
details td { white-space: normal; overflow-wrap: anywhere; }
@media print { main { max-width: none; } h2, h3 { break-after: avoid; }
  html { font-size: 12px; } body { font-size: 1rem; }
  td, thead th { white-space: normal; }
  .wide { --cell: 300px; } .small { --cell: 200px; } .pairs { --cell: 150px; }
  .tiles { --cell: 60px; }
  * { print-color-adjust: exact; }
  details::details-content { content-visibility: visible; block-size: auto; } }
"""


def write(runs: Sequence[report.Run], path: pathlib.Path) -> None:
    """Writes the page under a temporary name and renames it; makes its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(page(runs), encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def page(runs: Sequence[report.Run]) -> str:
    """The whole page; of several runs the pictures are those of the first."""
    title = ", ".join(run.name for run in runs)
    title = f"{'Pre-training run' if len(runs) == 1 else 'Pre-training runs'} {title}"
    body = [
        f"<h1>{_text(title)}</h1>",
        *map(_verdict, runs),
        _paragraph(f"The pictures are those of {runs[0].name}.") if runs[1:] else "",
        _numbers(runs),
        _curves(runs),
        _views(runs[0]),
        _affinity(runs[0]),
        _evaluation(runs),
        _overlays(runs[0]),
        _contact_sheet(runs[0]),
        _settings(runs),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        "<body>\n<main>\n" + "\n".join(body) + "\n</main>\n</body>\n</html>\n"
    )


def _text(value: Any) -> str:
    """Any value as text that cannot become markup."""
    return html.escape(str(value))


def _section(title: str, *parts: str) -> str:
    return f"<section>\n<h2>{_text(title)}</h2>\n" + "\n".join(parts) + "\n</section>"


def _paragraph(text: str) -> str:
    return f"<p>{_text(text)}</p>"


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table that scrolls inside itself on a narrow screen; cells are plain text."""
    columns = "".join(f'<th scope="col">{_text(cell)}</th>' for cell in head)
    lines = "".join(
        f'<tr><th scope="row">{_text(name)}</th>'
        + "".join(f"<td>{_text(cell)}</td>" for cell in cells)
        + "</tr>"
        for name, *cells in rows
    )
    return (
        f'<div class="scroll"><table><thead><tr>{columns}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div>"
    )


def _grid(kind: str, cells: Iterable[str]) -> str:
    return f'<div class="grid {kind}">{"".join(cells)}</div>'


def _figure(picture: str, caption: str, title: str = "") -> str:
    head = f"<h3>{_text(title)}</h3>" if title else ""
    return f"<figure>{head}{picture}<figcaption>{_text(caption)}</figcaption></figure>"


def _image(image: np.ndarray, alt: str) -> str:
    return f'<img alt="{_text(alt)}" src="{report_figures.png(image)}">'


def _verdict(run: report.Run) -> str:
    said = _text(f"{report.story(run)} {report.comparison(run)}")
    return f"<p>{_health(run)} {said}</p>"


def _health(run: report.Run) -> str:
    """The verdict as a badge and its reasons."""
    verdict = report.verdict(run)
    why, badge, kind = "; ".join(verdict.reasons), "✗ not healthy", "bad"
    if verdict.healthy:
        why, badge, kind = "no sign of collapse", "✓ healthy", "good"
    elif verdict.reasons == (health.TOO_SHORT,):
        badge, kind = "? too short to tell", ""
    said = _text(f"{run.name}: {why}.")
    return f'<span class="badge {kind}">{badge}</span> {said}'


def _numbers(runs: Sequence[report.Run]) -> str:
    columns = [report.numbers(run) for run in runs]
    rows = [[name, *(column[name] for column in columns)] for name in columns[0]]
    notes = [
        _paragraph(f"{run.name}: {run.num_unreadable} damaged lines were left out.")
        for run in runs
        if run.num_unreadable
    ]
    head = ["", *(run.name for run in runs)]
    return _section("Numbers", _table(head, rows), *notes)


def _curves(runs: Sequence[report.Run]) -> str:
    """The verdict again, beside the curves that it was read from."""
    wide, small = [], []
    for panel in report_figures.PANELS:
        if picture := report_figures.curves(runs, panel):
            cell = _figure(picture, panel.note, panel.title)
            (small if panel.small else wide).append(cell)
    num_colours = len(report_figures.SERIES)
    colours = [f"var(--series-{row % num_colours})" for row in range(len(runs))]
    key = _key({run.name: colour for run, colour in zip(runs, colours, strict=True)})
    said = [f"<p>{_health(run)}</p>" for run in runs]
    charts = _grid("wide", wide), _grid("small", small)
    return _section("Curves", *said, key if len(runs) > 1 else "", *charts)


def _key(colours: Mapping[str, str]) -> str:
    """A legend: coloured squares with their names."""
    entries = (
        f'<span class="entry"><span class="key" style="background:{colour}"></span>'
        f"{_text(name)}</span>"
        for name, colour in colours.items()
    )
    return f"<p>{' '.join(entries)}</p>"


def _views(run: report.Run) -> str:
    title, arrays = "Two views and their matched cells", run.training_pictures
    if "views" not in arrays:
        return _section(title, _no_pictures(run, "pretrain"))
    note = (
        '<p class="note"><span class="key location"></span>upper row: cells matched by '
        'nearest location; <span class="key feature"></span>lower row: by nearest '
        "feature. At most six of each are drawn, no cell twice. How far apart they "
        "lie is measured in the original image, in per cent of its side, as the mean "
        "over all matches; features that know where they are match close by.</p>"
    )
    cells = (_view_pair(arrays, index) for index in range(len(arrays["views"])))
    return _section(title, note, _grid("pairs", cells))


def _view_pair(arrays: Mapping[str, np.ndarray], index: int) -> str:
    locations = arrays["locations"][index]
    kinds = [arrays[f"matches_{kind}"][index] for kind in report_figures.KINDS]
    by_location, by_feature = (_mean_distance(locations, pairs) for pairs in kinds)
    return _figure(
        report_figures.matched_views(
            arrays["views"][index], locations.shape[1:3], kinds
        ),
        f"apart: {by_location:.0%} by location, {by_feature:.0%} by feature",
    )


def _mean_distance(locations: np.ndarray, pairs: np.ndarray) -> float:
    """Between matched cells in the original image, in shares of its side."""
    first, second = locations.reshape(2, -1, 2)
    gaps = first[pairs[:, 0]] - second[pairs[:, 1]]
    return float(np.linalg.norm(gaps, axis=-1).mean())


def _no_pictures(run: report.Run, name: str) -> str:
    return _paragraph(
        f"No pictures: {run.workdir / 'pictures' / name}.npz is not there."
    )


def _affinity(run: report.Run) -> str:
    title, arrays = "Affinity of two views of 16 images", run.training_pictures
    if "vertex_affinity" not in arrays:
        return _section(title, _no_pictures(run, "pretrain"))
    affinity, matching = arrays["vertex_affinity"], arrays["matching"]
    right = int(np.trace(matching))
    note = (
        f"Brighter is more alike. White squares on the diagonal are the true pairs, "
        f"dots the pairs that the solver found: {right} of {len(matching)} are right."
    )
    picture = report_figures.affinity_matrix(affinity, matching)
    return _section(title, f'<div class="medium">{_figure(picture, note)}</div>')


def _evaluation(runs: Sequence[report.Run]) -> str:
    return _section(
        "Does pre-training help?",
        *(_run_evaluation(run, named=len(runs) > 1) for run in runs),
    )


def _run_evaluation(run: report.Run, named: bool) -> str:
    head = f"<h3>{_text(run.name)}</h3>" if named else ""
    results = report.results(run)
    if not results:
        return head + _paragraph(report.comparison(run))
    labels = [report.label(result) for result in results]
    sides = ("random", "pretrained", "difference")
    columns = ("measure", *sides, "verdict", "train / test")
    head += _table(columns, map(_result_row, results))
    pair = report_figures.intervals(labels, results)
    difference = report_figures.differences(labels, results)
    charts = [
        _figure(pair, "", "Random and pretrained"),
        _figure(difference, "", "Difference"),
    ]
    about = ", ".join(
        f"{key.replace('_', ' ')} {run.evaluation[key]}"
        for key in ("model", "data", "part", "input_size", "seconds")
        if key in run.evaluation
    )
    note = (
        "Intervals are 95 % bootstrap; the difference is paired, pretrained minus "
        f"random, and clear where its interval leaves out zero. Evaluated: {about}."
    )
    return f'{head}<p class="note">{_text(note)}</p>{_grid("wide", charts)}'


def _result_row(result: Mapping[str, Any]) -> list[str]:
    counts = (str(result.get(f"num_{part}", "?")) for part in ("train", "test"))
    return [
        report.label(result),
        *(report.interval(result[side]) for side in ("random", "pretrained")),
        report.interval(result["difference"], sign="+"),
        report.outcome(result),
        " / ".join(counts),
    ]


def _overlays(run: report.Run) -> str:
    title, arrays = "Tissue found by the frozen encoders", run.evaluation_pictures
    if "images" not in arrays:
        return _section(title, _no_pictures(run, "evaluation"))
    # class 0 is the background, which stays grey
    names, colours = arrays["class_names"][1:], report_figures.CLASS_COLOURS
    key = _key(
        {name: f"rgb{colours[i % len(colours)]}" for i, name in enumerate(names)}
    )
    shown = range(len(arrays["images"]))[:_MAX_OVERLAYS]
    return _section(title, key, *(_overlay_row(arrays, index) for index in shown))


def _overlay_row(arrays: Mapping[str, np.ndarray], index: int) -> str:
    """Image, truth, random and pretrained, without the padding below and right."""
    used = (arrays["images"][index] > 0) | (arrays["truth"][index] > 0)
    rows, columns = (1 + where.max(initial=0) for where in np.nonzero(used))
    stride = -(-max(rows, columns) // _OVERLAY_SIDE)
    cut = np.s_[index, :rows:stride, :columns:stride]
    image = arrays["images"][cut]
    cells = [_figure(_image(image, "image"), "image")]
    for side in ("truth", "random", "pretrained"):
        tinted = report_figures.overlay(image, arrays[side][cut])
        cells.append(_figure(_image(tinted, side), side))
    return f'<div class="row">{"".join(cells)}</div>'


def _contact_sheet(run: report.Run) -> str:
    title, arrays = "The data", run.training_pictures
    modalities = (run.about.get("data") or {}).get("modalities") or {}
    counts = _table(("modality", "records"), modalities.items()) if modalities else ""
    if "contact" not in arrays:
        return _section(title, counts, _no_pictures(run, "pretrain"))
    shown = zip(arrays["contact"], arrays["contact_modality"], strict=True)
    tiles = (
        _figure(_image(report_figures.shrink(image, _CONTACT_SIDE), name), name)
        for image, name in itertools.islice(shown, _MAX_CONTACT)
    )
    return _section(title, counts, _grid("tiles", tiles))


def _settings(runs: Sequence[report.Run]) -> str:
    parts = [_config_differences(runs)] if len(runs) > 1 else []
    for run in runs:
        prefix = f"{run.name}: " if len(runs) > 1 else ""
        tables = {
            "environment": {k: v for k, v in run.about.items() if k != "versions"},
            "versions": run.about.get("versions") or {},
            **{f"config, {key}": value for key, value in run.config.items()},
        }
        parts += [_details(prefix + name, values) for name, values in tables.items()]
    return _section("Configuration and environment", *parts)


def _details(title: str, values: Any) -> str:
    rows = _flatten(values).items() if isinstance(values, dict) else [("", values)]
    content = _table(("", "value"), rows) if rows else _paragraph("Not recorded.")
    return f"<details><summary>{_text(title)}</summary>{content}</details>"


def _config_differences(runs: Sequence[report.Run]) -> str:
    flat = [_flatten(run.config) for run in runs]
    keys = dict.fromkeys(key for config in flat for key in config)
    rows = [[key, *(config.get(key, report.ABSENT) for config in flat)] for key in keys]
    rows = [row for row in rows if any(value != row[1] for value in row[2:])]
    if not rows:
        return _paragraph("The runs have the same configuration.")
    head = ["what differs", *(run.name for run in runs)]
    return _table(head, rows)


def _flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted names, as the command line's --section.key has them."""
    flat = {}
    for name, value in config.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
