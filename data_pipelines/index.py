"""What shards hold, record by record, without their pixels: `NAME.index.npz`.

Row k is record k in the order in which the shards are read. Nothing in it is in clear
but for modality, data set and slice number.
"""

import array
import hashlib
import io
import pathlib
import zipfile
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from data_pipelines import duplicates, reading

# of an identity, in the order of their codes
KINDS = ("study", "volume", "instance", "name", "patient")


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


class Builder:
    """Collects the rows of records in small columns: millions fit in memory."""

    def __init__(self):
        """Without a row."""
        self.num_rows = 0
        self._numbers, self._slices = array.array("i"), array.array("i")
        self._owners, self._kinds = array.array("i"), array.array("B")
        self._modalities, self._sources = array.array("i"), array.array("i")
        self._texts: dict[str, int] = {}
        self._groups, self._pixels = bytearray(), bytearray()
        self._near, self._identities = bytearray(), bytearray()

    def add(self, number: int, source: str, piece: reading.Piece) -> None:
        """Adds the row of a record: of the file of this number, of this data set."""
        self._numbers.append(number)
        self._modalities.append(self._number_of(piece.modality))
        self._sources.append(self._number_of(source))
        self._slices.append(-1 if piece.slice is None else piece.slice)
        self._groups += bytes.fromhex(piece.group)
        self._pixels += piece.pixels
        self._near += piece.near
        for kind, text in piece.identities:
            self._owners.append(self.num_rows)
            self._kinds.append(KINDS.index(kind))
            self._identities += bytes.fromhex(text)
        self.num_rows += 1

    def built(self, order: np.ndarray | None = None) -> Index:
        """The index, its rows in this order, int [n]; by default as they were added."""
        order = np.arange(self.num_rows) if order is None else order
        texts = np.array([*self._texts], np.str_)
        place = np.empty(self.num_rows, np.int32)  # of a row, in the order
        place[order] = np.arange(self.num_rows)
        owner = place[np.array(self._owners, np.int32)]
        by_owner = np.argsort(owner, kind="stable")
        return Index(
            number=np.array(self._numbers, np.int32)[order],
            modality=_texts(texts, np.array(self._modalities, np.int32)[order]),
            source=_texts(texts, np.array(self._sources, np.int32)[order]),
            group=_bytes(self._groups, 16)[order],
            slice=np.array(self._slices, np.int32)[order],
            pixels=_bytes(self._pixels, 16)[order],
            near=_bytes(self._near, duplicates.NUM_BYTES)[order],
            owner=owner[by_owner],
            kind=np.array(self._kinds, np.uint8)[by_owner],
            identity=_bytes(self._identities, 16)[by_owner],
        )

    def _number_of(self, text: str) -> int:
        return self._texts.setdefault(text, len(self._texts))


def encode(index: Index) -> bytes:
    """The file's bytes: the same index gives the same."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **index._asdict())
    return buffer.getvalue()


def read(path: pathlib.Path, *, sha256: str) -> Index:
    """The index in a file that has this hash.

    Raises:
      ValueError: it has not, or is no index.
    """
    try:
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != sha256:
            raise ValueError("another file than the manifest names")
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
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


def _bytes(data: bytearray, size: int) -> np.ndarray:
    return np.frombuffer(bytes(data), np.uint8).reshape(-1, size)


def _texts(texts: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    found = texts[numbers]
    longest = max((len(texts[number]) for number in np.unique(numbers)), default=1)
    return found.astype(f"U{longest}")
