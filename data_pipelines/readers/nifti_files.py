"""The files of a NIfTI or Analyze image: compressed or not, one or a pair."""

import contextlib
import gzip
import pathlib
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from data_pipelines import slices

CUT = "cut short: its header asks for more data than there is"
_HEADERS, _DATA = (".hdr", ".hdr.gz"), (".img", ".img.gz")


@contextlib.contextmanager
def opened(path: pathlib.Path) -> Iterator[BinaryIO]:
    """A file as it was before gzip, whatever it is called.

    Raises:
      slices.SkippedError: while it is read: it is cut or damaged.
    """
    try:
        with gzip.open(path) if is_compressed(path) else path.open("rb") as file:
            yield file
    except EOFError:
        raise slices.SkippedError(CUT) from None
    except (zlib.error, gzip.BadGzipFile):
        raise slices.SkippedError("its compressed data is damaged") from None


def is_compressed(path: pathlib.Path) -> bool:
    """Whether the content is gzip's, whatever the file is called."""
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def is_data(path: pathlib.Path) -> bool:
    """Whether a file holds the voxels of a header beside it: it is no image itself."""
    return header_of(path) is not None


def header_of(path: pathlib.Path) -> pathlib.Path | None:
    """The header beside a data file, or None."""
    return _beside(path, _DATA, _HEADERS)


def data_of(path: pathlib.Path) -> pathlib.Path | None:
    """The data file beside a header, whatever that is called, or None."""
    found = path.with_suffix(".img")
    named = found if found.is_file() and found != path else None
    return _beside(path, _HEADERS, _DATA) or named


def _beside(path, own, others) -> pathlib.Path | None:
    """The file of the same name with another of these endings, in either case."""
    name = path.name
    for ending in sorted(own, key=len, reverse=True):
        if name.lower().endswith(ending):
            stem = name[: -len(ending)]
            for other in others:
                for spelling in (other, other.upper()):
                    if (path.with_name(stem + spelling)).is_file():
                        return path.with_name(stem + spelling)
    return None
