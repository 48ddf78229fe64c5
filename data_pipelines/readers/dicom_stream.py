"""What a compressed frame says of its own size, for decoders believe the header."""

import struct
from typing import NamedTuple

from data_pipelines import slices

_JPEG_2000 = b"\xff\x4f\xff\x51"  # its first marker, and the one of its sizes
_NO_FRAME = (0xC4, 0xC8, 0xCC)  # markers between those of frame headers
_ALONE = (0x01, *range(0xD0, 0xD9))  # markers that no length follows


class Size(NamedTuple):
    """Of the picture in a code stream; `bits` of a sample of the widest component."""

    rows: int
    columns: int
    components: int
    bits: int


def check(stream: bytes, dataset) -> None:
    """Refuses a frame that is not what the header of its file says.

    Decoders that are told another size write past their buffers or end the process.

    Raises:
      slices.SkippedError: the sizes differ.
    """
    size = size_of(stream)
    if size is None:  # run lengths, or nothing that is known: pydicom looks itself
        return
    header = (dataset.Rows, dataset.Columns, dataset.SamplesPerPixel)
    if size[:3] != header or size.bits > dataset.BitsAllocated:
        raise slices.SkippedError(
            "a compressed frame is of another size than its header says"
        )


def size_of(stream: bytes) -> Size | None:
    """The size in the head of a JPEG, JPEG-LS or JPEG 2000 code stream, or None."""
    try:
        begin = stream[:256].find(_JPEG_2000)  # a file's boxes may lie before
        if begin >= 0:
            return _of_jpeg_2000(stream, begin)
        return _of_jpeg(stream) if stream[:2] == b"\xff\xd8" else None
    except struct.error:  # it is cut there
        return None


def _of_jpeg_2000(stream, begin) -> Size:
    right, bottom, left, top = struct.unpack_from(">4I", stream, begin + 8)
    (components,) = struct.unpack_from(">H", stream, begin + 40)
    depths = stream[begin + 42 : begin + 42 + 3 * components : 3]
    bits = max((1 + (depth & 0x7F) for depth in depths), default=0)
    return Size(bottom - top, right - left, components, bits)


def _of_jpeg(stream) -> Size | None:
    place = 2
    while place < len(stream) - 1 and stream[place] == 0xFF:
        marker = stream[place + 1]
        if marker == 0xFF:  # fill
            place += 1
        elif marker in _ALONE:
            place += 2
        elif (0xC0 <= marker <= 0xCF and marker not in _NO_FRAME) or marker == 0xF7:
            bits, rows, columns, components = struct.unpack_from(
                ">BHHB", stream, place + 4
            )
            return Size(rows, columns, components, bits)
        else:
            (length,) = struct.unpack_from(">H", stream, place + 2)
            place += 2 + length
    return None
