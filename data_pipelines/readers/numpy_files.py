"""Reads NumPy's files: .npz, also in MedMNIST's layout, and .npy."""

import contextlib
import functools
import math
import pathlib
import zipfile
from collections.abc import Iterator

import numpy as np

from data_pipelines import slices
from data_pipelines.readers import arrays

NPY_MAGIC = b"\x93NUMPY"
NPZ_MAGIC = b"PK\x03\x04"


def read_npz(
    path: pathlib.Path, context: slices.Context
) -> Iterator[slices.Slice | slices.Skipped]:
    """Yields the images of a .npz file; of MedMNIST's layout those of `train_images`.

    Each image (or volume) of MedMNIST has an identity of its own; `val_images` and
    `test_images` are left out, so that they can be evaluated on. Volumes are cut along
    their first axis. Of other files see `arrays.chosen`. Pickled objects are refused.

    Args:
      path: a .npz file.
      context: the file says nothing of it.

    Raises:
      slices.SkippedError: no array of the file is an image.
    """
    with contextlib.ExitStack() as opened:
        archive = opened.enter_context(zipfile.ZipFile(path))
        found: list[arrays.Array] = []
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if name == info.filename:
                continue
            if name in arrays.HELD_BACK and not context.held_back:
                yield slices.Skipped(0, f"{name}: kept to evaluate on")
                continue
            if info.file_size > arrays.MAX_RATIO * max(info.compress_size, 1):
                yield slices.Skipped(0, arrays.LIES)
                continue
            stream = opened.enter_context(archive.open(info))
            array = _npy(stream, name, info.file_size)
            if isinstance(array, slices.Skipped):
                yield array
            else:
                found.append(array)
        yield from arrays.read(found, context)


def read_npy(
    path: pathlib.Path, context: slices.Context
) -> Iterator[slices.Slice | slices.Skipped]:
    """Yields the image or the volume of a .npy file.

    Args:
      path: a .npy file.
      context: the file says nothing of it.

    Raises:
      slices.SkippedError: the array is no image, see `arrays.layout`.
    """
    with path.open("rb") as file:
        array = _npy(file, "", path.stat().st_size)
        if isinstance(array, slices.Skipped):
            raise slices.SkippedError(array.reason)
        yield from arrays.read([array], context)


def _npy(file, name: str, size: int) -> arrays.Array | slices.Skipped:
    """An array of a .npy stream; its header is checked before anything is read.

    Args:
      file: open, at its beginning; must stay open.
      name: of the array.
      size: bytes of the stream.
    """
    version = np.lib.format.read_magic(file)
    headers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in headers:
        return slices.Skipped(0, "array in a version of .npy that is not read")
    shape, by_columns, dtype = headers[version](file)
    if dtype.hasobject:
        return slices.Skipped(0, "array of pickled objects, which are never read")
    begin, count = file.tell(), math.prod(shape)
    if begin + count * dtype.itemsize != size:
        return slices.Skipped(0, arrays.LIES)
    if by_columns and count * dtype.itemsize > arrays.MAX_WHOLE:
        return slices.Skipped(0, "large array in column order: save it in row order")

    @functools.cache
    def whole():
        file.seek(begin)
        values = np.frombuffer(file.read(count * dtype.itemsize), dtype)
        return values.reshape(shape, order="F")

    def rows(place, start, stop):
        if by_columns:
            return whole()[(*place, slice(start, stop))]
        return _stored_rows(file, begin, shape, dtype, place, start, stop)

    return arrays.Array(name, shape, dtype, rows)


def _stored_rows(file, begin, shape, dtype, place, start, stop) -> np.ndarray:
    image = shape[len(place) :]
    row = math.prod(image[1:]) * dtype.itemsize
    number = np.ravel_multi_index(place, shape[: len(place)]) if place else 0
    file.seek(begin + (int(number) * image[0] + start) * row)
    values = np.frombuffer(file.read((stop - start) * row), dtype)
    return values.reshape(stop - start, *image[1:])
