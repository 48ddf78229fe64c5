"""The charts of a report: SVG in the page's colours."""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib import axes, figure

# A chart is drawn in the colours of the left column; in the SVG they become the
# page's CSS variables, so that one chart serves light, dark and print. The series
# are Okabe and Ito's colour-blind safe palette, which the page lightens or darkens.
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
INK, _GRID, _PAPER = "#111111", "#dddddd", "#fefefe"
_VARIABLES = {INK: "--ink", _GRID: "--line", _PAPER: "--paper"} | {
    colour: f"--series-{index}" for index, colour in enumerate(SERIES)
}
# their numbers have no common factor: twenty runs differ without colour
DASHES = ("-", (0, (4, 2)), (0, (1.2, 1.4)), (0, (6, 1.6, 1.2, 1.6)))
MARKERS = ("o", "s", "^", "D", "v")
WIDTH = 5.2  # inches; at 72 pixels each, about a phone's width

_STYLE = {
    "svg.fonttype": "none",
    "font.size": 11.5,
    "font.sans-serif": ["DejaVu Sans"],
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _GRID,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
} | dict.fromkeys(
    ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"),
    INK,
)

_ROW, _DOTS_APART, _LEGEND_LINE = 0.72, 0.16, 0.22  # inches
_LONG_NAME = 22  # characters; longer names get a line of the legend each


class Look(NamedTuple):
    """How what belongs to one run is drawn everywhere."""

    colour: str
    dashes: Any
    marker: str


class Dots(NamedTuple):
    """One series of a chart of intervals: an estimate a row, None where it has none."""

    name: str
    colour: str
    marker: str
    estimates: Sequence[Mapping[str, float] | None]


def run_look(index: int) -> Look:
    """Colour, dashes and marker of the run of this index, told apart without colour."""
    kinds = (SERIES, DASHES, MARKERS)
    return Look(*(kind[index % len(kind)] for kind in kinds))


def intervals(
    title: str, labels: Sequence[str], series: Sequence[Dots], equality: bool = False
) -> str:
    """Values as dots with their intervals, a row a label.

    Args:
      title: what a screen reader says.
      labels: what each row measured.
      series: drawn from above to below in each row.
      equality: whether there is a line at zero, as differences need it.
    """
    height = _ROW + _DOTS_APART * max(0, len(series) - 2)
    long = any(len(dots.name) > _LONG_NAME for dots in series)
    columns = 1 if long else 2

    def draw(ax: axes.Axes) -> None:
        if equality:
            ax.axvline(0, color=INK, linewidth=1, linestyle=":")
        for number, dots in enumerate(series):
            _draw_dots(ax, dots, (0.04 + _DOTS_APART * number) / height)
        _label_rows(ax, labels, height)
        ax.figure.legend(loc="outside upper left", ncols=columns)

    num_lines = -(-len(series) // columns)
    room = 1.1 + _LEGEND_LINE * (num_lines - 1)
    return chart(title, (WIDTH, room + height * len(labels)), draw)


def _draw_dots(ax: axes.Axes, dots: Dots, offset: float) -> None:
    there = [(row, one) for row, one in enumerate(dots.estimates) if one]
    rows = np.array([row for row, _ in there]) + offset
    value, low, high = (
        [one[key] for _, one in there] for key in ("value", "low", "high")
    )
    ax.hlines(rows, low, high, color=dots.colour, linewidth=2)
    look = {"color": dots.colour, "markersize": 7, "label": plain(dots.name)}
    ax.plot(value, rows, dots.marker, **look)


def _label_rows(ax: axes.Axes, labels: Sequence[str], height: float) -> None:
    """Names each row above it, where a long name costs no width."""
    box = {"facecolor": _PAPER, "edgecolor": "none", "pad": 1}
    for row, label in enumerate(labels):
        above = row - 0.14 / height
        ax.text(0, above, plain(label), va="bottom", bbox=box, **on_x(ax))
    ax.set_ylim(len(labels) - 0.43 / height, -0.54 / height)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)


def on_x(ax: axes.Axes) -> dict[str, Any]:
    """Text arguments: x as a share of the axis, y in data."""
    return {"transform": ax.get_yaxis_transform()}


def affinity_matrix(affinity: np.ndarray, matching: np.ndarray) -> str:
    """Vertex affinities of one graph, squares on true pairs, dots on those found."""

    def draw(ax: axes.Axes) -> None:
        # cells are shapes: an embedded image would be blurred when it is enlarged
        mesh = ax.pcolormesh(affinity, cmap="cividis", edgecolor="face", linewidth=0.3)
        truth = np.arange(len(affinity)) + 0.5
        box = {"facecolors": "none", "edgecolors": "white", "linewidths": 1.4}
        ax.scatter(truth, truth, s=120, marker="s", **box)
        rows, columns = np.nonzero(matching)
        dot = {"facecolors": "white", "edgecolors": "black", "linewidths": 0.8}
        ax.scatter(columns + 0.5, rows + 0.5, s=34, zorder=3, **dot)
        ax.set(xlabel="view t of image", ylabel="view s of image", aspect="equal")
        ax.set_xticks(truth[::3], range(1, len(affinity) + 1, 3))
        ax.set_yticks(truth[::3], range(1, len(affinity) + 1, 3))
        ax.invert_yaxis()
        ax.grid(False)
        ax.figure.colorbar(mesh, ax=ax, label="affinity", shrink=0.8)

    return chart("Vertex affinity", (WIDTH, 4.3), draw)


def plain(text: str, limit: int = 44) -> str:
    """A name as matplotlib must show it: no formula, not wider than a phone."""
    text = text if len(text) <= limit else f"{text[: limit - 1]}…"
    return text.replace("$", r"\$")


def chart(
    title: str, size: tuple[float, float], draw: Callable[[axes.Axes], None]
) -> str:
    """Inline SVG of what `draw` puts on the axes, coloured by the page."""
    buffer = io.StringIO()
    with matplotlib.rc_context(_STYLE | {"svg.hashsalt": title}):
        fig = figure.Figure(figsize=size, layout="constrained")
        draw(fig.subplots())
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        fig.savefig(buffer, format="svg", metadata=nothing)
    text = buffer.getvalue()
    text = re.sub(r' id="[a-zA-Z]\w*_\d+"', "", text[text.index("<svg") :])
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    return text.replace("<svg", f'<svg role="img" aria-label="{title}"', 1)
