"""What shards hold, record by record, without their pixels: `NAME.index.npz`.

Row k is record k in the order in which the shards are read. Nothing in it is in clear
but for modality, data set and slice number.
"""

import io
import pathlib
import zipfile
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from data_pipelines import duplicates, reading

KINDS = ("study", "volume", "instance", "name")


class Index(NamedTuple):
    """Columns of n records, and the m identities that they have between them.

    Attributes:
      number: int32 [n], of the input file.
      modality, source: text [n].
      group: 16 bytes [n, 16], the keyed hash of what must not be split.
      slice: int32 [n], number in its volume, or -1.
      pixels: uint8 [n, 16], equal for equal stored images only.
      near: uint8 [n, duplicates.NUM_BYTES], see `duplicates`.
      owner: int32 [m], the record that an identity is of.
      kind: uint8 [m], place in KINDS.
      identity: uint8 [m, 16], its keyed hash.
    """

    number: np.ndarray
    modality: np.ndarray
    source: np.ndarray
    group: np.ndarray
    slice: np.ndarray
    pixels: np.ndarray
    near: np.ndarray
    owner: np.ndarray
    kind: np.ndarray
    identity: np.ndarray


def build(rows: Sequence[tuple[int, str, reading.Piece]]) -> Index:
    """The index of records in their order: (file number, source, piece) of each."""
    numbers, sources, pieces = zip(*rows, strict=True) if rows else ((), (), ())
    found = [
        (owner, KINDS.index(kind), bytes.fromhex(text))
        for owner, piece in enumerate(pieces)
        for kind, text in piece.identities
    ]
    owners, kinds, identities = zip(*found, strict=True) if found else ((), (), ())
    return Index(
        number=np.array(numbers, np.int32),
        modality=np.array([piece.modality for piece in pieces], np.str_),
        source=np.array(sources, np.str_),
        group=_bytes([bytes.fromhex(piece.group) for piece in pieces], 16),
        slice=np.array(
            [-1 if piece.slice is None else piece.slice for piece in pieces], np.int32
        ),
        pixels=_bytes([piece.pixels for piece in pieces], 16),
        near=_bytes([piece.near for piece in pieces], duplicates.NUM_BYTES),
        owner=np.array(owners, np.int32),
        kind=np.array(kinds, np.uint8),
        identity=_bytes(identities, 16),
    )


def encode(index: Index) -> bytes:
    """The file's bytes: the same index gives the same."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **index._asdict())
    return buffer.getvalue()


def read(path: pathlib.Path) -> Index:
    """The index in a file.

    Raises:
      ValueError: it is none.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return Index(**{name: arrays[name] for name in Index._fields})
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path}: missing or damaged; prepare the shards again"
        ) from error


def join(parts: Sequence[Index]) -> Index:
    """One index of shards that are read one after the other."""
    starts = np.cumsum([0, *(len(part.number) for part in parts)])
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in Index._fields
    }
    columns["owner"] = np.concatenate(
        [part.owner + start for part, start in zip(parts, starts, strict=False)]
    ).astype(np.int32)
    return Index(**columns)


def _bytes(texts, size) -> np.ndarray:
    return np.frombuffer(b"".join(texts), np.uint8).reshape(-1, size)
