"""Tiles of whole slides that are stored as DICOM: frames of one level of a slide."""

from collections.abc import Iterator

import numpy as np

from data_pipelines import slices
from data_pipelines.readers import dicom_file, dicom_header, dicom_pixels

_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.77.1.6",  # whole slide microscopy
    "1.2.840.10008.5.1.4.1.1.77.1.9",  # confocal microscopy, tiled
)
# photographs of the glass, whose label often names the patient
_PICTURES_OF_THE_GLASS = ("LABEL", "OVERVIEW", "LOCALIZER")
_FACTOR = 4  # a level whose tiles are so much larger or smaller than asked is left out
_MOST_TILES = 4000  # of a level, evenly spread
_LEAST_SPREAD = 8.0  # standard deviation of the grey levels of tissue, at least


def is_slide(dataset) -> bool:
    """Whether the data set is a level of a slide, or a photograph of its glass."""
    return dicom_file.class_of(dataset) in _CLASSES


def tiles(dataset, microns: float) -> Iterator[tuple[int, np.ndarray | None]]:
    """Yields (number, RGB tile [H, W, 3], uint8) of a level; None without tissue.

    Args:
      dataset: see `is_slide`.
      microns: side of the tiles that are asked for.

    Raises:
      slices.SkippedError: it is a label or overview, or a level of another scale.
    """
    kinds = {str(each).strip().upper() for each in dataset.get("ImageType") or []}
    for kind in _PICTURES_OF_THE_GLASS:
        if kind in kinds:
            raise slices.SkippedError(
                f"a slide's {kind.lower()}: it may show the patient's name"
            )
    spacing = dicom_header.spacing(dataset, 0)
    if spacing is not None:
        side = 1000 * min(spacing[0] * dataset.Rows, spacing[1] * dataset.Columns)
        if not microns / _FACTOR <= side <= microns * _FACTOR:
            raise slices.SkippedError(
                f"a slide's level whose tiles are not about {microns:g} µm wide"
            )
    frames = dicom_pixels.frames(dataset)
    step = max(1, -(-frames.count // _MOST_TILES))
    for index in range(0, frames.count, step):
        tile = frames.decode(index)
        if dicom_pixels.is_colour(dataset):
            tile = dicom_pixels.to_colour(tile, dataset)
        yield index, tile if tile.std() >= _LEAST_SPREAD else None
