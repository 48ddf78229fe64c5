"""Images without labels, in order: of files in any format, or of shards."""

import concurrent.futures
import hashlib
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from data_pipelines import manifest, mixture, pool, reading, records, sources, workers

_BLOCK = 64  # records of shards that are read at once


class Row(NamedTuple):
    """What is known of one image.

    Attributes:
      file: public name of its file, "#0042 9f86d081884c".
      record: its number in the shards, or -1.
      slice: its number in its volume, or -1.
      modality: see `slices.MODALITIES`.
      group: keyed hash of the patient, study or volume.
      source: name of the data set.
    """

    file: str
    record: int
    slice: int
    modality: str
    group: str
    source: str


class Unit(NamedTuple):
    """The images that are read together: of a file, a series or a block of records.

    Attributes:
      rows: of its images.
      images: of uint8 [H, W] or [H, W, 3].
      skipped: (public name, reason) of what holds no image.
      dropped: reason -> images of the others that were left out.
    """

    rows: list[Row]
    images: list[np.ndarray]
    skipped: list[tuple[str, str]]
    dropped: dict[str, int]


class Images(NamedTuple):
    """A collection of images in a fixed order.

    Attributes:
      state: a hash that changes when the images do.
      sizes: of each unit, in `counted`.
      counted: what progress is told in, "files" or "records".
      read: numbers of units, ascending -> these units, one after the other.
      unit_of: the number of the unit that a row is of.
      names: number of a file -> its path below what was named; empty for shards.
    """

    state: str
    sizes: list[int]
    counted: str
    read: Callable[[Sequence[int]], Iterator[Unit]]
    unit_of: Callable[[Row], int]
    names: dict[int, str]


def of_files(
    given: Sequence[str],
    inputs: Sequence[sources.Input],
    options: reading.Options,
    *,
    num_workers: int,
    limits: pool.Limits,
) -> Images:
    """The images of files, read in processes that are bounded.

    Args:
      given: what the user named.
      inputs: their files, see `sources.expand_all`.
      options: how they are read.
      num_workers, limits: see `workers.read_all`.
    """

    def read(numbers: Sequence[int]) -> Iterator[Unit]:
        outcomes = workers.read_all(
            (inputs[number] for number in numbers),
            options,
            num_workers=num_workers,
            limits=limits,
        )
        try:
            yield from map(_of_outcomes, outcomes)
        finally:
            outcomes.close()

    units = {
        number: unit for unit, entry in enumerate(inputs) for number in entry.numbers
    }
    return Images(
        state=sources.state(inputs, options.salt_key),
        sizes=[len(entry.paths) for entry in inputs],
        counted="files",
        read=read,
        unit_of=lambda row: units[manifest.number_of(row.file)],
        names=_names([pathlib.Path(name) for name in given], inputs),
    )


def of_shards(shards: pathlib.Path) -> Images:
    """The images of shards, in the order of their records.

    Raises:
      FileNotFoundError: the folder has no manifest.
      ValueError: it is damaged.
    """
    found = manifest.read(shards)
    numbers = manifest.read_index(shards, found).number.tolist()
    names = {
        manifest.number_of(entry["file"]): entry["file"] for entry in found["taken"]
    }
    source = mixture.read_records(shards, found)

    threads = concurrent.futures.ThreadPoolExecutor(pool.usable_cores())

    def decode(place: int) -> tuple[records.Record, np.ndarray] | None:
        try:
            record = records.decode(source[place])
            return record, records.image(record)
        except Exception:  # whatever a decoder raises: the record is at fault
            return None

    def read(blocks: Sequence[int]) -> Iterator[Unit]:
        for block in blocks:
            first = block * _BLOCK
            unit = Unit([], [], [], {})
            places = range(first, min(first + _BLOCK, len(numbers)))
            for place, decoded in zip(places, threads.map(decode, places), strict=True):
                if decoded is None:
                    unit.skipped.append((f"record {place}", "damaged"))
                    continue
                record, pixels = decoded
                unit.rows.append(_row(names[numbers[place]], place, record))
                unit.images.append(pixels)
            yield unit

    num_blocks = -(-len(numbers) // _BLOCK)
    sizes = [_BLOCK] * (num_blocks - 1) + [len(numbers) - _BLOCK * (num_blocks - 1)]
    return Images(
        state=hashlib.sha256(" ".join(found["sha256"].values()).encode()).hexdigest(),
        sizes=sizes,
        counted="records",
        read=read,
        unit_of=lambda row: row.record // _BLOCK,
        names={},
    )


def take(
    images: Images, rows: Sequence[Row], wanted: Sequence[int]
) -> dict[int, np.ndarray]:
    """Some images again, by their places among all rows.

    Args:
      images: the collection.
      rows: of all its images.
      wanted: places in `rows`.

    Raises:
      ValueError: an image is no longer what it was.
    """
    units = [images.unit_of(row) for row in rows]
    first: dict[int, int] = {}
    for place, unit in enumerate(units):
        first.setdefault(unit, place)
    by_unit: dict[int, list[int]] = {}
    for place in sorted(set(wanted)):
        by_unit.setdefault(units[place], []).append(place)
    numbers, found = sorted(by_unit), {}
    for number, unit in zip(numbers, images.read(numbers), strict=True):
        for place in by_unit[number]:
            own = place - first[number]
            if own >= len(unit.rows) or unit.rows[own] != rows[place]:
                raise ValueError(f"{rows[place].file}: changed since it was embedded")
            found[place] = unit.images[own]
    return found


def _of_outcomes(outcomes: Sequence[reading.Outcome]) -> Unit:
    unit = Unit([], [], [], {})
    for outcome in outcomes:
        for piece in outcome.pieces:
            record = records.decode(piece.record)
            unit.rows.append(_row(outcome.file, -1, record))
            unit.images.append(records.image(record))
        if not outcome.pieces:
            unit.skipped.append((outcome.file, manifest.reason(outcome.dropped)))
            continue
        for reason, count in outcome.dropped.items():
            unit.dropped[reason] = unit.dropped.get(reason, 0) + count
    return unit


def _row(file: str, number: int, record: Any) -> Row:
    index = -1 if record.slice is None else record.slice
    return Row(file, number, index, record.modality, record.group, record.source)


def _names(roots, inputs) -> dict[int, str]:
    """Below the folder that was named; of anything else the name alone."""
    found = {}
    for entry in inputs:
        for number, path in zip(entry.numbers, entry.paths, strict=True):
            root = next((each for each in roots if path.is_relative_to(each)), None)
            inner = path.name
            if root is not None and path != root:
                inner = path.relative_to(root).as_posix()
            found[number] = inner
    return found
