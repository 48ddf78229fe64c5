"""Shards -> shuffled host batches for pre-training."""

import collections
import pathlib
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import grain
import numpy as np

from data_pipelines import (
    ahead,
    balance,
    dealing,
    decoding,
    manifest,
    pool,
    records,
    stream,
)

_LOOKED_AT = 1000  # records among which those for a contact sheet are chosen


def read_manifest(shards: pathlib.Path) -> dict[str, Any]:
    """The manifest of a folder of shards, see `manifest.read`."""
    return manifest.read(pathlib.Path(shards))


def class_names(found: dict[str, Any]) -> list[str]:
    """Of a manifest, see `manifest.class_names`."""
    return manifest.class_names(found)


class Share(NamedTuple):
    """Which rows of a batch one of several processes reads.

    A batch is cut into `num_parts` parts of consecutive rows, and each part into one
    block a process.
    """

    num_parts: int = 1
    process: int = 0
    num_processes: int = 1


class Mix(NamedTuple):
    """What an epoch holds and what its graphs should not.

    Attributes:
      balance, weights, most_repeats: see `balance.draws`.
      graph_size: consecutive rows of a batch that make a graph, or None.
    """

    balance: float = 0.0
    weights: str = ""
    most_repeats: int = 1
    graph_size: int | None = None


_ALL = Share()
_AS_IT_IS = Mix()


def host_batches(
    shards: pathlib.Path,
    *,
    global_batch: int,
    seed: int,
    start: int,
    num_workers: int,
    share: Share = _ALL,
    mix: Mix = _AS_IT_IS,
) -> stream.Stream:
    """An endless iterator of batches; `.close()` it.

    Each epoch is another exact shuffle of all that it holds. Batch k is the same for
    every number of workers, every start, and (its shares laid together) every number
    of processes. Only the rows of the share are read.

    Args:
      shards: a folder that `prepare` wrote.
      global_batch: records a batch, B; may exceed the number of records.
      seed: of the shuffles, and of the copies' crops.
      start: number of the first batch, so that a run continues where it was saved.
      num_workers: processes that decode; 0 decodes in threads of this one, one a core.
      share: the rows that are wanted, part by part; all of them by default.
      mix: what an epoch holds; by default every record once.

    Returns:
      Of batches {"image": uint8 [B, S, S, C], zero-padded at bottom and right, "size":
      int32 [B, 2], (height, width) of each, "label": int32 [B], its class or -1,
      "index": int64 [B], its record, "group": int32 [B], equal where records are of one
      patient, study or volume}. S is the manifest's `size`, C its `channels`.

    Raises:
      FileNotFoundError: `shards` has no manifest.
      ValueError: a shard is damaged, an argument out of range, or a batch that does
        not cut into such shares or graphs.
    """
    if global_batch < 1 or start < 0 or num_workers < 0:
        raise ValueError(
            f"global_batch {global_batch}, start {start}, num_workers {num_workers}: "
            "must be at least 1, 0 and 0"
        )
    if global_batch % (share.num_parts * share.num_processes):
        raise ValueError(
            f"global_batch {global_batch} does not cut into {share.num_parts} part(s) "
            f"for {share.num_processes} process(es)"
        )
    if mix.graph_size is not None and global_batch % mix.graph_size:
        raise ValueError(
            f"global_batch {global_batch} does not cut into graphs of {mix.graph_size}"
        )
    shards = pathlib.Path(shards)
    found = read_manifest(shards)
    threads = 1 if num_workers else pool.usable_cores()
    batches = _batches(shards, found, global_batch, seed, share, mix, threads)
    numbers = grain.MapDataset.range(0, sys.maxsize).map(batches)
    # one batch at a time: the decoder has threads of its own
    found_batches = ahead.iterate(
        numbers[start:], num_workers=num_workers, num_threads=1
    )
    return stream.Stream(found_batches, _told(shards, found))


def epoch_size(shards: pathlib.Path, mix: Mix) -> int:
    """Records that an epoch draws, those that come again counted again."""
    rows = manifest.read_index(shards, read_manifest(shards))
    return _draws(rows, mix, seed=0).num_draws


def _draws(rows, mix, seed) -> balance.Draws:
    return balance.draws(
        rows,
        balance=mix.balance,
        weights=balance.parse_weights(mix.weights),
        most_repeats=mix.most_repeats,
        seed=seed,
    )


def _batches(
    shards, found, global_batch, seed, share, mix, num_threads
) -> stream.Batches:
    rows = manifest.read_index(shards, found)
    draws = _draws(rows, mix, seed)
    _, groups = np.unique(rows.group, axis=0, return_inverse=True)
    groups = groups.reshape(-1).astype(np.int32)
    own = np.arange(global_batch).reshape(share.num_parts, share.num_processes, -1)
    return stream.Batches(
        decoder=decoding.Decoder(
            read_records(shards, found), found["size"], found["channels"], num_threads
        ),
        order=dealing.Order(draws, groups, global_batch, mix.graph_size, seed),
        rows=own[:, share.process].reshape(-1),
    )


def _told(shards: pathlib.Path, found: dict[str, Any]) -> Callable[[int], None]:
    """Says which record of which shard is damaged."""

    def say(number: int) -> None:
        # only now: the shards of a large set are many to open
        files = list(found["sha256"])
        starts = np.cumsum([0, *(_num_records(shards / file) for file in files)])
        place = int(np.searchsorted(starts, number, side="right")) - 1
        print(
            f"{shards / files[place]}: record {number - starts[place]} is damaged; the "
            "next one takes its place",
            file=sys.stderr,
        )

    return say


def _num_records(path: pathlib.Path) -> int:
    from array_record.python import array_record_module

    reader = array_record_module.ArrayRecordReader(str(path))
    try:
        return reader.num_records()
    finally:
        reader.close()


def host_batch(
    shards: pathlib.Path,
    *,
    global_batch: int,
    seed: int,
    number: int,
    share: Share = _ALL,
    mix: Mix = _AS_IT_IS,
) -> dict[str, np.ndarray]:
    """Batch `number` alone; all else is as in `host_batches`."""
    batches = host_batches(
        shards,
        global_batch=global_batch,
        seed=seed,
        start=number,
        num_workers=0,
        share=share,
        mix=mix,
    )
    try:
        return next(batches)
    finally:
        batches.close()


def first_images(shards: pathlib.Path, *, count: int) -> list[tuple[np.ndarray, str]]:
    """Up to `count` images with their modalities, as many of each as there are.

    They are chosen among records spread evenly over the set, rare modalities first.
    """
    source = read_records(shards, read_manifest(shards))
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


def read_records(
    shards: pathlib.Path, found: dict[str, Any]
) -> grain.sources.ArrayRecordDataSource:
    """The encoded records of shards with this manifest, by number."""
    return grain.sources.ArrayRecordDataSource(
        [str(pathlib.Path(shards) / name) for name in found["sha256"]]
    )
