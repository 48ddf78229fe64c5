"""Embeds images batch by batch; what is done goes to a journal, and a run goes on."""

import concurrent.futures
import contextlib
import functools
import itertools
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from data_pipelines import journal, manifest, pool, unlabelled
from lvmmed_jax import encoders
from lvmmed_jax.features import layers, stored

_FORM = 1  # of the journal's entries
_WORDS = {"digest": "model", "state": "images"}  # how messages call what differs


class Job(NamedTuple):
    """What is embedded, how, and where to.

    Attributes:
      images: the collection.
      apply: see `layers.make`.
      batch: images at once, B.
      size: pixels a side that they are resized to, S.
      about: JSON values that say all of this; `arrays` are the shapes of the features,
        `digest` stands for the model, `state` for the images.
      with_paths: whether the files' paths are stored.
      out: the file to write.
    """

    images: unlabelled.Images
    apply: layers.Apply
    batch: int
    size: int
    about: dict[str, Any]
    with_paths: bool
    out: pathlib.Path


class _Batch(NamedTuple):
    """Images that are embedded together, and how far the collection was read then.

    Attributes:
      at: the next unit, and how many of its rows were taken.
      pixels: [n, S, S, 3] uint8, n at most B.
    """

    at: tuple[int, int]
    rows: list[unlabelled.Row]
    pixels: np.ndarray
    skipped: list[tuple[str, str]]
    dropped: dict[str, int]


def journal_path(out: pathlib.Path) -> pathlib.Path:
    """Where the work that is not finished lies."""
    return out.with_name(f"{out.name}.unfinished")


def finished(job: Job) -> stored.Features | None:
    """The features in `job.out` where they are of this job; None: there is no file.

    Raises:
      ValueError: they are of another one.
    """
    if not job.out.exists():
        return None
    found = stored.read(job.out)
    _check(job, found.about, f"{job.out}: holds features", "name another --out")
    return found


def run(job: Job, progress: Callable[[int], None]) -> stored.Features:
    """Embeds what is not yet embedded, and writes `job.out`.

    Killed at any moment, the same job goes on; the file is the same byte for byte,
    since batches are always of the same images.

    Args:
      job: see there.
      progress: is told how much is done, in `images.counted`.

    Raises:
      ValueError: another job was begun there, or there is no image.
      OSError: `job.out` cannot be written.
    """
    path = journal_path(job.out)
    with _write_errors(job.out):
        job.out.parent.mkdir(parents=True, exist_ok=True)
        log = journal.Journal(path)
    with contextlib.closing(log):
        if not log.num_entries:
            _append(job, log, {"form": _FORM, **_head(job)})
        begun = next(iter(log))
        advice = f"repeat its command to go on, or delete {path.name} to begin anew"
        what = f"{path}: unfinished features"
        _check(job, begun, what, advice, form=_FORM)
        _embed(job, log, progress)
        found = _assembled(job, log)
        if found.rows:
            stored.write(job.out, found)
    path.unlink()
    if not found.rows:
        raise ValueError(_nothing(found.about["skipped"]))
    return stored.read(job.out)


def _head(job: Job) -> dict[str, Any]:
    """What must be the same for a job to go on; JSON values."""
    return job.about | {"batch": job.batch, "paths": job.with_paths}


def _check(job, found, what: str, advice: str, **more) -> None:
    wanted = _head(job) | more
    differing = [
        _WORDS.get(name, name)
        for name, value in wanted.items()
        if found.get(name) != value and name != "model"  # as it was typed
    ]
    if differing:
        raise ValueError(f"{what} with other {', '.join(differing)}; {advice}")


def _embed(job: Job, log: journal.Journal, progress) -> None:
    """Reads and computes side by side: a batch is stored when the next has begun."""
    begin, waiting = (0, 0), None
    for entry in _entries(log):
        begin = tuple(entry["at"])
    done = list(itertools.accumulate(job.images.sizes, initial=0))
    progress(done[begin[0]])
    with contextlib.closing(_batches(job, begin)) as batches:
        for batch in batches:
            arrays = _apply(job, batch.pixels)
            if waiting is not None:
                _store(job, log, *waiting)
            progress(done[batch.at[0]])
            waiting = batch, arrays
    if waiting is not None:
        _store(job, log, *waiting)


def _apply(job: Job, pixels: np.ndarray) -> dict[str, jax.Array]:
    """All batches have one shape; rows beyond a short one's are of its first images."""
    if not len(pixels):
        return {}
    return job.apply(np.resize(pixels, (job.batch, *pixels.shape[1:])))


def _store(job: Job, log, batch: _Batch, arrays: dict[str, jax.Array]) -> None:
    count = len(batch.rows)
    entry = {
        "at": batch.at,
        "rows": batch.rows,
        "skipped": batch.skipped,
        "dropped": batch.dropped,
        "arrays": {
            name: np.asarray(each)[:count].astype("<f4").tobytes()
            for name, each in arrays.items()
        },
    }
    _append(job, log, entry)


def _append(job: Job, log, entry) -> None:
    with _write_errors(job.out):
        log.append(entry)


def _batches(job: Job, begin: tuple[int, int]) -> Iterator[_Batch]:
    """Batches from a place in the collection on; the last may hold no image."""
    unit, already = begin
    num_units = len(job.images.sizes)
    rows, images, skipped, dropped = [], [], [], {}
    resize = functools.partial(encoders.resize, size=job.size)

    def made(at) -> _Batch:
        pixels = np.zeros((0, job.size, job.size, 3), np.uint8)
        if images:
            pixels = np.stack(list(threads.map(resize, images)))
        return _Batch(at, rows, pixels, skipped, dropped)

    numbers = range(unit, num_units)
    with (
        contextlib.closing(job.images.read(numbers)) as units,
        concurrent.futures.ThreadPoolExecutor(pool.usable_cores()) as threads,
    ):
        for number, found in zip(numbers, units, strict=True):
            if not already:  # else an earlier run has noted them
                skipped += found.skipped
                for reason, count in found.dropped.items():
                    dropped[reason] = dropped.get(reason, 0) + count
            for place in range(already, len(found.rows)):
                rows.append(found.rows[place])
                images.append(found.images[place])
                if len(rows) == job.batch:
                    whole = place + 1 == len(found.rows)
                    yield made((number + 1, 0) if whole else (number, place + 1))
                    rows, images, skipped, dropped = [], [], [], {}
            already = 0
        if rows or skipped or dropped:
            yield made((num_units, 0))


def _entries(log: journal.Journal) -> Iterator[dict[str, Any]]:
    """Those of batches."""
    entries = iter(log)
    next(entries)
    return entries


def _assembled(job: Job, log: journal.Journal) -> stored.Features:
    """All that the journal holds; features are read from it when they are written."""
    rows, skipped, dropped = [], [], {}
    for entry in _entries(log):
        rows += [unlabelled.Row(*row) for row in entry["rows"]]
        skipped += entry["skipped"]
        for reason, count in entry["dropped"].items():
            dropped[reason] = dropped.get(reason, 0) + count

    def blocks(name: str) -> Iterator[np.ndarray]:
        for entry in _entries(log):
            if entry["rows"]:
                values = np.frombuffer(entry["arrays"][name], "<f4")
                yield values.reshape(len(entry["rows"]), *job.about["arrays"][name])

    about = _head(job) | {
        "rows": len(rows),
        job.images.counted: sum(job.images.sizes),
        "skipped": [{"file": file, "reason": reason} for file, reason in skipped],
        "dropped": dict(sorted(dropped.items())),
    }
    paths = [_path(job, row) for row in rows] if job.with_paths else None
    return stored.Features(about, rows, paths, job.about["arrays"], blocks)


def _path(job: Job, row: unlabelled.Row) -> str:
    return job.images.names[manifest.number_of(row.file)]


def _nothing(skipped: Sequence[dict[str, str]]) -> str:
    if not skipped:
        return "there is no image to embed"
    return manifest.none_read(skipped)


@contextlib.contextmanager
def _write_errors(out: pathlib.Path) -> Iterator[None]:
    """One line for a full disk or a read-only folder."""
    try:
        yield
    except OSError as error:
        if not error.strerror:  # it is said already
            raise
        raise OSError(error.errno, error.strerror, str(out)) from error
