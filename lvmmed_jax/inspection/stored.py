"""The records of a folder of shards by their numbers, shard after shard."""

import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from array_record.python import array_record_module

from data_pipelines import manifest, records

_NEEDED = ("records", "size", "counts", "intensity", "salt_fingerprint", "sha256")
_READ_AT_ONCE = 64  # records: some megabytes where images are large


def read_manifest(shards: pathlib.Path) -> dict[str, Any]:
    """The manifest of a folder of shards, see `manifest.read`.

    Raises:
      FileNotFoundError: the folder has none.
      ValueError: it lacks a field, or a shard is not of the size that it says.
    """
    found = manifest.read(shards)
    missing = [name for name in (*_NEEDED, "taken", "skipped") if name not in found]
    if missing:
        raise ValueError(
            f"{shards / manifest.NAME}: damaged, it has no {missing[0]}; prepare the "
            "shards again"
        )
    return found


def spread(total: int, count: int) -> np.ndarray:
    """`count` of the numbers below `total`, evenly spread; all if there are fewer."""
    count = min(count, total)
    return ((np.arange(count) + 0.5) * total / max(1, count)).astype(int)


def read(
    shards: pathlib.Path, found: Mapping[str, Any], numbers: Iterable[int]
) -> Iterator[tuple[int, records.Record]]:
    """Yields the records of these numbers, in ascending order, with their numbers.

    Args:
      shards: the folder.
      found: its manifest.
      numbers: of records, counted through the shards in the manifest's order.

    Raises:
      ValueError: a shard is damaged, or all hold another number of records than the
        manifest says.
    """
    paths = [shards / name for name in found["sha256"]]
    readers = [_open(path) for path in paths]
    ends = np.cumsum([reader.num_records() for reader in readers])
    if ends[-1] != found["records"]:
        raise ValueError(
            f"{shards}: its shards hold {ends[-1]} records, its manifest says "
            f"{found['records']}; prepare the shards again"
        )
    ascending, first = np.sort(np.asarray(list(numbers), int)), 0
    for path, reader, end in zip(paths, readers, ends, strict=True):
        low, high = np.searchsorted(ascending, (first, end))
        yield from _read_shard(path, reader, first, ascending[low:high])
        first = end


def _open(path: pathlib.Path) -> array_record_module.ArrayRecordReader:
    """A reader; it opens any file, and finds no records in what is no shard."""
    try:
        reader = array_record_module.ArrayRecordReader(str(path))
        count = reader.num_records()
    except RuntimeError as error:
        raise _damaged(path, error) from error
    if not count:
        raise _damaged(path, "no records in it")
    return reader


def _read_shard(path, reader, first, numbers):
    for start in range(0, len(numbers), _READ_AT_ONCE):
        chunk = numbers[start : start + _READ_AT_ONCE]
        try:
            encoded = reader.read((chunk - first).tolist())
        except RuntimeError as error:
            raise _damaged(path, error) from error
        for number, data in zip(chunk.tolist(), encoded, strict=True):
            try:
                yield number, records.decode(data)
            except ValueError as error:
                raise _damaged(path, f"record {number}: {error}") from error


def image(number: int, record: records.Record) -> np.ndarray:
    """The stored image, [H, W] or [H, W, 3], uint8.

    Args:
      number: of the record, for the message.
      record: whose image to decode.

    Raises:
      ValueError: it cannot be decoded, or is not of the shape that the record says.
    """
    try:
        pixels = records.image(record)
    except ValueError as error:
        raise ValueError(f"record {number}: its image is damaged") from error
    said = (record.height, record.width) + (3,) * (record.channels == 3)
    if pixels.shape != said:
        raise ValueError(
            f"record {number}: its image is {pixels.shape}, the record says {said}"
        )
    return pixels


def _damaged(path: pathlib.Path, why: object) -> ValueError:
    reason = str(why).split(";")[0]
    return ValueError(f"{path}: damaged: {reason}; prepare the shards again")
