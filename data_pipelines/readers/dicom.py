"""Reads a DICOM file; each frame is a slice."""

import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from data_pipelines import intensity, slices
from data_pipelines.readers import (
    dicom_file,
    dicom_grey,
    dicom_header,
    dicom_order,
    dicom_pixels,
    dicom_slide,
)

_KEPT = 2**28  # bytes of frames that are not decoded a second time


def read(
    path: pathlib.Path, context: slices.Context
) -> Iterator[slices.Slice | slices.Skipped]:
    """Yields the frames of a DICOM file, as those who read such images see them.

    Frames are in the order of their place in the patient. Modality tables and slopes
    are applied (also those of single frames), MONOCHROME1 is inverted, palettes and YBR
    become RGB. Grey frames have one scale, see `dicom_grey.scale_of`.

    Args:
      path: a DICOM file.
      context: counts where the header does not say.

    Raises:
      slices.SkippedError: the file holds no image, or none that can be decoded.
    """
    dataset = dicom_file.parse(path)
    if dicom_slide.is_slide(dataset):
        yield from _tiles(dataset, context)
        return
    frames = dicom_pixels.frames(dataset)
    if frames.missing:
        yield slices.Skipped(0, "frames that the header names and the file lacks")
    places = [dicom_order.place(dataset, index) for index in range(frames.count)]
    order = dicom_order.sorted_places(places)
    several = dicom_header.num_frames(dataset) > 1
    number = None if several else dicom_header.slice_index(dataset)
    shown = _colours if dicom_pixels.is_colour(dataset) else _greys
    for place, (index, pixels, rule) in enumerate(
        shown(dataset, frames, order, context)
    ):
        piece = piece_of(dataset, index, pixels, rule, context)
        yield piece._replace(index=place if several else number)


def piece_of(
    dataset, index: int, pixels: np.ndarray, rule: str, context: slices.Context
) -> slices.Slice:
    """The slice of a frame whose pixels are uint8, its index in the volume left out."""
    return slices.Slice(
        pixels=slices.grey_where_equal(pixels),
        modality=slices.modality_of(dataset.get("Modality"), context.modality),
        organ=slices.organ_of(dataset.get("BodyPartExamined")) or context.organ,
        spacing=dicom_header.spacing(dataset, index),
        identity=dicom_header.identity(dataset, context.identity),
        index=None,
        intensity_rule=rule,
        identities=dicom_header.identities(dataset),
        flags=dicom_header.flags(dataset),
    )


def remembered(decode: Callable[[Any], np.ndarray]) -> Callable[[Any], np.ndarray]:
    """`decode`, whose results wait for the second call as far as `_KEPT` bytes last."""
    kept: dict[Any, np.ndarray] = {}

    def decode_or_recall(key):
        if key in kept:
            return kept.pop(key)
        frame = decode(key)
        if frame.nbytes + sum(each.nbytes for each in kept.values()) <= _KEPT:
            kept[key] = frame
        return frame

    return decode_or_recall


def _greys(dataset, frames, order, context) -> Iterator[tuple[int, np.ndarray, str]]:
    middle = order[len(order) // 2]
    modality = slices.modality_of(dataset.get("Modality"), context.modality)
    organ = slices.organ_of(dataset.get("BodyPartExamined")) or context.organ
    scale = dicom_grey.scale_of(dataset, modality, organ, middle, frames.decode(middle))
    decode = frames.decode
    if dicom_grey.is_open(scale):
        decode = remembered(decode)
        num_values = frames.count * dataset.Rows * dataset.Columns
        samples = (
            dicom_grey.sample(dataset, index, decode(index), num_values=num_values)
            for index in order
        )
        scale = dicom_grey.with_limits(scale, samples)
    for index in order:
        pixels = dicom_grey.to_uint8(dataset, index, decode(index), scale)
        yield index, pixels, scale.name


def _colours(dataset, frames, order, _) -> Iterator[tuple[int, np.ndarray, str]]:
    for index in order:
        pixels = dicom_pixels.to_colour(frames.decode(index), dataset)
        yield index, pixels, intensity.UNTOUCHED


def _tiles(dataset, context) -> Iterator[slices.Slice | slices.Skipped]:
    for index, tile in dicom_slide.tiles(dataset, context.tile_microns):
        if tile is None:
            yield slices.Skipped(0, "a tile of a slide without tissue")
        else:
            rule = intensity.UNTOUCHED
            piece = piece_of(dataset, index, tile, rule, context)
            yield piece._replace(index=index)
