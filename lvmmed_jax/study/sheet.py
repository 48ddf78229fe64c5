"""The HTML page of a study, made of the pieces that the page of runs has."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lvmmed_jax import health
from lvmmed_jax.report import figures, markup, panels, runs, style, summary
from lvmmed_jax.report import page as pages
from lvmmed_jax.study import comparison, finished, jobs, tables

_OF_METHOD = ("loss", "gradient_norm")  # other methods, other scales
_MEANS = (
    "Means over the seeds, in a band from the lowest to the highest. What is measured "
    "while training counts in the time."
)


def page(found: comparison.Comparison) -> str:
    """The whole page."""
    title = f"Study {found.workdir.resolve().name}"
    body = [
        *map(markup.paragraph, _story(found)),
        _results(found),
        _charts(found),
        _tuning(found),
        _runs(found),
        _curves(found),
    ]
    return markup.page(title, style.CSS, filter(None, body))


def _story(found: comparison.Comparison) -> list[str]:
    about = found.about
    overrides = " ".join(f"{k}={v}" for k, v in about["overrides"].items())
    said = [
        f"Config {about['config']}{f' with {overrides}' if overrides else ''}: "
        f"{len(about['variants'])} variants with seeds "
        f"{', '.join(map(str, about['seeds']))}."
    ]
    groups = about["same_images"]
    if len(groups) > 1:
        apart = "; ".join(", ".join(names) for names in groups)
        said.append(f"Images, or their order, differ between: {apart}.")
    else:
        said.append("For each seed all variants saw the same images in the same order.")
    if found.missing:
        said.append(f"Not finished: {', '.join(found.missing)}.")
    return said


def _results(found: comparison.Comparison) -> str:
    lines = [
        [name, *((tables.mean(cell), *tables.difference(cell)) for cell in cells)]
        for name, cells in found.cells.items()
    ]
    notes = map(markup.note, tables.meaning(found))
    # a line may end between the names of two classes
    labels = [label.replace("/", "/\u200b") for label in found.labels]
    table = markup.table(("", *labels), lines)
    return markup.section("What came out", table, *notes)


def _charts(found: comparison.Comparison) -> str:
    values, differences = [], []
    for name, cells in found.cells.items():
        look = _look(found, name)
        mark = name, look.colour, look.marker
        values.append(figures.Dots(*mark, [_estimate(cell) for cell in cells]))
        changed = [_change(cell) for cell in cells]
        if any(changed):
            differences.append(figures.Dots(*mark, changed))
    left = figures.intervals("Means of the seeds", found.labels, values)
    cells = [markup.figure(left, "From the lowest seed to the highest.", "In percent")]
    if differences:
        right = figures.intervals(
            f"Less {found.baseline}", found.labels, differences, equality=True
        )
        note = "95 % t intervals over the seeds; of one seed none."
        cells.append(markup.figure(right, note, f"Less {found.baseline}, in points"))
    return markup.grid("wide", cells)


def _look(found: comparison.Comparison, name: str) -> figures.Look:
    """That of the variant's curves; random starts are ink."""
    if name in found.variants:
        return figures.run_look(list(found.variants).index(name))
    return figures.Look(figures.INK, "-", "x")


def _estimate(cell: comparison.Cell | None) -> dict[str, float] | None:
    if cell is None:
        return None
    spread = cell.spread
    return _percent(spread.mean, spread.low, spread.high)


def _change(cell: comparison.Cell | None) -> dict[str, float] | None:
    if cell is None or cell.paired is None:
        return None
    paired = cell.paired
    if paired.count == 1:
        return _percent(paired.value, paired.value, paired.value)
    return _percent(paired.value, paired.low, paired.high)


def _percent(value: float, low: float, high: float) -> dict[str, float]:
    return {"value": 100 * value, "low": 100 * low, "high": 100 * high}


def _tuning(found: comparison.Comparison) -> str:
    """What the short runs chose for each variant."""
    if not found.about["tuning"]:
        return ""
    lines = []
    for variant in found.about["variants"]:
        path = found.workdir / jobs.TRIALS / f"{variant}.json"
        chosen = finished.read_json(path)
        if chosen is None or chosen["chosen"] is None:
            lines.append([variant, tables.ABSENT, tables.ABSENT])
            continue
        ((key, value),) = chosen["chosen"].items()
        tried = [each["value"] for each in chosen["tried"]]
        at_edge = value in (min(tried), max(tried))
        told = f"{key.split('.')[1].replace('_', ' ')} {value:g}"
        scores = ", ".join(map(_score, chosen["tried"]))
        lines.append([variant, (told, "at the edge") if at_edge else told, scores])
    note = markup.note(
        "The value with the highest score is taken: the mean over data sets of what "
        "was measured on their validation parts, in percent. Where the best is at the "
        "edge of what was tried, a better one may lie beyond."
    )
    table = markup.table(("", "taken", "tried: score"), lines)
    return markup.section("What was chosen by short runs", table, note)


def _score(tried: Mapping[str, Any]) -> str:
    diverged = "diverged" if tried["diverged"] else tables.ABSENT
    score = tried["score"]
    return f"{tried['value']:g}: {diverged if score is None else f'{100 * score:.1f}'}"


def _runs(found: comparison.Comparison) -> str:
    """What each variant is, what it cost, and whether its runs were healthy."""
    lines = []
    for name, by_seed in found.variants.items():
        own = found.about["variants"][name]
        some = list(by_seed.values())
        healthy = sum(summary.verdict(run).healthy for run in some)
        lines.append(
            [
                name,
                f"{healthy} of {len(some)}",
                *_lasts(some),
                " ".join(f"{key}={value}" for key, value in own.items()) or "–",
            ]
        )
    head = ("", "healthy", "images", "time a run", "images per second", "its settings")
    return markup.section("The runs", markup.table(head, lines))


def _lasts(some: Sequence[runs.Run]) -> list[str]:
    """Images, time and rate of some runs: means of their last values."""

    def mean(key: str) -> float | None:
        pairs = [health.ends(run.metrics, key) for run in some]
        there = [pair[1] for pair in pairs if pair]
        return statistics.fmean(there) if there else None

    images, seconds = mean("images"), mean("seconds")
    if not images or not seconds:
        return [tables.ABSENT] * 3
    rate = f"{images / seconds:,.0f}"
    return [f"{images:,.0f}", summary.duration(seconds), rate]


def _curves(found: comparison.Comparison) -> str:
    groups = {name: list(by_seed.values()) for name, by_seed in found.variants.items()}
    methods = {
        run.config.get("train", {}).get("method")
        for some in groups.values()
        for run in some
    }
    return pages.compared_curves(groups, _MEANS, shown=_comparable(methods))


def _comparable(methods: Iterable[Any]) -> list[panels.Panel]:
    """The panels, without those that mean nothing between methods."""
    if len(set(methods)) == 1:
        return list(panels.PANELS)
    return [
        panel for panel in panels.PANELS if not set(_OF_METHOD) & panel.labels.keys()
    ]
