"""Input files -> ArrayRecord shards, their index and manifest; resumable.

What is read goes to a journal, file by file. Once all is read, the records are dealt to
shards: record k to shard k mod n, so that every shard holds a share of every source.
`mixture` shuffles globally when it reads.
"""

import contextlib
import itertools
import json
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from data_pipelines import (
    copies,
    index,
    intensity,
    journal,
    manifest,
    pool,
    reading,
    salt,
    sources,
    workers,
)

_FORM = 2  # of the journal's entries; raise it with any change of `reading.Outcome`
MIN_RECORDS = 16  # of a shard; fewer records make fewer shards
JOURNAL = "unfinished.journal"
BEAM_FOLDER, BEAM_HEADER = "unfinished.beam", "job.json"
_OPTIONS = "group_size:1"  # random reads of larger groups are 20 times slower
_PART = ".part"  # ends the name of what is not yet whole


class Job(NamedTuple):
    """A part of a set of shards: what is read, how, and where to.

    Attributes:
      inputs: the files, in the order of their numbers.
      out: folder of the shards, made if absent.
      name: begins the shards' names.
      settings: what the user asked for, JSON values; all of it goes to the manifest.
        `size` is the longest side of a stored image in pixels, `num_shards` the most
        shards; `deduplicate` drops near copies too, `skip_burned_in` what has
        annotations burnt in (both False where absent).
      salt_key: keys the hash of patients, studies and names.
      add: whether the part goes to a set that is there.
    """

    inputs: Sequence[sources.Input]
    out: pathlib.Path
    name: str
    settings: dict[str, Any]
    salt_key: bytes
    add: bool = False


def prepared(job: Job) -> dict[str, Any] | None:
    """The manifest in `job.out` where it was made from this; None where none is.

    Raises:
      ValueError: it was made from other files or with other settings, or the part can't
        be added to it.
    """
    if not (job.out / manifest.NAME).exists():
        return None
    found = manifest.read(job.out)
    known = {
        "settings": job.settings,
        "salt_fingerprint": salt.fingerprint(job.salt_key),
    }
    files = _public_names(job.inputs)
    if job.add and not manifest.has_part(found, files=files, settings=job.settings):
        manifest.check_addition(found, job.out, name=job.name, **known)
        return None
    manifest.check_same(found, job.out, files=files, **known)
    _forget(job)
    return found


def write(
    job: Job,
    *,
    num_workers: int,
    limits: pool.Limits,
    progress: Callable[[int], None],
) -> dict[str, Any]:
    """Reads every input and writes shards; returns the manifest.

    The same input gives the same bytes, whatever the number of workers and however
    often the job was killed and begun again. Shards are written under a temporary name
    and renamed at the end, the manifest last.

    Args:
      job: see there.
      num_workers: processes that read; 0 reads in this one, unbounded.
      limits: of reading one file.
      progress: is told how many files are done, first those of an earlier run.

    Raises:
      ValueError: no file gave a record, or another job was begun in `out`.
      OSError: `out` cannot be written.
    """
    with write_errors(job.out):
        job.out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=job.out):
            pass  # a folder that cannot be written is told before hours of reading
    path = job.out / JOURNAL
    try:
        with contextlib.closing(_open(path, job)) as log:
            _read(job, log, num_workers, limits, progress)
            made = assemble(job, lambda: outcomes_of(itertools.islice(log, 1, None)))
    except _NothingError:
        path.unlink()  # to go on would find nothing either
        _clean(job)
        raise
    path.unlink()
    return made


def _forget(job: Job) -> None:
    """Deletes what a finished job left when it was killed at the end."""
    path = job.out / JOURNAL
    if path.exists():
        found = next(journal.Journal.entries_of(path), None)
        if found is not None and found["name"] == job.name:
            path.unlink()
    path = job.out / BEAM_FOLDER / BEAM_HEADER
    if path.exists() and json.loads(path.read_text())["name"] == job.name:
        shutil.rmtree(path.parent)


def num_files(inputs: Iterable[sources.Input]) -> int:
    """Files of all inputs; a series has several."""
    return sum(len(entry.paths) for entry in inputs)


def _public_names(inputs) -> list[str]:
    names = {
        number: reading.public_name(number, path)
        for entry in inputs
        for number, path in zip(entry.numbers, entry.paths, strict=True)
    }
    return [names[number] for number in sorted(names)]


def header(job: Job) -> dict[str, Any]:
    """What a job that goes on must have in common with the one that began; JSON."""
    return {
        "form": _FORM,
        "settings": job.settings,
        "name": job.name,
        "salt": salt.fingerprint(job.salt_key),
        "intensity table": intensity.VERSION,
        "files": sources.state(job.inputs, job.salt_key),
    }


def check_header(
    out: pathlib.Path, found: dict[str, Any], now: dict[str, Any], what: str
) -> None:
    """Refuses to go on with another job, saying what differs.

    Args:
      out: folder of the shards.
      found, now: headers.
      what: the file or folder there to delete.

    Raises:
      ValueError: they differ.
    """
    differing = [name for name, value in now.items() if found.get(name) != value]
    if differing:
        raise ValueError(
            f"{out}: an unfinished prepare has other {', '.join(differing)}; "
            f"repeat its command to go on, or delete {what} there to begin anew"
        )


def _open(path: pathlib.Path, job: Job) -> journal.Journal:
    """The journal of this job, new or of an earlier run."""
    with write_errors(job.out):
        log = journal.Journal(path)
        if not log.num_entries:
            log.append(header(job))
            return log
    try:
        check_header(job.out, next(iter(log)), header(job), JOURNAL)
    except ValueError:
        log.close()
        raise
    return log


def _read(job: Job, log: journal.Journal, num_workers, limits, progress) -> None:
    """Reads what the journal does not hold yet."""
    begun = log.num_entries - 1
    done = num_files(job.inputs[:begun])
    progress(done)
    outcomes = workers.read_all(
        job.inputs[begun:], options(job), num_workers=num_workers, limits=limits
    )
    with contextlib.closing(outcomes):
        for group in outcomes:
            with write_errors(job.out):
                log.append([reading.to_plain(outcome) for outcome in group])
            done += len(group)
            progress(done)


def options(job: Job) -> reading.Options:
    """How the inputs of a job are read."""
    return reading.Options(
        size=job.settings["size"],
        salt_key=job.salt_key,
        skip_burned_in=job.settings.get("skip_burned_in", False),
    )


def outcomes_of(entries: Iterable[Any]) -> Iterator[reading.Outcome]:
    """The outcomes in entries of a journal, after its header."""
    for group in entries:
        yield from map(reading.from_plain, group)


def assemble(
    job: Job, all_outcomes: Callable[[], Iterator[reading.Outcome]]
) -> dict[str, Any]:
    """Deals the records of all outcomes to shards; returns the manifest.

    Args:
      job: see there.
      all_outcomes: gives them, in the order of the inputs; called twice.

    Raises:
      ValueError: there is no record.
      OSError: `job.out` cannot be written.
    """
    try:
        return _assemble(job, all_outcomes)
    finally:
        _clean(job)


def _assemble(job, all_outcomes) -> dict[str, Any]:
    before = manifest.read(job.out) if job.add else None
    if before and min(job.inputs[0].numbers) != 1 + manifest.num_files(before):
        raise ValueError(
            f"{job.out}: another part was added meanwhile; repeat the command"
        )
    known = copies.Copies(
        near=job.settings.get("deduplicate", False),
        before=manifest.read_index(job.out, before) if before else None,
    )
    rows, is_new = index.Builder(), bytearray()

    def noted(outcome):
        outcome, new = known.drop(outcome)
        for piece in outcome.pieces:
            rows.add(copies.number_of(outcome), outcome.source, piece)
        is_new.extend(new)
        return outcome

    made = manifest.build(
        map(noted, all_outcomes()),
        part=job.name,
        settings=job.settings,
        salt_fingerprint=salt.fingerprint(job.salt_key),
    )
    if not rows.num_rows:
        raise _NothingError(_nothing(made["skipped"]))
    num_shards = max(1, min(job.settings["num_shards"], rows.num_rows // MIN_RECORDS))
    paths = [
        job.out / f"{job.name}-{number:05d}-of-{num_shards:05d}.array_record"
        for number in range(num_shards)
    ]
    records = (piece.record for outcome in all_outcomes() for piece in outcome.pieces)
    records = itertools.compress(records, is_new)
    _deal(records, [_part(path) for path in paths], job.out)
    order = np.arange(rows.num_rows)
    order = np.concatenate([order[first::num_shards] for first in range(num_shards)])
    rows_file = manifest.index_path(job.out, job.name)
    with write_errors(job.out):
        made["sha256"] = {path.name: reading.sha256(_part(path)) for path in paths}
        made["bytes"] = {path.name: _part(path).stat().st_size for path in paths}
        _part(rows_file).write_bytes(index.encode(rows.built(order)))
        made["index_sha256"] = {job.name: reading.sha256(_part(rows_file))}
        made = manifest.join(before, made) if before else made
        last = job.out / manifest.NAME
        _part(last).write_text(json.dumps(made, indent=1) + "\n")
        for path in [*paths, rows_file, last]:
            os.replace(_part(path), path)
    return made


def _deal(encoded: Iterable[bytes], parts: list[pathlib.Path], out) -> None:
    from array_record.python import array_record_module

    with write_errors(out):
        writers = [
            array_record_module.ArrayRecordWriter(str(part), _OPTIONS) for part in parts
        ]
    for data, writer in zip(encoded, itertools.cycle(writers), strict=False):
        with write_errors(out):
            writer.write(data)
    for writer in writers:
        with write_errors(out):
            writer.close()


def _clean(job: Job) -> None:
    """Removes shards that are not whole, and the folder if it is empty."""
    names = (f"{job.name}-*.array_record", f"{job.name}.index.npz", manifest.NAME)
    for name in names:
        for part in job.out.glob(name + _PART):
            part.unlink()
    with contextlib.suppress(OSError):
        job.out.rmdir()


def _part(path: pathlib.Path) -> pathlib.Path:
    return path.with_name(path.name + _PART)


class _NothingError(ValueError):
    """No file gave a record."""


def _nothing(skipped) -> str:
    if all(copies.is_copy(entry["reason"]) for entry in skipped):
        return f"nothing new: all images of {len(skipped)} files are there already"
    return manifest.none_read(skipped)


@contextlib.contextmanager
def write_errors(out: pathlib.Path) -> Iterator[None]:
    """One line for a full disk or a read-only folder (array-record: RuntimeError)."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error).split(";")[0]
        raise OSError(f"{out}: cannot write the shards: {reason}") from error
