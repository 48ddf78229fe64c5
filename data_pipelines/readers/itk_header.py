"""The headers of MetaImage and NRRD files, read before SimpleITK sees them.

A header may name other files that hold its voxels. ITK opens whatever it names: here
it is refused unless they lie in the header's own folder. ITK also takes memory before
it looks whether the data is there.
"""

import os
import pathlib
import re
import zlib
from typing import NamedTuple

from data_pipelines import slices

META, NRRD = "MetaImageIO", "NrrdImageIO"  # as SimpleITK calls their readers
CUT = "cut short: its header asks for more data than there is"
DAMAGED = "its compressed data is damaged"
_LONGEST = 2**20  # bytes of a header
_MOST_INFLATED = 1032  # bytes that one byte of deflate gives
_CHUNK = 2**20
_META_LINE = re.compile(rb"\s*(\w+)\s*[=:]\s*(.*?)\s*")
_PATTERN = re.compile(r"[^%]*%0?\d{0,2}d[^%]*")  # of a file name a slice
_DATA = (".raw", ".zraw", ".raw.gz", ".img", ".bin", ".dat", ".gz")


class Header(NamedTuple):
    """What must be known of a file before it is read.

    Attributes:
      reader: META or NRRD.
      fields: names as the format spells them (NRRD's in small letters without spaces)
        -> values; neither is told to anybody.
      files: that hold the voxels, each checked to be there.
      offset: bytes before the voxels where they lie in the header's own file, else 0.
      is_compressed: whether the voxels are.
    """

    reader: str
    fields: dict[str, str]
    files: tuple[pathlib.Path, ...]
    offset: int
    is_compressed: bool


def is_header(path: pathlib.Path) -> bool:
    """Whether a file begins as MetaImage or NRRD does."""
    try:
        with path.open("rb") as file:
            return _reader(file.read(64)) is not None
    except OSError:
        return False


def is_data(path: pathlib.Path) -> bool:
    """Whether a file holds the voxels of a header of its name: no image itself."""
    name = path.name
    stems = {name[: -len(end)] for end in _DATA if name.lower().endswith(end)}
    headers = [
        path.with_name(stem + ending)
        for stem in stems
        for ending in (".mhd", ".nhdr", ".MHD", ".NHDR")
    ]
    return any(header.is_file() for header in headers)


def parse(path: pathlib.Path) -> Header:
    """Reads and checks a header.

    Raises:
      slices.SkippedError: it is none, or its data is missing or lies elsewhere.
    """
    with path.open("rb") as file:
        block = file.read(_LONGEST)
    reader = _reader(block)
    if reader is None:
        raise slices.SkippedError("neither MetaImage nor NRRD: it has no such header")
    fields, rest, end = (_meta if reader == META else _nrrd)(block)
    is_meta = reader == META
    value = fields.get("ElementDataFile" if is_meta else "datafile")
    if value is None and is_meta:
        raise slices.SkippedError("its header does not say where its data is")
    if value is None or (is_meta and value.upper() == "LOCAL"):
        files, offset = (path,), end
    else:
        files, offset = _others(path, value, rest), 0
    if is_meta:
        is_compressed = fields.get("CompressedData", "").upper()[:1] in ("T", "1")
    else:
        is_compressed = fields.get("encoding") != "raw"
    return Header(reader, fields, files, offset, is_compressed)


def check_size(header: Header, needed: int) -> None:
    """Raises SkippedError where there cannot be that many bytes of voxels."""
    there = sum(file.stat().st_size for file in header.files) - header.offset
    if needed > there * (_MOST_INFLATED if header.is_compressed else 1):
        raise slices.SkippedError(CUT)


def check_compressed(header: Header, needed: int) -> None:
    """Raises SkippedError where MetaImage's compressed data is damaged.

    ITK would return whatever lies in memory.
    """
    if header.reader != META or not header.is_compressed or len(header.files) > 1:
        return
    inflater = zlib.decompressobj(zlib.MAX_WBITS | 32)  # of zlib's or gzip's form
    count = 0
    with header.files[0].open("rb") as file:
        file.seek(header.offset)
        data = file.read(_CHUNK)
        while data and count <= needed and not inflater.eof:
            try:
                count += len(inflater.decompress(data, _CHUNK))
            except zlib.error:
                raise slices.SkippedError(DAMAGED) from None
            data = inflater.unconsumed_tail or file.read(_CHUNK)
    if count < needed:
        raise slices.SkippedError(CUT)
    if not inflater.eof:
        raise slices.SkippedError(DAMAGED)


def _reader(block) -> str | None:
    if re.match(rb"NRRD000\d", block):
        return NRRD
    first = re.match(rb"\s*(ObjectType|NDims|Comment)\s*[=:]", block)
    return META if first else None


def _meta(block) -> tuple[dict[str, str], list[str], int]:
    """Fields, the lines after the one that names the data, and where it ends."""
    fields, end = {}, 0
    for line in block.splitlines(keepends=True):
        end += len(line)
        found = _META_LINE.fullmatch(line)
        if not found:
            if line.strip():
                raise slices.SkippedError("its header has a line that is no field")
            continue
        name, value = (os.fsdecode(part) for part in found.groups())
        fields[name] = value
        if name == "ElementDataFile":
            break
    rest = os.fsdecode(block[end:]) if fields.get(name, "")[:4] == "LIST" else ""
    return fields, rest.splitlines(), end


def _nrrd(block) -> tuple[dict[str, str], list[str], int]:
    fields, end = {}, 0
    lines = block.splitlines(keepends=True)
    for number, line in enumerate(lines):
        end += len(line)
        text = os.fsdecode(line).strip()
        if number and not text:
            break
        if text.startswith("#") or ":" not in text:
            continue
        name, _, value = text.partition(":")
        name = "".join(name.lower().split())
        if name == "datafile" and name in fields:
            raise slices.SkippedError("its header names its data twice")
        fields[name] = value.strip()
        if name == "datafile" and value.split()[:1] == ["LIST"]:
            rest = [os.fsdecode(each).strip() for each in lines[number + 1 :]]
            return fields, rest, end
    return fields, [], end


def _others(path, value, rest) -> tuple[pathlib.Path, ...]:
    """The files that a header names: one, a list, or a pattern with its numbers."""
    words = value.split()
    if words[:1] == ["LIST"]:
        names = [name.strip() for name in rest if name.strip()]
    elif "%" in value:
        names = _numbered(words)
    else:
        names = [value]
    if not names:
        raise slices.SkippedError("its header does not say where its data is")
    return tuple(_checked(path, name) for name in names)


def _numbered(words) -> list[str]:
    # the pattern goes to C's printf as it is
    if len(words) < 3 or not _PATTERN.fullmatch(words[0]):
        raise slices.SkippedError("the pattern of its data files is not supported")
    first, last, step = (int(word) for word in [*words[1:], "1"][:3])
    if step < 1 or last < first or (last - first) // step > 100_000:
        raise slices.SkippedError("the numbers of its data files make no sense")
    return [words[0] % number for number in range(first, last + 1, step)]


def _checked(path, name) -> pathlib.Path:
    folder = path.parent.resolve()
    file = (folder / name).resolve()
    if not file.is_relative_to(folder):
        raise slices.SkippedError("its header names a data file in another folder")
    if not file.is_file():
        raise slices.SkippedError("the data file that its header names is missing")
    return file
