"""One input -> its records file by file, or the reason why a file has none."""

import collections
import functools
import hashlib
import pathlib
from typing import Any, NamedTuple

import numpy as np

from data_pipelines import duplicates, names, quiet, records, salt, slices, sources

_NO_CONTENT = "-" * 12


class Options(NamedTuple):
    """How inputs are read.

    Attributes:
      size: longest side of a stored image, in pixels.
      salt_key: keys the hash of patients, studies and names.
      skip_burned_in: leaves out what says that annotations are burnt in.
      min_side: pixels; an image whose short side is shorter is left out.
    """

    size: int
    salt_key: bytes
    skip_burned_in: bool = False
    min_side: int = slices.MIN_SIDE


class Piece(NamedTuple):
    """A record, and what tells it from others without decoding it.

    Attributes:
      record: encoded.
      modality: see `records.Record`.
      channels: 1 or 3.
      group: keyed hash of what must not be split.
      slice: index in its volume, or None.
      pixels: 16 bytes that only equal stored images share.
      near: `duplicates.near_hash` of the stored image.
      identities: (kind, keyed hash), see `index.KINDS`.
      flags: see `slices.Slice`.
    """

    record: bytes
    modality: str
    channels: int
    group: str
    slice: int | None
    pixels: bytes
    near: bytes
    identities: list[tuple[str, str]]
    flags: list[str]


class Outcome(NamedTuple):
    """What became of one input file.

    Attributes:
      file: its public name, "#0042 9f86d081884c".
      source: the data set of its records.
      pieces: its records.
      dropped: reason -> how many slices (or the whole file, once).
    """

    file: str
    source: str
    pieces: list[Piece]
    dropped: dict[str, int]


def read(entry: sources.Input, options: Options) -> list[Outcome]:
    """Reads the files of an input; a broken one costs only itself.

    Args:
      entry: one file, or the files of a series.
      options: see there.

    Returns:
      An outcome a file, in the order of `entry.paths`.
    """
    found: list[list[Piece]] = [[] for _ in entry.paths]
    dropped = [collections.Counter() for _ in entry.paths]
    content = functools.cache(_content)  # of a large file, hashed once
    with quiet.readers():
        try:
            for item in entry.read(entry.paths):
                if isinstance(item, slices.Skipped):
                    dropped[item.file][item.reason] += 1
                    continue
                stored = records.bounded(item.pixels, options.size)
                reason = _refusal(item, stored, options)
                if reason:
                    dropped[item.file][reason] += 1
                    continue
                path = entry.paths[item.file]
                if not item.identity:
                    item = item._replace(identity=_identity(path, content(path)))
                named = base_name(path)
                item = item._replace(identities=(*item.identities, *named))
                found[item.file].append(piece(item, stored, entry.source, options))
        except Exception as error:
            for pieces, counts in zip(found, dropped, strict=True):
                if len(entry.paths) == 1 or not (pieces or counts):
                    counts[slices.reason_of(error)] += 1
    return [
        Outcome(_name(number, content(path)), entry.source, pieces, dict(counts))
        for number, path, pieces, counts in zip(
            entry.numbers, entry.paths, found, dropped, strict=True
        )
    ]


def failed(entry: sources.Input, reason: str) -> list[Outcome]:
    """The outcomes of an input whose reading was given up."""
    return [
        Outcome(public_name(number, path), entry.source, [], {reason: 1})
        for number, path in zip(entry.numbers, entry.paths, strict=True)
    ]


def public_name(number: int, path: pathlib.Path) -> str:
    """How logs and manifests call a file: its number and the hash of its content."""
    return _name(number, _content(path))


def _name(number: int, content: str) -> str:
    return f"#{number:04d} {content[:12]}"


def sha256(path: pathlib.Path) -> str:
    """The hash of a file's content, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _content(path: pathlib.Path) -> str:
    """`sha256`; dashes where the file cannot be read."""
    try:
        # to open a pipe may wait for ever
        return sha256(path) if path.is_file() else _NO_CONTENT
    except OSError:
        return _NO_CONTENT


def _identity(path: pathlib.Path, content: str) -> str:
    """Of a file without a patient: the same wherever the data set lies.

    A header may be that of several files of pixels, so names count too.
    """
    return " ".join(["file", content, *path.parts[-2:]])


def base_name(path: pathlib.Path) -> tuple[tuple[str, str], ...]:
    """("name", the file's name without endings), or nothing where it tells nothing."""
    name = names.stem(path.name)
    return () if names.is_common(name) else (("name", name),)


def to_plain(outcome: Outcome) -> list[Any]:
    """Lists, dicts, strings and bytes: what msgpack holds."""
    return list(outcome._replace(pieces=[list(piece) for piece in outcome.pieces]))


def from_plain(plain: list[Any]) -> Outcome:
    """The outcome that `to_plain` took apart."""
    outcome = Outcome(*plain)
    return outcome._replace(pieces=[Piece(*piece) for piece in outcome.pieces])


def _refusal(item: slices.Slice, stored: np.ndarray, options: Options) -> str | None:
    if options.skip_burned_in and slices.BURNED_IN in item.flags:
        return "annotations are burnt in (--skip-burned-in)"
    flaw = slices.flaw(item.pixels, options.min_side)
    least = min(slices.MIN_STORED, options.min_side)
    if flaw is None and min(stored.shape[:2]) < least:
        return f"a strip: under {least} pixels wide once it is stored"
    return flaw


def piece(
    item: slices.Slice, pixels: np.ndarray, source: str, options: Options
) -> Piece:
    """The record of a slice whose bounded image is `pixels`, and what tells it."""
    group = salt.keyed_hash(options.salt_key, item.identity)
    record = records.from_slice(item, pixels, group=group, source=source)
    shape = repr(pixels.shape).encode()
    return Piece(
        record=records.encode(record),
        modality=record.modality,
        channels=record.channels,
        group=group,
        slice=record.slice,
        pixels=hashlib.sha256(shape + pixels.tobytes()).digest()[:16],
        near=duplicates.near_hash(pixels),
        identities=[
            (kind, salt.keyed_hash(options.salt_key, f"{kind} {text}"))
            for kind, text in item.identities
        ],
        flags=list(item.flags),
    )
