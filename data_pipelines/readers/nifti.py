"""Reads NIfTI-1, NIfTI-2 and Analyze 7.5 volumes: single files and pairs.

What is compressed is told by the content: a plain file may be called .nii.gz and a
gzipped one .nii. Of a file no more is read than its header asks for, one volume at a
time.
"""

import pathlib
from collections.abc import Iterator

import numpy as np

from data_pipelines import slices
from data_pipelines.readers import nifti_files, nifti_header, volumes

is_data_of_header = nifti_files.is_data
_CHUNK = 2**22  # numbers that are read at a time


def read(
    path: pathlib.Path, context: slices.Context
) -> Iterator[slices.Slice | slices.Skipped]:
    """Yields the slices of a file in the planes asked for, see `volumes`.

    Colours (RGB24, RGBA32, 8-bit vectors of 3 or 4) stay as they are; the rest is
    scaled, each volume for itself.

    Args:
      path: a .nii, .nii.gz, .hdr or .img file.
      context: NIfTI does not say its modality; CT counts as Hounsfield units.

    Raises:
      slices.SkippedError: no volume of intensities, or one that is cut or damaged.
    """
    layout = nifti_header.parse(path)
    nifti_header.check_intent(layout)
    _, spacing = volumes.to_ras(np.empty((1, 1, 1)), layout.affine, layout.sizes)
    yield from volumes.read(
        _volumes(layout),
        spacing=spacing,
        context=context,
        modality=slices.modality_of(context.modality, None),
    )


def load(path: pathlib.Path) -> tuple[np.ndarray, volumes.Spacing]:
    """All values [X, Y, Z] or [X, Y, Z, T] in RAS order, and the spacing in mm.

    Values are exact: of the stored type, or float64 where there is a slope.

    Raises:
      slices.SkippedError: as `read`; also of colours.
    """
    layout = nifti_header.parse(path)
    if layout.channels:
        raise slices.SkippedError("a colour volume")
    kind = layout.dtype.newbyteorder("=") if layout.scale is None else np.float64
    i, j, k, t = layout.shape
    stored = np.empty((t, k, j, i), kind)
    with nifti_files.opened(layout.data) as file:
        file.seek(layout.offset)
        for volume in stored:
            _fill(volume.reshape(-1), file, layout)
        _check_end(file)
    values, spacing = volumes.to_ras(stored.T, layout.affine, layout.sizes)
    return (values if t > 1 else values[..., 0]), spacing


def _volumes(layout) -> Iterator[np.ndarray | slices.Skipped]:
    """The volumes to read, as float32 where that is what scaling makes of them."""
    i, j, k, count = layout.shape
    kind = np.dtype(np.float32)
    if layout.scale is None and layout.dtype.itemsize <= 2:
        kind = layout.dtype.newbyteorder("=")
    chosen = volumes.chosen(count)
    with nifti_files.opened(layout.data) as file:
        for number in range(count):
            if number not in chosen:
                yield slices.Skipped(0, volumes.LEFT_OUT)
                continue
            file.seek(layout.offset + number * layout.volume_bytes)
            channels = (layout.channels,) if layout.channels else ()
            stored = np.empty((k, j, i, *channels), kind)
            _fill(stored.reshape(-1), file, layout)
            if number == count - 1:
                _check_end(file)
            yield _turned(stored, layout)


def _turned(stored, layout) -> np.ndarray:
    if layout.planar:
        stored = np.moveaxis(stored.reshape(layout.channels, *stored.shape[:3]), 0, -1)
    if layout.channels:
        stored = stored[..., :3]  # without transparency
    stored = stored.swapaxes(0, 2)
    return volumes.to_ras(stored, layout.affine, layout.sizes)[0]


def _fill(flat, file, layout) -> None:
    """Reads the numbers of one volume, in chunks: no second copy of it."""
    for start in range(0, len(flat), _CHUNK):
        part = flat[start : start + _CHUNK]
        data = file.read(part.size * layout.dtype.itemsize)
        if len(data) < part.size * layout.dtype.itemsize:
            raise slices.SkippedError(nifti_files.CUT)
        numbers = np.frombuffer(data, layout.dtype)
        with np.errstate(over="ignore", invalid="ignore"):
            if layout.scale is not None:
                slope, intercept = layout.scale
                numbers = numbers.astype(np.float64) * slope + intercept
            part[...] = numbers


def _check_end(file) -> None:
    """At its end gzip compares the checksum: a flipped bit is damage, not an image."""
    file.read(1)
