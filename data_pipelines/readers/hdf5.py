"""Reads HDF5 files: what they hold themselves, never what they link to."""

import functools
import itertools
import math
import pathlib
from collections.abc import Iterator

from data_pipelines import slices
from data_pipelines.readers import arrays

MAGIC = b"\x89HDF\r\n\x1a\n"
_MAX_OBJECTS = 10_000  # that are looked at


def read(
    path: pathlib.Path, context: slices.Context
) -> Iterator[slices.Slice | slices.Skipped]:
    """Yields the images of an HDF5 file, see `arrays.chosen`.

    Only what the file itself holds is read: no links, no virtual data sets, and no data
    in other files.

    Args:
      path: an HDF5 file; its name does not matter.
      context: the file says nothing of it.

    Raises:
      slices.SkippedError: no data set is an image, or h5py is not installed.
    """
    try:
        import h5py
    except ImportError:
        raise slices.SkippedError(
            "an HDF5 file: to read it, pip install h5py"
        ) from None
    with h5py.File(path, "r", locking=False, rdcc_nbytes=arrays.MAX_WHOLE) as file:
        opened = functools.lru_cache(maxsize=1)(file.__getitem__)  # each has a cache
        found: list[arrays.Array] = []
        for dataset in _datasets(file):
            reason = _refusal(dataset)
            if reason:
                yield slices.Skipped(0, reason)
            elif dataset.shape is not None:
                found.append(_array(dataset, opened))
        yield from arrays.read(found, context)


def _datasets(file) -> Iterator:
    """Every data set that lies in the file itself, once."""
    import h5py

    root = file["/"]
    waiting = _members(root)
    seen = {h5py.h5o.get_info(root.id).addr}
    for _ in range(_MAX_OBJECTS):
        if not waiting:
            return
        group, name = waiting.pop()
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            continue
        item = group[name]
        address = h5py.h5o.get_info(item.id).addr
        if address in seen:  # groups can hold themselves
            continue
        seen.add(address)
        if isinstance(item, h5py.Dataset):
            yield item
        elif isinstance(item, h5py.Group):
            waiting += _members(item)


def _members(group) -> list[tuple]:
    """(group, name) of what it holds, the first last."""
    names = itertools.islice(group, _MAX_OBJECTS)
    return [(group, name) for name in names][::-1]


def _refusal(dataset) -> str | None:
    """Why a data set is not even looked at, or None."""
    if dataset.is_virtual or dataset.external:
        return "data set whose values lie in other files"
    if dataset.shape is None or dataset.dtype.kind not in "buif":
        return None  # is no image anyhow
    if dataset.nbytes > arrays.MAX_RATIO * max(dataset.id.get_storage_size(), 1):
        return arrays.LIES
    if math.prod(dataset.chunks or ()) * dataset.dtype.itemsize > arrays.MAX_WHOLE:
        return f"data set in chunks of over {arrays.MAX_WHOLE >> 20} MB"
    return None


def _array(dataset, opened) -> arrays.Array:
    name = dataset.name

    def rows(place, start, stop):
        return opened(name)[(*place, slice(start, stop))]

    return arrays.Array(name, dataset.shape, dataset.dtype, rows)
