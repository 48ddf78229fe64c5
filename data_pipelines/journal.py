"""What a run has read so far, on disk: a killed one goes on from its last entry."""

import pathlib
import struct
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

import msgpack

_HEAD = struct.Struct("<QI")  # bytes of the entry, and their CRC-32
_FIRST_CRC = 0x6C766D6D  # so that zeros, which a power failure may leave, are torn


class Journal:
    """Entries that were appended one by one; a torn last one does not count.

    The first entry says what the journal is of.
    """

    def __init__(self, path: pathlib.Path):
        """Opens the journal, or begins one, and cuts off what is torn.

        Raises:
          OSError: it cannot be read or written, or another process writes to it.
        """
        self._path = path
        self._file = path.open("a+b")
        _lock(self._file, path)
        self._file.seek(0)
        ends = [end for _, end in _entries(self._file)]
        self.num_entries = len(ends)
        self._file.truncate(ends[-1] if ends else 0)
        self._file.seek(0, 2)

    def append(self, value: Any) -> None:
        """Writes an entry; it survives this process once this returns."""
        data = msgpack.packb(value)
        self._file.write(_HEAD.pack(len(data), zlib.crc32(data, _FIRST_CRC)) + data)
        self._file.flush()
        self.num_entries += 1

    def __iter__(self) -> Iterator[Any]:
        """All entries from the first on."""
        return self.entries_of(self._path)

    @staticmethod
    def entries_of(path: pathlib.Path) -> Iterator[Any]:
        """The whole entries of a journal that nobody writes to."""
        with path.open("rb") as file:
            for data, _ in _entries(file):
                yield msgpack.unpackb(data)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def _lock(file: BinaryIO, path: pathlib.Path) -> None:
    """Holds the file until it is closed, or until this process ends."""
    try:
        import fcntl
    except ImportError:  # Windows
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise OSError(
            f"another process writes to {path.parent}: wait for it, or choose another "
            "--out"
        ) from None


def _entries(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """The whole entries from the file's beginning, each with where it ends."""
    end = 0
    while len(head := file.read(_HEAD.size)) == _HEAD.size:
        size, check = _HEAD.unpack(head)
        data = file.read(size)
        if len(data) < size or zlib.crc32(data, _FIRST_CRC) != check:
            return
        end += _HEAD.size + size
        yield data, end
