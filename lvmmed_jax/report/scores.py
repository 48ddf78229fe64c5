"""The sections of a report on what a fine-tuned network tells of test images."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lvmmed_jax.report import images, markup, runs, summary

_SIDE = 160  # pixels
_NOTE = (
    "Intervals are 95 % bootstrap over groups of test images (patients, volumes, near "
    "copies); what another seed of training would change is not in them: evaluate "
    "several runs together. Dice and IoU are means over images, then over classes "
    "without the background, at the images' own size."
)


def section(all_runs: Sequence[runs.Run]) -> str:
    """Every metric of every run, or what to do to have them."""
    title = "Scores on test images"
    parts = [
        markup.paragraph(
            f"{run.name} has not been tested: lvmmed evaluate {run.workdir} --task "
            f"{run.config.get('model', {}).get('task', 'TASK')} --data DATA does it."
        )
        for run in all_runs
        if not run.scores
    ]
    tested = [run for run in all_runs if run.scores]
    if not tested:
        return markup.section(title, *parts)
    names = list(dict.fromkeys(_key(row) for run in tested for row in _rows(run)))
    found = [{_key(row): row for row in _rows(run)} for run in tested]
    lines = [[name, *(_cell(own.get(name)) for own in found)] for name in names]
    lines.append(["leakage", *(_leakage(_rows(run)[0]) for run in tested)])
    copies = (_in_training(_rows(run)[0]) for run in tested)
    lines.append(["near copies or patients trained on", *copies])
    head = ["metric", *(run.name for run in tested)]
    table = markup.table(head, lines)
    facts = [markup.note(_facts(run)) for run in tested]
    return markup.section(title, *parts, table, *facts, markup.note(_NOTE))


def cases(run: runs.Run) -> str:
    """The best, the median and the worst test images."""
    title, arrays = "Best, median and worst test images", run.cases
    if "image" not in arrays:
        return markup.section(title, markup.paragraph("No pictures: not evaluated."))
    masks = arrays["truth"].ndim == 3
    score = "Dice" if masks else "probability of the truth"
    note = markup.note(f"The number is the {score}; worst last.")
    names = arrays["class_names"][1:] if masks else ()
    colours = images.CLASS_COLOURS
    key = markup.key(
        (markup.square(f"rgb{colours[i % len(colours)]}"), name)
        for i, name in enumerate(names)
    )
    draw = _mask_row if masks else _class_cell
    drawn = [draw(arrays, index) for index in range(len(arrays["image"]))]
    shown = drawn if masks else [markup.grid("tiles", drawn)]
    return markup.section(title, note, key if masks else "", *shown)


def _rows(run: runs.Run) -> list[Mapping[str, Any]]:
    return run.scores["results"]


def _key(row: Mapping[str, Any]) -> str:
    unit = f" ({row['unit']})" if row.get("unit") else ""
    of_class = f", {row['class']}" if row.get("class") else ""
    return f"{row['metric'].replace('_', ' ')}{unit}{of_class}"


def _cell(row: Mapping[str, Any] | None) -> tuple[str, ...]:
    """The value, small below it what was left out."""
    if row is None:
        return (summary.ABSENT,)
    if row["value"] is None:
        value = "undefined"
    elif row["low"] is None:
        value = f"{row['value']:.3f}, interval undefined"
    else:
        value = summary.interval(row)
    left_out = []
    if row.get("undefined"):
        left_out.append(f"undefined for {row['undefined']} images")
    left_out += [
        f"{what}: {', '.join(row[what])}"
        for what in ("absent", "unmeasured")
        if row.get(what)
    ]
    return (value, *left_out)


def _leakage(row: Mapping[str, Any]) -> str:
    found = row.get("leakage")
    if found is None:
        return "not looked for (evaluate --against SHARDS)"
    return f"{found['leaked']} of {found['tested']} test images"


def _in_training(row: Mapping[str, Any]) -> str:
    return f"{row.get('in_training', 0)} of {row['num_test']} test images"


def _facts(run: runs.Run) -> str:
    row = _rows(run)[0]
    flips = ", mean over flips" if run.scores.get("flips") else ""
    return (
        f"{run.name}: test part of {run.scores.get('data', '?')}, "
        f"{row['num_test']} images in {row['num_groups']} groups; trained on "
        f"{row['num_train'][0]}; step {run.scores['steps'][0]}{flips}."
    )


def _mask_row(arrays: Mapping[str, np.ndarray], index: int) -> str:
    """An image, its truth and the prediction."""
    height, width = arrays["inner"][index]
    stride = -(-int(max(height, width)) // _SIDE)
    cut = np.s_[index, :height:stride, :width:stride]
    image = arrays["image"][cut]
    grey = image.mean(axis=-1).astype(np.uint8)
    said = f"{arrays['kind'][index]}, {arrays['score'][index]:.3f}"
    cells = [markup.figure(images.tag(image, said), said)]
    for side in ("truth", "prediction"):
        tinted = images.overlay(grey, arrays[side][cut])
        cells.append(markup.figure(images.tag(tinted, side), side))
    return f'<div class="row">{"".join(cells)}</div>'


def _class_cell(arrays: Mapping[str, np.ndarray], index: int) -> str:
    height, width = arrays["inner"][index]
    image = images.shrink(arrays["image"][index, :height, :width], _SIDE)
    caption = (
        f"{arrays['kind'][index]}, {arrays['score'][index]:.3f}: "
        f"{arrays['truth'][index] or 'none'}, called {arrays['prediction'][index]}"
    )
    return markup.figure(images.tag(image, caption), caption)
