"""Curves of metrics: one run's, or several runs' or groups' of runs on one axis."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib import axes, lines, ticker

from lvmmed_jax import health
from lvmmed_jax.report import figures, panels, runs, summary

_SMALL = (3.6, 2.3)  # inches
_MAX_POINTS = 1000  # of all runs' curves of one metric
_NUM_MARKERS = 8  # on a curve that is beside others
_BAND = 0.15  # opacity of what lies between a group's lowest and highest


class _Points(NamedTuple):
    """A curve: places and values, with gaps where they are not finite.

    Of several runs values are means, and `low` and `high` the lowest and the highest.
    """

    across: np.ndarray
    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


class Axis(NamedTuple):
    """What curves may be drawn over: the metric's name, and how the page calls it."""

    key: str
    name: str


# images first: they compare runs of other batches
AXES = (Axis("images", "images seen"), Axis("step", "steps"), Axis("seconds", "time"))
_UNITS = ((3600, "h"), (60, "min"), (1, "s"))  # seconds


def curves(run: runs.Run, panel: panels.Panel) -> str | None:
    """One run's curves of one panel, or None where it logged none of its metrics.

    They differ in colour and dashes.
    """
    if not any(health.series(run.metrics, key) for key in panel.labels):
        return None
    colours, dashes = figures.SERIES, figures.DASHES

    def draw(ax: axes.Axes) -> None:
        if panel.chance:
            _draw_chance(ax, summary.chance(run), "chance")
        for key, colour, dash in zip(panel.labels, colours, dashes, strict=False):
            if points := _points([run], key, "step", _MAX_POINTS):
                marker = "o" if len(points.across) < 20 else None
                _draw_curve(ax, points, color=colour, linestyle=dash, marker=marker)
        _finish(ax, panel, "step")
        ax.xaxis.set_major_locator(ticker.MaxNLocator(6, integer=True))
        if len(panel.labels) > 1:
            _draw_legend(ax, panel.labels.values())

    return figures.chart(panel.title, _size(panel), draw)


def shared_axes(all_runs: Sequence[runs.Run]) -> list[Axis]:
    """What all runs that logged anything can be drawn over."""
    logged = [run for run in all_runs if run.metrics]
    return [
        axis
        for axis in AXES
        if logged and all(health.series(run.metrics, axis.key) for run in logged)
    ]


def compared(
    groups: Sequence[Sequence[runs.Run]], panel: panels.Panel, key: str, axis: Axis
) -> str | None:
    """A curve a group of one metric of a panel, None where no run logged it.

    Each has the look of `figures.run_look`, which the page's key explains; that of
    several runs is their mean, in a band from the lowest to the highest.
    """
    most = _MAX_POINTS // len(groups)
    points = [_points(group, key, axis.key, most) for group in groups]
    if not any(points):
        return None
    all_runs = [run for group in groups for run in group]
    longest = max(float(one.across.max()) for one in points if one)
    name, unit = _unit(longest) if axis.key == "seconds" else (axis.name, 1)

    def draw(ax: axes.Axes) -> None:
        if panel.chance:
            chances = sorted({summary.chance(run) for run in all_runs})
            for chance in chances:
                text = (
                    "chance" if len(chances) == 1 else f"chance, 1 / {1 / chance:.0f}"
                )
                _draw_chance(ax, chance, text)
        for index, one in enumerate(points):
            if one:
                placed = one._replace(across=one.across / unit)
                _draw_group(ax, placed, index, len(groups))
        _finish(ax, panel, name)
        whole = axis.key != "seconds"
        ax.xaxis.set_major_locator(ticker.MaxNLocator(5, integer=whole))
        if whole:
            ax.xaxis.set_major_formatter(ticker.EngFormatter(sep=""))

    return figures.chart(
        f"{panels.title(panel, key)} over {axis.name}", _size(panel), draw
    )


def key_line(index: int) -> str:
    """A short piece of a run's curve, for the page's key."""

    def draw(ax: axes.Axes) -> None:
        look = figures.run_look(index)
        style = {"color": look.colour, "linestyle": look.dashes, "marker": look.marker}
        ax.plot([0, 0.5, 1], [0, 0, 0], markevery=[1], linewidth=1.8, **style)
        ax.set_axis_off()

    return figures.chart(f"line {index + 1}", (0.75, 0.25), draw)


def _size(panel: panels.Panel) -> tuple[float, float]:
    return _SMALL if panel.small else (figures.WIDTH, 3.4)


def _unit(longest: float) -> tuple[str, int]:
    """The axis' name and the seconds of its unit, for a time of so many seconds."""
    size, unit = next((pair for pair in _UNITS if longest >= 3 * pair[0]), _UNITS[-1])
    return f"time ({unit})", size


def _draw_chance(ax: axes.Axes, chance: float, text: str) -> None:
    ax.axhline(chance, color=figures.INK, linewidth=1, linestyle=":")
    on_x = figures.on_x(ax)
    ax.text(0.99, chance, text, ha="right", va="bottom", **on_x)


def _draw_curve(ax: axes.Axes, points: _Points, **look: Any) -> None:
    ax.plot(points.across, points.value, markersize=4, linewidth=1.8, **look)


def _draw_group(ax: axes.Axes, points: _Points, index: int, num_groups: int) -> None:
    """With a few markers, at other places than those of the other groups."""
    look = figures.run_look(index)
    every = math.ceil(len(points.across) / _NUM_MARKERS)
    if np.any(points.low < points.high):
        band = {"color": look.colour, "alpha": _BAND, "linewidth": 0}
        ax.fill_between(points.across, points.low, points.high, **band)
    _draw_curve(
        ax,
        points,
        color=look.colour,
        linestyle=look.dashes,
        marker=look.marker,
        markevery=(index * every // num_groups, every),
    )


def _finish(ax: axes.Axes, panel: panels.Panel, name: str) -> None:
    if panel.from_zero:
        ax.axhline(0, linewidth=0)  # counts as data: the top keeps its margin
        ax.set_ylim(bottom=0)
    ax.set_xlabel(name)


def _draw_legend(ax: axes.Axes, labels: Iterable[str]) -> None:
    looks = zip(labels, figures.SERIES, figures.DASHES, strict=False)
    handles = [
        lines.Line2D([], [], color=colour, linestyle=dashes, linewidth=1.8, label=label)
        for label, colour, dashes in looks
    ]
    ax.figure.legend(handles=handles, loc="outside upper left", ncols=2)


def _points(
    group: Sequence[runs.Run], key: str, over: str, most: int
) -> _Points | None:
    """The curve of a group, of the steps that all its runs logged; thinned if long."""
    logged = []
    for run in group:
        values, places = (health.series(run.metrics, name) for name in (key, over))
        both = values.keys() & places.keys()
        if both:
            logged.append({step: (places[step], values[step]) for step in both})
    if not logged:
        return None
    steps = sorted(set.intersection(*(set(one) for one in logged)))
    steps = steps[:: max(1, -(-len(steps) // most))]
    if not steps:
        return None
    pairs = np.array([[one[step] for step in steps] for one in logged])  # runs steps 2
    across, heights = pairs[..., 0].mean(axis=0), pairs[..., 1]
    heights = np.where(np.isfinite(heights), heights, np.nan)
    return _Points(
        across, heights.mean(axis=0), heights.min(axis=0), heights.max(axis=0)
    )
