"""Lookup tables of DICOM: modality, values of interest, palettes."""

from typing import NamedTuple

import numpy as np

_MOST_ENTRIES = 2**16  # a descriptor counts them in 16 bits, 0 for this
_COLOURS = ("Red", "Green", "Blue")


class Table(NamedTuple):
    """Entry `value - first` is what becomes of a value; the ends go on for ever.

    Attributes:
      first: the value that the first entry is for.
      entries: [N], unsigned.
      bits: of an entry, as the descriptor says.
    """

    first: int
    entries: np.ndarray
    bits: int


def of_item(item, dataset) -> Table:
    """The table in an item of a Modality LUT or VOI LUT sequence of a data set."""
    return _table(item.LUTDescriptor, item.LUTData, dataset)


def look_up(table: Table, values: np.ndarray) -> np.ndarray:
    """The entries of `values`, of any real type; the nearest entry outside."""
    places = np.rint(values) if values.dtype.kind == "f" else values.astype(np.int64)
    places = np.clip(places - table.first, 0, len(table.entries) - 1)
    return table.entries[np.nan_to_num(places).astype(np.intp)]


def has_palette(dataset) -> bool:
    """Whether its values stand for colours."""
    return str(dataset.PhotometricInterpretation).strip() == "PALETTE COLOR"


def to_rgb(stored: np.ndarray, dataset) -> np.ndarray:
    """The colours [H, W, 3], uint8, of the values [H, W] of a palette."""
    tables = [_palette(dataset, colour) for colour in _COLOURS]
    # some writers give 8-bit colours 16 bits: what no entry uses is not shifted out
    highest = max(int(table.entries.max()) for table in tables)
    shift = 8 if highest > 255 else 0
    return np.stack(
        [
            look_up(table._replace(entries=(table.entries >> shift)), stored)
            for table in tables
        ],
        axis=-1,
    ).astype(np.uint8)


def _palette(dataset, colour) -> Table:
    descriptor = dataset[f"{colour}PaletteColorLookupTableDescriptor"].value
    data = dataset.get(f"{colour}PaletteColorLookupTableData")
    if not data:
        data = dataset[f"Segmented{colour}PaletteColorLookupTableData"].value
        width = 1 if descriptor[2] <= 8 else 2
        words = _words(data, len(data) // width, dataset).tolist()
        data = np.array(_expanded(words, width), np.uint16)
    return _table(descriptor, data, dataset)


def _table(descriptor, data, dataset) -> Table:
    count, first, bits = (int(number) for number in descriptor)
    if first >= 2**15 and dataset.get("PixelRepresentation") == 1:
        first -= 2**16  # written as unsigned
    entries = _words(data, count or _MOST_ENTRIES, dataset)
    if not len(entries):
        raise ValueError("a lookup table without entries")
    return Table(first, entries, bits)


def _words(data, count, dataset) -> np.ndarray:
    """[<= count] entries of 8 or 16 bits: as numbers, or as bytes of the file."""
    if not isinstance(data, bytes):
        return np.atleast_1d(np.asarray(data)).astype(np.uint16)[:count]
    data += b"\0" * (len(data) % 2)
    little = dataset.file_meta.TransferSyntaxUID.is_little_endian
    words = np.frombuffer(data, "<u2" if little else ">u2")
    if len(data) < 2 * count:  # two entries a word, the first in its low byte
        return np.frombuffer(words.astype("<u2").tobytes(), np.uint8)[:count]
    return words.astype(np.uint16)[:count]


def _expanded(words: list[int], width: int) -> list[int]:
    """The entries, of `width` bytes, that segments stand for (PS3.3, C.7.9.2)."""
    entries: list[int] = []
    place = 0
    while place + 2 < len(words):  # what is shorter is padding
        place = _expand(words, width, place, entries)
    return entries


def _expand(words, width, place, entries, *, repeated=False) -> int:
    """Adds the entries of the segment at `place`; returns where the next begins."""
    kind, length = words[place : place + 2]
    begin = place + 2
    if len(entries) + length > _MOST_ENTRIES:
        raise ValueError("segments of more entries than a table has")
    if kind == 0:  # discrete: its entries
        entries += words[begin : begin + length]
        return begin + length
    if kind == 1:  # linear: from the last entry to a new one
        steps = np.linspace(entries[-1], words[begin], length + 1)[1:]
        entries += np.rint(steps).astype(int).tolist()
        return begin + 1
    if kind != 2 or repeated:
        raise ValueError("a segment of an unknown kind")
    # indirect: earlier segments once more, by their distance from the start in bytes
    end = begin + 4 // width
    offset = np.dot(words[begin:end], 256 ** (width * np.arange(4 // width)))
    inner = int(offset) // width
    for _ in range(length):
        inner = _expand(words, width, inner, entries, repeated=True)
    return end
