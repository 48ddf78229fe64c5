"""The pictures of a report: charts as SVG in the page's colours, images as PNG."""

import base64
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
import matplotlib.image
import numpy as np
from matplotlib import axes, figure, lines, ticker

from lvmmed_jax import health, report

# A chart is drawn in the colours of the left column; in the SVG they become the
# page's CSS variables, so that one chart serves light, dark and print. The series
# are Okabe and Ito's colour-blind safe palette, which the page lightens or darkens.
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_INK, _GRID, _PAPER = "#111111", "#dddddd", "#fefefe"
_VARIABLES = {_INK: "--ink", _GRID: "--line", _PAPER: "--paper"} | {
    colour: f"--series-{index}" for index, colour in enumerate(SERIES)
}
KINDS = ("location", "feature")
CLASS_COLOURS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (204, 121, 167))

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
    _INK,
)

_DASHES, _INKS = ("-", (0, (4, 2))), (_INK, _INK)
_WIDTH, _SMALL = 5.2, (3.6, 2.3)  # inches; at 72 pixels each, about a phone's width
_MAX_POINTS = 1000
_VIEW_WIDTH, _VIEW_GAP, _MAX_MATCHES = 100, 8, 6


class Panel(NamedTuple):
    """One chart of curves.

    Attributes:
      title, note: what the page writes above and below it.
      labels: the legend's word by metric name.
      chance: whether there is a line of pure chance, that of the first run.
      from_zero: whether the axis starts at zero, so that a fall keeps its proportion.
      small: for the row of lesser charts.
    """

    title: str
    note: str
    labels: Mapping[str, str]
    chance: bool = False
    from_zero: bool = False
    small: bool = False


PANELS = (
    Panel(
        "Loss",
        "Lower is better. Noise keeps the noisy loss high even where matching is "
        "good: judge by the one without noise.",
        {"loss_no_noise": "without noise", "loss": "with noise"},
    ),
    Panel(
        "Matching accuracy",
        "Share of images matched to their own other view. It should rise well above "
        "chance, 1 / N in graphs of N images.",
        {"matching_accuracy": "without noise", "matching_accuracy_noisy": "with noise"},
        chance=True,
        from_zero=True,
    ),
    Panel(
        "Affinity of pairs",
        "Mean affinity of true pairs (two views of one image) and of all others. The "
        "gap should open; others above 0.9 is collapse.",
        {"affinity_true": "true pairs", "affinity_other": "other pairs"},
    ),
    Panel(
        "Embedding rank",
        "Number of directions that the embeddings use. A slow fall is normal, a fall "
        "to a few is collapse.",
        {"embedding_rank": "effective rank"},
        from_zero=True,
    ),
    Panel(
        "Embedding spread",
        "Of the embeddings' directions: 1 fills the space, 0 is collapse.",
        {"embedding_std": "spread"},
        from_zero=True,
        small=True,
    ),
    Panel("Learning rate", "", {"learning_rate": "learning rate"}, small=True),
    Panel("Gradient norm", "", {"gradient_norm": "gradient norm"}, small=True),
)


def curves(runs: Sequence[report.Run], panel: Panel) -> str | None:
    """The curves of one panel, or None where no run logged any of its metrics.

    Alone, a run's metrics differ in colour and dashes; of several runs each has the
    colour that the page's key gives it, and the dashes tell the metrics apart.
    """
    if not any(health.series(run.metrics, key) for run in runs for key in panel.labels):
        return None

    def draw(ax: axes.Axes) -> None:
        if panel.chance:
            chance = report.chance(runs[0])
            ax.axhline(chance, color=_INK, linewidth=1, linestyle=":")
            ax.text(0.99, chance, "chance", ha="right", va="bottom", **_on_x(ax))
        for row, run in enumerate(runs):
            for column, key in enumerate(panel.labels):
                colour = SERIES[(row if len(runs) > 1 else column) % len(SERIES)]
                _draw_curve(ax, run, key, color=colour, linestyle=_DASHES[column])
        if panel.from_zero:
            ax.axhline(0, linewidth=0)  # counts as data: the top keeps its margin
            ax.set_ylim(bottom=0)
        ax.set_xlabel("step")
        ax.xaxis.set_major_locator(ticker.MaxNLocator(6, integer=True))
        if len(panel.labels) > 1:
            _draw_legend(ax, panel.labels.values(), SERIES if len(runs) == 1 else _INKS)

    return _chart(panel.title, _SMALL if panel.small else (_WIDTH, 3.4), draw)


def _on_x(ax: axes.Axes) -> dict[str, Any]:
    """Text arguments: x as a share of the axis, y in data."""
    return {"transform": ax.get_yaxis_transform()}


def _draw_curve(ax: axes.Axes, run: report.Run, key: str, **look: Any) -> None:
    if points := _points(run, key):
        marker = "o" if len(points[0]) < 20 else None
        ax.plot(*points, marker=marker, markersize=4, linewidth=1.8, **look)


def _draw_legend(ax: axes.Axes, labels: Iterable[str], colours: Sequence[str]) -> None:
    handles = [
        lines.Line2D([], [], color=colour, linestyle=dashes, linewidth=1.8, label=label)
        for label, colour, dashes in zip(labels, colours, _DASHES, strict=False)
    ]
    ax.figure.legend(handles=handles, loc="outside upper left", ncols=2)


def _points(run: report.Run, key: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Steps and values with gaps where they are not finite, thinned where many."""
    values = health.series(run.metrics, key)
    if not values:
        return None
    stride = -(-len(values) // _MAX_POINTS)
    steps, heights = np.array(list(values.items()))[::stride].T
    return steps, np.where(np.isfinite(heights), heights, np.nan)


def intervals(labels: Sequence[str], results: Sequence[Mapping[str, Any]]) -> str:
    """Random and pre-trained values as dots with their intervals, a row a result."""

    def draw(ax: axes.Axes) -> None:
        _draw_intervals(ax, results, "random", SERIES[0], offset=0.06, marker="s")
        _draw_intervals(ax, results, "pretrained", SERIES[1], offset=0.28, marker="o")
        _label_rows(ax, labels)
        ax.figure.legend(loc="outside upper left", ncols=2)

    return _chart("Values with intervals", _rows(results), draw)


def differences(labels: Sequence[str], results: Sequence[Mapping[str, Any]]) -> str:
    """Pre-trained minus random as dots with intervals, and the line of equality."""

    def draw(ax: axes.Axes) -> None:
        ax.axvline(0, color=_INK, linewidth=1, linestyle=":")
        name = "pretrained minus random"
        _draw_intervals(ax, results, "difference", SERIES[2], offset=0.12, name=name)
        _label_rows(ax, labels)
        ax.figure.legend(loc="outside upper left")

    return _chart("Differences with intervals", _rows(results), draw)


def _rows(results: Sequence[Any]) -> tuple[float, float]:
    return _WIDTH, 1.1 + 0.72 * len(results)


def _draw_intervals(
    ax: axes.Axes,
    results: Sequence[Mapping[str, Any]],
    side: str,
    colour: str,
    *,
    offset: float = 0.0,
    marker: str = "o",
    name: str | None = None,
) -> None:
    value, low, high = np.array(
        [[result[side][key] for key in ("value", "low", "high")] for result in results]
    ).T
    rows = np.arange(len(results)) + offset
    ax.hlines(rows, low, high, color=colour, linewidth=2)
    ax.plot(value, rows, marker, color=colour, markersize=7, label=name or side)


def _label_rows(ax: axes.Axes, labels: Sequence[str]) -> None:
    """Names each row above it, where a long name costs no width."""
    box = {"facecolor": _PAPER, "edgecolor": "none", "pad": 1}
    for row, label in enumerate(labels):
        ax.text(0, row - 0.2, _plain(label), va="bottom", bbox=box, **_on_x(ax))
    ax.set_ylim(len(labels) - 0.6, -0.75)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)


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

    return _chart("Vertex affinity", (_WIDTH, 4.3), draw)


def _plain(text: str, limit: int = 44) -> str:
    """A name as matplotlib must show it: no formula, not wider than a phone."""
    text = text if len(text) <= limit else f"{text[: limit - 1]}…"
    return text.replace("$", r"\$")


def _chart(
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


def matched_views(
    views: np.ndarray, grid: tuple[int, int], kinds: Sequence[np.ndarray]
) -> str:
    """Two views side by side with some matched cells, a row a kind of match.

    Args:
      views: uint8 [2, h, w, 3].
      grid: rows and columns (R, S) of the feature map.
      kinds: for each of `KINDS` int [M, 2], flat cell indices in the two views.
    """
    height = _VIEW_WIDTH * views.shape[1] / views.shape[2]
    width, step = 2 * _VIEW_WIDTH + _VIEW_GAP, height + _VIEW_GAP
    images = [png(shrink(view, 128)) for view in views]
    parts = []
    for row, (matches, kind) in enumerate(zip(kinds, KINDS, strict=True)):
        parts += [
            f'<image href="{image}" x="{column * (_VIEW_WIDTH + _VIEW_GAP)}" '
            f'y="{row * step:.1f}" width="{_VIEW_WIDTH}" height="{height:.1f}"/>'
            for column, image in enumerate(images)
        ]
        centres = _cell_centres(_spread_out(matches), grid, height)
        parts.append(_match_marks(centres + np.array([0, row * step]), kind))
    box = f"0 0 {width} {len(kinds) * step - _VIEW_GAP:.1f}"
    return (
        f'<svg role="img" aria-label="Matched cells" viewBox="{box}">'
        f"{''.join(parts)}</svg>"
    )


def _spread_out(matches: np.ndarray) -> np.ndarray:
    """A few matches over the whole list, of which no two share a cell."""
    _, first = np.unique(matches[:, 1], return_index=True)
    alone = matches[np.sort(first)]
    chosen = np.linspace(0, len(alone) - 1, min(_MAX_MATCHES, len(alone)))
    return alone[chosen.round().astype(int)]


def _cell_centres(
    pairs: np.ndarray, grid: tuple[int, int], height: float
) -> np.ndarray:
    """Where (x, y) the cells [M, 2] of the two views lie in the drawing, [M, 2, 2]."""
    rows, columns = np.divmod(pairs, grid[1])
    across = (columns + 0.5) / grid[1] * _VIEW_WIDTH
    across += np.array([0, _VIEW_WIDTH + _VIEW_GAP])
    return np.stack([across, (rows + 0.5) / grid[0] * height], axis=-1)


def _match_marks(centres: np.ndarray, kind: str) -> str:
    """Lines between cells, over them numbers at both ends; CSS colours the kind."""
    joins = (
        f'<line x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}"/>'
        for (x0, y0), (x1, y1) in centres
    )
    radius = 6 if kind == "location" else 2
    ends = (
        f'<rect x="{x - 6:.1f}" y="{y - 6:.1f}" width="12" height="12" rx="{radius}"/>'
        f'<text x="{x:.1f}" y="{y + 3.2:.1f}">{number}</text>'
        for number, pair in enumerate(centres, start=1)
        for x, y in pair
    )
    return f'<g class="{kind}">{"".join(joins)}{"".join(ends)}</g>'


def png(image: np.ndarray) -> str:
    """A data URI of a uint8 image, [H, W], [H, W, 1] or [H, W, 3]."""
    image = image.reshape(*image.shape[:2], -1)
    rgb = np.broadcast_to(image, (*image.shape[:2], 3))
    buffer = io.BytesIO()
    matplotlib.image.imsave(buffer, np.ascontiguousarray(rgb), format="png")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def shrink(image: np.ndarray, side: int) -> np.ndarray:
    """The mean of whole blocks, so that no side is longer than `side`."""
    block = -(-max(image.shape[:2]) // side)
    rows, columns = (size // block for size in image.shape[:2])
    cut = image[: rows * block, : columns * block]
    blocks = cut.reshape(rows, block, columns, block, *image.shape[2:])
    return blocks.mean(axis=(1, 3)).astype(np.uint8)


def overlay(image: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """A grey image [H, W] with its classes [H, W] tinted; class 0 stays grey."""
    colours = np.array(CLASS_COLOURS)[(classes - 1) % len(CLASS_COLOURS)]
    grey = np.repeat(image[..., None], 3, axis=-1)
    tinted = 0.45 * grey + 0.55 * colours
    return np.where(classes[..., None] > 0, tinted, grey).astype(np.uint8)
