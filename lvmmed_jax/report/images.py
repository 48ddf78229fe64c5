"""Medical images in a report: PNG in the page, with matches or classes drawn over."""

import base64
import io
from collections.abc import Sequence

import matplotlib.image
import numpy as np

from lvmmed_jax.report import markup

KINDS = ("location", "feature")
CLASS_COLOURS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (204, 121, 167))

_VIEW_WIDTH, _VIEW_GAP, _MAX_MATCHES = 100, 8, 6


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


def tag(image: np.ndarray, alt: str) -> str:
    """An image in the page; `alt` is plain text."""
    return f'<img alt="{markup.text(alt)}" src="{png(image)}">'


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
