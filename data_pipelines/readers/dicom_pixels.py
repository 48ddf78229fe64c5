"""Decodes the frames of a DICOM data set: stored values, or colours."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from data_pipelines import slices
from data_pipelines.readers import (
    dicom_header,
    dicom_stream,
    dicom_syntax,
    dicom_tables,
)

_LARGEST_FRAME = 2**31  # pixels
# a frame over so many pixels must have a byte of compressed data for so many of them
_LARGE, _PIXELS_A_BYTE = 2**26, 1000
_REFUSED_COLOURS = ("ARGB", "CMYK", "HSV", "YBR_PARTIAL_420")  # retired
_PARTIAL = "YBR_PARTIAL_422"
_JPEG = "1.2.840.10008.1.2.4."  # syntaxes whose code streams have no unused bits
# red, green, blue of 1, Y, Cb, Cr with levels from 16 to 235 (ITU-R BT.601)
_FROM_PARTIAL = np.array(
    [
        [-222.921, 1.16438, 0.0, 1.59603],
        [135.576, 1.16438, -0.391762, -0.812968],
        [-276.836, 1.16438, 2.01723, 0.0],
    ],
    np.float32,
)


class Frames(NamedTuple):
    """The frames of a data set, decoded one at a time.

    Attributes:
      count: those that the file holds, at most those that it names.
      missing: those that it names and does not hold.
      decode: number -> values as they are stored, [H, W]; or [H, W, 3] RGB.
    """

    count: int
    missing: int
    decode: Callable[[int], np.ndarray]


def frames(dataset) -> Frames:
    """The frames of a data set, after checks that cost no memory.

    Raises:
      slices.SkippedError: no decoder reads them, or what the header says of their size
        or colour is out of reach.
    """
    dicom_syntax.check(dataset)
    colour = str(dataset.PhotometricInterpretation).strip()
    if colour in _REFUSED_COLOURS:
        raise slices.SkippedError(f"colours as {colour}: retired, not read")
    if dataset.Rows * dataset.Columns > _LARGEST_FRAME:
        raise slices.SkippedError("frames of more than 2^31 pixels")
    named = dicom_header.num_frames(dataset)
    if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        held, decode = _encapsulated(dataset, named)
    else:
        held, decode = _native(dataset, named)
    if not held:
        raise slices.SkippedError("the pixel data end before those of the first frame")
    return Frames(min(held, named), max(named - held, 0), decode)


def is_colour(dataset) -> bool:
    """Whether its frames are shown in colour."""
    return dataset.SamplesPerPixel == 3 or dicom_tables.has_palette(dataset)


def to_colour(frame: np.ndarray, dataset) -> np.ndarray:
    """uint8 [H, W, 3] of a decoded frame of a data set in colour."""
    if dicom_tables.has_palette(dataset):
        return dicom_tables.to_rgb(frame, dataset)
    return (frame >> max(dataset.BitsStored - 8, 0)).astype(np.uint8)


def _native(dataset, named):
    from pydicom import pixels

    decoder = pixels.get_decoder(dataset.file_meta.TransferSyntaxUID)
    options = _options(dataset)
    pixel_bits = dataset.SamplesPerPixel * dataset.BitsAllocated
    frame_bits = dataset.Rows * dataset.Columns * pixel_bits
    held_bits = 8 * len(_pixel_data(dataset))
    if "422" in dataset.PhotometricInterpretation:
        if held_bits >= named * frame_bits:  # decompressed, and called as before
            options = {"photometric_interpretation": "YBR_FULL"}
        else:
            frame_bits = frame_bits * 2 // 3
    held = held_bits // frame_bits
    options["number_of_frames"] = min(named, held)  # else a cut file is refused

    def decode(index: int) -> np.ndarray:
        frame, _ = decoder.as_array(dataset, index=index, **options)
        return _finished(frame, dataset)

    return held, decode


def _pixel_data(dataset) -> bytes:
    for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData"):
        if dataset.get(name):
            return dataset.get(name)
    return b""


def _encapsulated(dataset, named):
    from pydicom import encaps, pixels
    from pydicom.pixels import utils

    # cut once: by index pydicom looks for each frame from the start
    streams = list(_streams(dataset, named))
    decoder = pixels.get_decoder(dataset.file_meta.TransferSyntaxUID)
    options = utils.as_pixel_options(dataset, number_of_frames=1) | _options(dataset)
    options.pop("extended_offsets", None)
    options["decoding_plugin"] = dicom_syntax.plugin(dataset)
    size = dataset.Rows * dataset.Columns

    def decode(index: int) -> np.ndarray:
        stream = streams[index]
        if size > max(_LARGE, _PIXELS_A_BYTE * len(stream)):
            raise slices.SkippedError(
                "frames of more pixels than their compressed data can hold"
            )
        dicom_stream.check(stream, dataset)
        data = encaps.encapsulate([stream], has_bot=False)
        frame, _ = decoder.as_array(data, index=0, **options)
        return _finished(frame, dataset)

    return len(streams), decode


def _streams(dataset, named) -> Iterator[bytes]:
    """The compressed frames, as far as they can be told apart."""
    from pydicom import encaps

    offsets = None
    if "ExtendedOffsetTable" in dataset:
        offsets = (dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths)
    return encaps.generate_frames(
        dataset.PixelData, number_of_frames=named, extended_offsets=offsets
    )


def _options(dataset) -> dict:
    if dataset.PhotometricInterpretation == _PARTIAL:  # as stored, to RGB by ourselves
        return {"photometric_interpretation": "YBR_FULL_422", "raw": True}
    return {"correct_unused_bits": False} if _has_high_bits(dataset) else {}


def _has_high_bits(dataset) -> bool:
    """Whether the values do not begin at the lowest bit."""
    high = dataset.get("HighBit")
    return (
        "PixelData" in dataset
        and not dataset.file_meta.TransferSyntaxUID.startswith(_JPEG)
        and high is not None
        and dataset.BitsStored <= high < dataset.BitsAllocated
    )


def _finished(frame, dataset) -> np.ndarray:
    if dataset.PhotometricInterpretation == _PARTIAL:
        rgb = frame.astype(np.float32) @ _FROM_PARTIAL[:, 1:].T + _FROM_PARTIAL[:, 0]
        return np.rint(np.clip(rgb, 0, 255)).astype(np.uint8)
    if _has_high_bits(dataset):
        frame = frame << (dataset.BitsAllocated - 1 - dataset.HighBit)
        frame = frame >> (dataset.BitsAllocated - dataset.BitsStored)
    return frame.astype(frame.dtype.newbyteorder("="), copy=False)
