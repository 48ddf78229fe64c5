"""The record: what a shard holds of one image, as a msgpack map."""

import io
from typing import NamedTuple

import imagecodecs
import msgpack
import numpy as np
import PIL.Image

from data_pipelines import slices


class Record(NamedTuple):
    """One stored image; the fields are the keys of the map.

    Attributes:
      image: PNG bytes; grey is stored grey.
      height, width: of the stored image, in pixels.
      channels: 1 or 3 (RGB).
      bits: 8.
      modality, organ: DICOM's terms; organ may be None.
      spacing: [row, column] in mm of the stored image, or None.
      group: keyed hash of the patient, study or volume: what must not be split.
      slice: index in its volume, or None.
      source: name of the data set.
      intensity_rule: the row of `intensity` that gave the pixels.
      label, mask, boxes: the truth where there is one, or None.
    """

    image: bytes
    height: int
    width: int
    channels: int
    bits: int
    modality: str
    organ: str | None
    spacing: list[float] | None
    group: str
    slice: int | None
    source: str
    intensity_rule: str
    label: int | None = None
    mask: bytes | None = None
    boxes: list[list[float]] | None = None


def bounded(pixels: np.ndarray, size: int) -> np.ndarray:
    """An image no side of which is longer than `size`: averaged down, never up.

    Args:
      pixels: [H, W] or [H, W, 3], uint8.
      size: pixels.
    """
    height, width = pixels.shape[:2]
    longest = max(height, width)
    if longest <= size:
        return pixels
    shape = [max(1, round(side * size / longest)) for side in (width, height)]
    image = PIL.Image.fromarray(pixels).resize(shape, PIL.Image.Resampling.BOX)
    return np.asarray(image)


def from_slice(
    piece: slices.Slice, pixels: np.ndarray, *, group: str, source: str
) -> Record:
    """The record of a slice whose bounded image is `pixels`."""
    height, width = pixels.shape[:2]
    spacing = None
    if piece.spacing:
        row, column = piece.spacing
        full_height, full_width = piece.pixels.shape[:2]
        spacing = [row * full_height / height, column * full_width / width]
    return Record(
        image=png(pixels),
        height=height,
        width=width,
        channels=1 if pixels.ndim == 2 else pixels.shape[-1],
        bits=8,
        modality=piece.modality,
        organ=piece.organ,
        spacing=spacing,
        group=group,
        slice=piece.index,
        source=source,
        intensity_rule=piece.intensity_rule,
        label=piece.label,
    )


def encode(record: Record) -> bytes:
    """The msgpack map of a record; keys in the order of the fields."""
    return msgpack.packb(validate(record)._asdict())


def decode(data: bytes) -> Record:
    """The record in `data`.

    Raises:
      ValueError: `data` is no record; the message names the field.
    """
    try:
        fields = msgpack.unpackb(data)
        record = Record(**fields)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise ValueError(f"not a record: {error}") from error
    return validate(record)


def image(record: Record, out: np.ndarray | None = None) -> np.ndarray:
    """The stored image: [H, W] or [H, W, 3], uint8.

    Args:
      record: whose image to decode.
      out: of this shape and type and contiguous, which is filled; None makes one.

    Raises:
      ValueError: it is damaged.
    """
    try:
        return imagecodecs.png_decode(record.image, out=out)
    except RuntimeError as error:
        raise ValueError("not a record: its image is damaged") from error


def validate(record: Record) -> Record:
    """Returns the record, or raises a ValueError that names the field."""
    checks = {
        "image": isinstance(record.image, bytes) and record.image[:4] == b"\x89PNG",
        "height": _positive(record.height),
        "width": _positive(record.width),
        "channels": record.channels in (1, 3),
        "bits": record.bits == 8,
        "modality": record.modality in slices.MODALITIES,
        "organ": record.organ is None or record.organ in slices.ORGANS,
        "spacing": record.spacing is None
        or (len(record.spacing) == 2 and min(record.spacing) > 0),
        "group": isinstance(record.group, str) and len(record.group) == 32,
        "slice": record.slice is None or isinstance(record.slice, int),
        "source": isinstance(record.source, str) and record.source != "",
        "intensity_rule": isinstance(record.intensity_rule, str),
        "label": record.label is None
        or (isinstance(record.label, int) and record.label >= 0),
    }
    wrong = [name for name, passed in checks.items() if not passed]
    if wrong:
        name = wrong[0]
        value = "bytes" if name == "image" else repr(getattr(record, name))[:60]
        raise ValueError(f"not a record: its {name} is {value}")
    return record


def png(pixels: np.ndarray) -> bytes:
    """The PNG file of an image, [H, W] or [H, W, 3], uint8."""
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _positive(number) -> bool:
    return isinstance(number, int) and number > 0
