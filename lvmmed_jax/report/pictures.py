"""The sections of a report that show pictures of one run."""

import itertools
from collections.abc import Mapping

import numpy as np

from lvmmed_jax.report import figures, images, markup, runs

# what keeps the page small: images of a kind, and pixels of their longer side
_MAX_CONTACT, _CONTACT_SIDE = 48, 96
_MAX_OVERLAYS, _OVERLAY_SIDE = 8, 160


def views(run: runs.Run) -> str:
    """Pairs of views with cells matched by location and by feature."""
    title, arrays = "Two views and their matched cells", run.training_pictures
    if "views" not in arrays:
        return markup.section(title, _no_pictures(run, "pretrain"))
    note = (
        '<p class="note"><span class="key location"></span>upper row: cells matched by '
        'nearest location; <span class="key feature"></span>lower row: by nearest '
        "feature. At most six of each are drawn, no cell twice. How far apart they "
        "lie is measured in the original image, in per cent of its side, as the mean "
        "over all matches; features that know where they are match close by.</p>"
    )
    cells = (_view_pair(arrays, index) for index in range(len(arrays["views"])))
    return markup.section(title, note, markup.grid("pairs", cells))


def _view_pair(arrays: Mapping[str, np.ndarray], index: int) -> str:
    locations = arrays["locations"][index]
    kinds = [arrays[f"matches_{kind}"][index] for kind in images.KINDS]
    by_location, by_feature = (_mean_distance(locations, pairs) for pairs in kinds)
    return markup.figure(
        images.matched_views(arrays["views"][index], locations.shape[1:3], kinds),
        f"apart: {by_location:.0%} by location, {by_feature:.0%} by feature",
    )


def _mean_distance(locations: np.ndarray, pairs: np.ndarray) -> float:
    """Between matched cells in the original image, in shares of its side."""
    first, second = locations.reshape(2, -1, 2)
    gaps = first[pairs[:, 0]] - second[pairs[:, 1]]
    return float(np.linalg.norm(gaps, axis=-1).mean())


def _no_pictures(run: runs.Run, name: str) -> str:
    return markup.paragraph(
        f"No pictures: {run.workdir / 'pictures' / name}.npz is not there."
    )


def affinity(run: runs.Run) -> str:
    """The affinity of one graph, and what the solver made of it."""
    title, arrays = "Affinity of two views of 16 images", run.training_pictures
    if "vertex_affinity" not in arrays:
        return markup.section(title, _no_pictures(run, "pretrain"))
    affinity, matching = arrays["vertex_affinity"], arrays["matching"]
    right = int(np.trace(matching))
    note = (
        f"Brighter is more alike. White squares on the diagonal are the true pairs, "
        f"dots the pairs that the solver found: {right} of {len(matching)} are right."
    )
    picture = figures.affinity_matrix(affinity, matching)
    return markup.section(
        title, f'<div class="medium">{markup.figure(picture, note)}</div>'
    )


def overlays(run: runs.Run) -> str:
    """Test images with their true classes and those that the encoders found."""
    title, arrays = "Tissue found by the frozen encoders", run.evaluation_pictures
    if "images" not in arrays:
        return markup.section(title, _no_pictures(run, "evaluation"))
    # class 0 is the background, which stays grey
    names, colours = arrays["class_names"][1:], images.CLASS_COLOURS
    key = markup.key(
        (markup.square(f"rgb{colours[i % len(colours)]}"), name)
        for i, name in enumerate(names)
    )
    shown = range(len(arrays["images"]))[:_MAX_OVERLAYS]
    return markup.section(title, key, *(_overlay_row(arrays, index) for index in shown))


def _overlay_row(arrays: Mapping[str, np.ndarray], index: int) -> str:
    """Image, truth, random and pretrained, without the padding below and right."""
    used = (arrays["images"][index] > 0) | (arrays["truth"][index] > 0)
    rows, columns = (1 + where.max(initial=0) for where in np.nonzero(used))
    stride = -(-max(rows, columns) // _OVERLAY_SIDE)
    cut = np.s_[index, :rows:stride, :columns:stride]
    image = arrays["images"][cut]
    cells = [markup.figure(images.tag(image, "image"), "image")]
    for side in ("truth", "random", "pretrained"):
        tinted = images.overlay(image, arrays[side][cut])
        cells.append(markup.figure(images.tag(tinted, side), side))
    return f'<div class="row">{"".join(cells)}</div>'


def contact_sheet(run: runs.Run) -> str:
    """Thumbnails of the records, and how many there are of each modality."""
    title, arrays = "The data", run.training_pictures
    modalities = (run.about.get("data") or {}).get("modalities") or {}
    counts = (
        markup.table(("modality", "records"), modalities.items()) if modalities else ""
    )
    if "contact" not in arrays:
        return markup.section(title, counts, _no_pictures(run, "pretrain"))
    shown = zip(arrays["contact"], arrays["contact_modality"], strict=True)
    tiles = (
        markup.figure(images.tag(images.shrink(image, _CONTACT_SIDE), name), name)
        for image, name in itertools.islice(shown, _MAX_CONTACT)
    )
    return markup.section(title, counts, markup.grid("tiles", tiles))
