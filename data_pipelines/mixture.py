"""Shards -> shuffled host batches for pre-training."""

import collections
import functools
import pathlib
import signal
from typing import Any, NamedTuple

import grain
import numpy as np

from data_pipelines import manifest, records

# batches that threads prepare ahead where no worker process does; each may be large
_READ_AHEAD = grain.ReadOptions(num_threads=2, prefetch_buffer_size=2)


_LOOKED_AT = 1000  # records among which those for a contact sheet are chosen


def read_manifest(shards: pathlib.Path) -> dict[str, Any]:
    """The manifest of a folder of shards, see `manifest.read`."""
    return manifest.read(pathlib.Path(shards))


class Share(NamedTuple):
    """Which rows of a batch one of several processes reads.

    A batch is cut into `num_parts` parts of consecutive rows, and each part into one
    block a process.
    """

    num_parts: int = 1
    process: int = 0
    num_processes: int = 1


_ALL = Share()


def host_batches(
    shards: pathlib.Path,
    *,
    global_batch: int,
    seed: int,
    start: int,
    num_workers: int,
    share: Share = _ALL,
) -> grain.DatasetIterator:
    """An endless iterator of batches; `.close()` it.

    Each epoch is another exact shuffle of all records. Batch k is the same for every
    number of workers, every start, and (its shares laid together) every number of
    processes. Only the rows of the share are read.

    Args:
      shards: a folder that `prepare` wrote.
      global_batch: records a batch, B; may exceed the number of records.
      seed: of the shuffles.
      start: number of the first batch, so that a run continues where it was saved.
      num_workers: processes that decode; 0 decodes in threads of this one.
      share: the rows that are wanted, part by part; all of them by default.

    Returns:
      Of batches {"image": uint8 [B, S, S, C], zero-padded at bottom and right, "size":
      int32 [B, 2], (height, width) of each, "index": int64 [B], its record}. S is the
      manifest's `size`, C its `channels`.

    Raises:
      FileNotFoundError: `shards` has no manifest.
      ValueError: a shard is damaged, an argument out of range, or a batch that does
        not cut into such shares.
    """
    if global_batch < 1 or start < 0 or num_workers < 0:
        raise ValueError(
            f"global_batch {global_batch}, start {start}, num_workers {num_workers}: "
            "must be at least 1, 0 and 0"
        )
    rows, left = divmod(global_batch, share.num_parts * share.num_processes)
    if left:
        raise ValueError(
            f"global_batch {global_batch} does not cut into {share.num_parts} part(s) "
            f"for {share.num_processes} process(es)"
        )
    found = read_manifest(shards)
    decode = functools.partial(_example, size=found["size"], channels=found["channels"])
    number = functools.partial(_numbered, num_records=found["records"])
    batches = (
        grain.MapDataset.source(_source(shards, found))
        .map_with_index(number)
        .seed(seed)
        .shuffle()
        .repeat()
        .map(decode)
        .batch(rows)
    )[share.process :: share.num_processes]
    if share.num_parts > 1:
        batches = batches.batch(share.num_parts).map(_laid_together)
    iterable = batches[start:].to_iter_dataset(_READ_AHEAD)
    if num_workers:
        _mark_flags_parsed()
        options = grain.multiprocessing.MultiprocessingOptions(num_workers=num_workers)
        iterable = iterable.mp_prefetch(options, worker_init_fn=_leave_ctrl_c)
    return iter(iterable)


def host_batch(
    shards: pathlib.Path,
    *,
    global_batch: int,
    seed: int,
    number: int,
    share: Share = _ALL,
) -> dict[str, np.ndarray]:
    """Batch `number` alone; all else is as in `host_batches`."""
    batches = host_batches(
        shards,
        global_batch=global_batch,
        seed=seed,
        start=number,
        num_workers=0,
        share=share,
    )
    try:
        return next(batches)
    finally:
        batches.close()


def first_images(shards: pathlib.Path, *, count: int) -> list[tuple[np.ndarray, str]]:
    """Up to `count` images with their modalities, as many of each as there are.

    They are chosen among records spread evenly over the set, rare modalities first.
    """
    source = _source(shards, read_manifest(shards))
    spread = np.linspace(0, len(source) - 1, min(_LOOKED_AT, len(source))).astype(int)
    by_modality = collections.defaultdict(list)
    for record in (records.decode(source[int(index)]) for index in spread):
        by_modality[record.modality].append(record)
    chosen = []
    for left, group in enumerate(sorted(by_modality.values(), key=len)):
        share = (count - len(chosen)) // (len(by_modality) - left)
        places = np.linspace(0, len(group) - 1, min(share, len(group))).astype(int)
        chosen += [group[place] for place in places]
    return [(records.image(record), record.modality) for record in chosen]


def _source(shards, found) -> grain.sources.ArrayRecordDataSource:
    return grain.sources.ArrayRecordDataSource(
        [str(pathlib.Path(shards) / name) for name in found["sha256"]]
    )


def _numbered(index: int, data: bytes, *, num_records: int) -> tuple[int, bytes]:
    """The record with its number; Grain counts on through the epochs."""
    return index % num_records, data


def _example(
    numbered: tuple[int, bytes], *, size: int, channels: int
) -> dict[str, np.ndarray]:
    """One record as an element of a batch: image [S, S, C], size [2], index []."""
    index, data = numbered
    record = records.decode(data)
    pixels = records.image(record).reshape(record.height, record.width, -1)
    padded = np.zeros((size, size, channels), np.uint8)
    padded[: record.height, : record.width] = pixels  # grey repeats over channels
    return {
        "image": padded,
        "size": np.array([record.height, record.width], np.int32),
        "index": np.int64(index),
    }


def _laid_together(parts: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Leaves [A, b, ...] as [A * b, ...]."""
    return {name: x.reshape(-1, *x.shape[2:]) for name, x in parts.items()}


def _leave_ctrl_c(worker: int, num_workers: int) -> None:
    """A terminal sends Ctrl-C to workers too; the run decides when they end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _mark_flags_parsed() -> None:
    """Grain's workers read absl flags, which only `absl.app.run` would parse."""
    from absl import flags

    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
