"""The sections of the page: nearest images, maps of images, maps as colours."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import PIL.Image

from data_pipelines import slices
from lvmmed_jax.features import layers, neighbours, projection, scatter, stored
from lvmmed_jax.inspection import sheet
from lvmmed_jax.report import markup

_MAP_SIDE = 96  # pixels of a thumbnail of the map
_OVERLAY_SIDE = 192


class Overlays(NamedTuple):
    """Feature maps of some images.

    Attributes:
      rows: of the images.
      maps: name of a layer -> [R, S, D] of each image.
      size: pixels a side that the encoder saw.
    """

    rows: list[int]
    maps: dict[str, list[np.ndarray]]
    size: int


def nearest(
    found: stored.Features,
    near: Sequence[neighbours.Neighbours],
    images: dict[int, np.ndarray],
    count: int,
) -> str:
    """A row of images a query: itself, then the nearest with their distances."""
    num_groups = len({row.group for row in found.rows})
    whose = (
        "Images of the query's own patient, study or volume are left out."
        if neighbours.count_others(num_groups, count)
        else "There are few patients, studies or volumes: its own are among them."
    )
    note = markup.note(
        "On the left a query, framed, then the nearest images by the cosine distance "
        f"of their features (0: same direction; 1: at a right angle). {whose}"
    )
    lines = []
    for one in near:
        cells = [_cell(found, one.query, images, "query")]
        for row, distance in zip(one.rows, one.distances, strict=True):
            cells.append(_cell(found, row, images, f"{distance:.2g}"))
        lines.append(f'<div class="near asked">{"".join(cells)}</div>')
    columns = f'<div style="--columns: {count + 1}">{"".join(lines)}</div>'
    return markup.section("Nearest images", note, columns)


def maps(
    found: stored.Features,
    rows: Sequence[int],
    images: dict[int, np.ndarray],
    names: Sequence[str],
    what: str,
) -> str:
    """The images in two dimensions.

    Args:
      found: the features.
      rows: the images to show, ascending.
      images: theirs.
      names: the class of each of them.
      what: the classes are, for the note.
    """
    features = neighbours.some(found, rows)
    classes, of = scatter.classify(names)
    marked = scatter.Marked(
        classes,
        of,
        [sheet.uri(images[row], _MAP_SIDE, "webp") for row in rows],
        [caption(found, row, short=False) for row in rows],
    )
    points, shares = projection.pca(features, 2)
    parts = [
        markup.note(
            f"{len(rows)} of {len(found.rows)} images, coloured by {what}. Point at "
            "one to see it, click a name to hide its points. Features are scaled to "
            "length 1 first."
        ),
        "<h3>PCA</h3>",
        markup.note(
            f"The two directions of largest variance: {shares[0]:.0%} of it to the "
            f"right, {shares[1]:.0%} upwards."
        ),
        scatter.maps("PCA", points, marked),
    ]
    embedded = projection.umap(features) if len(rows) > 3 else None
    if embedded is None:
        parts.append(
            markup.note(
                "pip install -r requirements-umap.txt adds a UMAP, which keeps "
                "neighbours together."
            )
        )
    else:
        parts += [
            "<h3>UMAP</h3>",
            markup.note(
                "Neighbours are kept together; distances between clusters and their "
                "sizes say little."
            ),
            scatter.maps("UMAP", embedded, marked),
        ]
    return markup.section("Map of the images", *parts, scatter.script(marked))


def overlays(
    found: stored.Features, taken: Overlays, images: dict[int, np.ndarray]
) -> str:
    """Images beside their feature maps as colours."""
    columns, words = [], []
    for name, some in taken.maps.items():
        coloured, share = projection.colours(some)
        columns.append((name, coloured))
        grid = "×".join(map(str, some[0].shape[:2]))
        layer = "the last layer" if name == layers.LAST else name.replace("_", " ")
        words.append(f"{layer} has {grid} cells, {share:.0%} of the variance is shown")
    note = markup.note(
        "The first three principal components of the cells' features as red, green "
        "and blue, on one scale for all images: equal colours are like features. The "
        f"encoder saw {taken.size} pixels a side: {'; '.join(words)}."
    )
    cells = []
    for place, row in enumerate(taken.rows):
        shown = [_ground(_square(images[row]))]
        shown += [_ground(_square(some[place])) for _, some in columns]
        cells.append(
            f'<figure><div class="near" style="--columns: {len(shown)}">'
            f"{''.join(shown)}</div>"
            f"<figcaption>{markup.text(caption(found, row))}</figcaption></figure>"
        )
    width = f"--cell: {150 * (len(columns) + 1)}px"
    grid = f'<div class="grid" style="{width}">{"".join(cells)}</div>'
    return markup.section("Feature maps", note, grid)


def caption(found: stored.Features, row: int, *, short: bool = True) -> str:
    """What a picture is called: its path where it was stored, else its number."""
    one = found.rows[row]
    name = one.file.split()[0] if short else one.file
    if found.paths is not None:
        name = found.paths[row]
    if one.record >= 0:
        name = f"record {one.record}"
    index = f" slice {one.slice}" if one.slice >= 0 else ""
    if short:
        return f"{name}{index} {one.modality}"
    kind = slices.MODALITIES.get(one.modality, "other")
    return f"{name}{index}, {one.modality}, {kind}, {one.source}"


def _cell(found, row, images, said: str) -> str:
    picture = f'<div class="ground"><img alt="" src="{sheet.uri(images[row])}"></div>'
    words = f"{markup.text(said)}<br>{markup.text(caption(found, row))}"
    return f"<figure>{picture}<figcaption>{words}</figcaption></figure>"


def _square(pixels: np.ndarray) -> np.ndarray:
    """As the encoder saw it, without the aspect; enlarged smoothly."""
    picture = PIL.Image.fromarray(pixels)
    shape = (_OVERLAY_SIDE, _OVERLAY_SIDE)
    return np.asarray(picture.resize(shape, PIL.Image.Resampling.BILINEAR))


def _ground(pixels: np.ndarray) -> str:
    picture = f'<img alt="" src="{sheet.uri(pixels, _OVERLAY_SIDE, "webp")}">'
    return f'<figure><div class="ground smooth">{picture}</div></figure>'
