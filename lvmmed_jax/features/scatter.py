"""A map of images in two dimensions: points that show their image, or images."""

import json
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lvmmed_jax.report import markup

_WIDTH, _HEIGHT, _EDGE = 1000, 640, 24
_COLUMNS = 16  # of the map that is made of images
_RADIUS = 5
_NUM_COLOURS = 5  # of the page; its sixth is too like the first
MOST_CLASSES = 15  # that are told apart; all others are one
OTHERS = "others"
# each shape within a circle of radius 1; with the five colours 15 marks
_SHAPES = (
    "M-1 0a1 1 0 1 0 2 0a1 1 0 1 0 -2 0Z",
    "M-.85 -.85h1.7v1.7h-1.7Z",
    "M0 -1.15L1.1 .8H-1.1Z",
)

CSS = """
.map svg { background: var(--panel); touch-action: pinch-zoom; }
.map .points path { stroke: var(--paper); stroke-width: .12; fill-opacity: .85; }
.map image { image-rendering: auto; }
.map .frame { fill: none; stroke-width: 2; }
.c0 { fill: var(--series-0); stroke: var(--series-0); }
.c1 { fill: var(--series-1); stroke: var(--series-1); }
.c2 { fill: var(--series-2); stroke: var(--series-2); }
.c3 { fill: var(--series-3); stroke: var(--series-3); }
.c4 { fill: var(--series-4); stroke: var(--series-4); }
.cx { fill: var(--muted); stroke: var(--muted); }
.marks { max-width: none; display: flex; flex-wrap: wrap; gap: .25rem 1rem;
  font-size: .875rem; }
.marks svg { width: 1em; height: 1em; display: inline-block; margin-right: .35em;
  vertical-align: -.12em; background: none; }
.marks button { font: inherit; color: inherit; background: none; border: 0;
  padding: .1rem 0; cursor: pointer; }
.marks button[aria-pressed=false] { opacity: .35; text-decoration: line-through; }
#shown { position: fixed; z-index: 2; pointer-events: none; display: none;
  background: var(--panel); border: 1px solid var(--line); padding: 6px;
  font-size: .8125rem; max-width: 180px; box-shadow: 0 2px 8px #0006; }
#shown img { display: block; width: 160px; height: 160px; object-fit: contain;
  background: #7f7f7f; image-rendering: pixelated; }
@media print { #shown { display: none !important; } }
"""

_SCRIPT = """
(() => {
  const told = JSON.parse(document.getElementById('map-images').textContent);
  const box = document.getElementById('shown');
  const picture = box.querySelector('img'), words = box.querySelector('div');
  for (const svg of document.querySelectorAll('.map .points')) {
    const marks = [...svg.querySelectorAll('path[data-i]')].map(mark => ({
      mark, i: mark.dataset.i, x: +mark.dataset.x, y: +mark.dataset.y}));
    const show = event => {
      const at = new DOMPoint(event.clientX, event.clientY)
        .matrixTransform(svg.getScreenCTM().inverse());
      let best = null, least = 30 * 30;
      for (const one of marks) {
        if (one.mark.style.display === 'none') continue;
        const far = (one.x - at.x) ** 2 + (one.y - at.y) ** 2;
        if (far < least) { least = far; best = one; }
      }
      box.style.display = best ? 'block' : 'none';
      if (!best) return;
      picture.src = told[best.i][0];
      words.textContent = told[best.i][1];
      const right = event.clientX + 200 > innerWidth;
      const low = event.clientY + 250 > innerHeight;
      box.style.left = event.clientX + (right ? -196 : 16) + 'px';
      box.style.top = event.clientY + (low ? -box.offsetHeight - 12 : 16) + 'px';
    };
    svg.addEventListener('pointermove', show);
    svg.addEventListener('pointerdown', show);
    svg.addEventListener('pointerleave', () => { box.style.display = 'none'; });
  }
  for (const button of document.querySelectorAll('.marks button'))
    button.addEventListener('click', () => {
      const on = button.getAttribute('aria-pressed') === 'false';
      for (const each of document.querySelectorAll('.map .' + button.dataset.kind))
        each.style.display = on ? '' : 'none';
      for (const other of document.querySelectorAll('.marks button'))
        if (other.dataset.kind === button.dataset.kind)
          other.setAttribute('aria-pressed', on);
    });
})();
"""


class Marked(NamedTuple):
    """What is shown of the images, in their order.

    Attributes:
      classes: names, the most frequent first.
      of: int [n], the class of each image.
      uris: data URIs of thumbnails.
      captions: plain text.
    """

    classes: list[str]
    of: np.ndarray
    uris: list[str]
    captions: list[str]


def classify(names: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Classes, the most frequent first, and that of each; rare ones beyond are one."""
    found, counts = np.unique(np.asarray(names), return_counts=True)
    ordered = found[np.lexsort((found, -counts))].tolist()
    if len(ordered) > MOST_CLASSES:
        ordered = [*ordered[: MOST_CLASSES - 1], OTHERS]
    place = {name: index for index, name in enumerate(ordered)}
    return ordered, np.array([place.get(name, len(ordered) - 1) for name in names])


def maps(name: str, points: np.ndarray, marked: Marked) -> str:
    """Two forms of a map to choose from: points, and images.

    Args:
      name: of the projection.
      points: [n, 2].
      marked: the images.
    """
    placed = _placed(points)
    forms = [
        ("points", _key(marked) + _points(name, placed, marked)),
        ("images", _key(marked) + _images(name, placed, marked)),
    ]
    return f'<div class="map">{markup.choice(f"map-{name.lower()}", forms)}</div>'


def script(marked: Marked) -> str:
    """What shows the image under the pointer; once a page, behind its maps."""
    told = list(zip(marked.uris, marked.captions, strict=True))
    data = json.dumps(told, ensure_ascii=False).replace("<", "\\u003c")
    return (
        '<div id="shown"><img alt="image under the pointer"><div></div></div>'
        f'<script type="application/json" id="map-images">{data}</script>'
        f"<script>{_SCRIPT}</script>"
    )


def _placed(points: np.ndarray) -> np.ndarray:
    """Points in the drawing, [n, 2]: x to the right, y down."""
    low, high = points.min(axis=0), points.max(axis=0)
    shares = (points - low) / np.maximum(high - low, 1e-12)
    shares[:, 1] = 1 - shares[:, 1]
    return _EDGE + shares * (np.array([_WIDTH, _HEIGHT]) - 2 * _EDGE)


def _look(index: int, marked: Marked) -> tuple[str, str]:
    """CSS class of the colour, and the shape."""
    if marked.classes[index] == OTHERS and index == MOST_CLASSES - 1:
        return "cx", _SHAPES[0]
    shape = _SHAPES[index // _NUM_COLOURS]
    return f"c{index % _NUM_COLOURS}", shape


def _key(marked: Marked) -> str:
    counts = np.bincount(marked.of, minlength=len(marked.classes))
    entries = []
    for index, name in enumerate(marked.classes):
        colour, shape = _look(index, marked)
        entries.append(
            f'<button type="button" data-kind="k{index}" aria-pressed="true">'
            f'<svg viewBox="-1.3 -1.3 2.6 2.6" class="{colour}"><path d="{shape}"/>'
            f"</svg>{markup.text(name)} ({counts[index]})</button>"
        )
    return f'<p class="marks">{"".join(entries)}</p>'


def _points(name: str, placed: np.ndarray, marked: Marked) -> str:
    """In a mixed order, so that no class hides another."""
    marks = []
    for row in np.random.default_rng(0).permutation(len(placed)).tolist():
        kind, (x, y) = int(marked.of[row]), placed[row]
        colour, shape = _look(kind, marked)
        marks.append(
            f'<path class="k{kind} {colour}" d="{shape}" data-i="{row}" '
            f'data-x="{x:.1f}" data-y="{y:.1f}" '
            f'transform="translate({x:.1f} {y:.1f}) scale({_RADIUS})"/>'
        )
    return _svg(f"{name}, points", "points", "".join(marks))


def _images(name: str, placed: np.ndarray, marked: Marked) -> str:
    """The image nearest to the middle of each cell that has any."""
    side = _WIDTH / _COLUMNS
    cells = np.floor(placed / side).astype(int)
    middle = ((placed / side - cells - 0.5) ** 2).sum(axis=1)
    taken: dict[tuple[int, int], int] = {}
    for row in np.argsort(middle, kind="stable").tolist():
        taken.setdefault(tuple(cells[row].tolist()), row)
    parts = []
    for (column, line), row in sorted(taken.items()):
        x, y, inner = column * side + 2, line * side + 2, side - 4
        colour, _ = _look(int(marked.of[row]), marked)
        parts.append(
            f'<g class="k{marked.of[row]}"><image href="{marked.uris[row]}" '
            f'x="{x:.1f}" y="{y:.1f}" width="{inner:.1f}" height="{inner:.1f}">'
            f"<title>{markup.text(marked.captions[row])}</title></image>"
            f'<rect class="{colour} frame" x="{x:.1f}" y="{y:.1f}" '
            f'width="{inner:.1f}" height="{inner:.1f}"/></g>'
        )
    return _svg(f"{name}, images", "images", "".join(parts))


def _svg(title: str, kind: str, content: str) -> str:
    return (
        f'<svg class="{kind}" role="img" aria-label="{markup.text(title)}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}">{content}</svg>'
    )
