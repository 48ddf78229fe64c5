"""Input files -> ArrayRecord shards and their manifest, all or nothing.

Record k goes to shard k mod n: records are dealt, not shuffled, so every shard holds a
share of every source. `mixture` shuffles globally when it reads.
"""

import contextlib
import hashlib
import itertools
import json
import os
import pathlib
import tempfile
from collections.abc import Iterable, Iterator
from typing import Any

from data_pipelines import manifest, reading, salt, sources

MIN_RECORDS = 16  # of a shard; fewer records make fewer shards
_OPTIONS = "group_size:1"  # random reads of larger groups are 20 times slower
_PART = ".part"  # ends the name of what is not yet whole


def prepared(
    inputs: list[sources.Input],
    out: pathlib.Path,
    *,
    settings: dict[str, Any],
    salt_key: bytes,
) -> dict[str, Any] | None:
    """The manifest in `out` where it was made from this input; None where none is.

    Raises:
      ValueError: it was made from other files or with other settings.
    """
    if not (out / manifest.NAME).exists():
        return None
    found = manifest.read(out)
    manifest.check_same(
        found,
        out,
        files=[
            reading.public_name(number, entry.path)
            for number, entry in enumerate(inputs, start=1)
        ],
        settings=settings,
        salt_fingerprint=salt.fingerprint(salt_key),
    )
    return found


def write(
    inputs: Iterable[sources.Input],
    out: pathlib.Path,
    *,
    name: str,
    settings: dict[str, Any],
    salt_key: bytes,
) -> dict[str, Any]:
    """Reads every input and writes shards; returns the manifest.

    The same input gives the same bytes. Files are written under a temporary name and
    renamed at the end, the manifest last.

    Args:
      inputs: the files, in the order of their numbers.
      out: folder of the shards, made if absent.
      name: begins the shards' names.
      settings: what the user asked for; `size` is the longest side of a stored image
        in pixels, `num_shards` the most shards; all of it goes to the manifest.
      salt_key: keys the hash of patients and studies.

    Raises:
      ValueError: no file gave a record.
      OSError: `out` cannot be written.
    """
    with _write_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        _clean(out, name)
        out.mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass  # a folder that cannot be written is told before hours of reading
    try:
        return _write(inputs, out, name, settings, salt_key)
    finally:
        _clean(out, name)


def _clean(out: pathlib.Path, name: str) -> None:
    """Removes what is not whole, also of a killed run, and the folder if empty."""
    for part in [*out.glob(f"{name}-*{_PART}"), *out.glob(manifest.NAME + _PART)]:
        part.unlink()
    with contextlib.suppress(OSError):
        out.rmdir()


def _write(inputs, out, name, settings, salt_key) -> dict[str, Any]:
    outcomes: list[reading.Outcome] = []
    stream = _records(
        reading.read_all(inputs, size=settings["size"], salt_key=salt_key), outcomes
    )
    most = settings["num_shards"]
    head = list(itertools.islice(stream, most * MIN_RECORDS))
    num_shards = max(1, min(most, len(head) // MIN_RECORDS))
    paths = [
        out / f"{name}-{index:05d}-of-{num_shards:05d}.array_record"
        for index in range(num_shards)
    ]
    parts = [_part(path) for path in paths]
    _deal(itertools.chain(head, stream), parts, out)
    made = manifest.build(
        outcomes, settings=settings, salt_fingerprint=salt.fingerprint(salt_key)
    )
    if not made["records"]:
        raise ValueError(_nothing(made["skipped"]))
    with _write_errors(out):
        made["sha256"] = {path.name: _sha256(_part(path)) for path in paths}
        made["bytes"] = {path.name: _part(path).stat().st_size for path in paths}
        last = out / manifest.NAME
        _part(last).write_text(json.dumps(made, indent=1) + "\n")
        for path in [*paths, last]:
            os.replace(_part(path), path)
    return made


def _records(outcomes, kept) -> Iterator[bytes]:
    """The records of all outcomes; `kept` receives the outcomes without them."""
    for outcome in outcomes:
        kept.append(outcome._replace(records=[]))
        yield from outcome.records


def _deal(encoded: Iterable[bytes], parts: list[pathlib.Path], out) -> None:
    from array_record.python import array_record_module

    with _write_errors(out):
        writers = [
            array_record_module.ArrayRecordWriter(str(part), _OPTIONS) for part in parts
        ]
    for data, writer in zip(encoded, itertools.cycle(writers), strict=False):
        with _write_errors(out):
            writer.write(data)
    for writer in writers:
        with _write_errors(out):
            writer.close()


def _sha256(path: pathlib.Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _part(path: pathlib.Path) -> pathlib.Path:
    return path.with_name(path.name + _PART)


def _nothing(skipped) -> str:
    first = skipped[0]
    return (
        f"none of {len(skipped)} files could be read; "
        f"the first, {first['file']}: {first['reason']}"
    )


@contextlib.contextmanager
def _write_errors(out: pathlib.Path):
    """One line for a full disk or a read-only folder (array-record: RuntimeError)."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error).split(";")[0]
        raise OSError(f"{out}: cannot write the shards: {reason}") from error
