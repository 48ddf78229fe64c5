"""Whether the first bytes of a file are DICOM, with and without its marker."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

HEAD_BYTES = 512  # of a file are enough to tell

_MARKER = slice(128, 132)
_FIRST_GROUPS = (0x0002, 0x0008)  # file meta information, or the data set itself
_LONG = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR")
_LONG = (*_LONG, b"UT", b"UV")
_SHORT = (b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO")
_SHORT = (*_SHORT, b"LT", b"PN", b"SH", b"SL", b"SS", b"ST", b"TM", b"UI", b"UL", b"US")
_LONGEST = 1024  # bytes of a value that files begin with
_UNDEFINED = 0xFFFFFFFF  # length of a sequence that says itself where it ends


class _Element(NamedTuple):
    tag: tuple[int, int]
    length: int
    end: int


def has_dicom_content(head: bytes) -> bool:
    """Whether a file is DICOM by its content.

    It has the marker DICM after 128 bytes; or it begins with an element of group 0002
    or 0008, in either byte order, with or without the types of values, whose followers
    are elements too as far as `head` shows them.

    Args:
      head: its first bytes, `HEAD_BYTES` or more where it has them.
    """
    if head[_MARKER] == b"DICM":
        return True
    return any(
        _begins_with_elements(head, order, explicit)
        for order in "<>"
        for explicit in (True, False)
    )


def _begins_with_elements(head, order, explicit) -> bool:
    last, found = (0, -1), 0
    for element in _elements(head, order, explicit):
        if element is None or element.tag <= last:
            return False
        if not found and not _is_a_beginning(element):
            return False
        last, found = element.tag, found + 1
        if found == 3:
            return True
    return found >= 2


def _is_a_beginning(element) -> bool:
    group, number = element.tag
    if group not in _FIRST_GROUPS or element.length > _LONGEST:
        return False
    return number <= 0x0103 and (number != 0 or element.length == 4)


def _elements(head, order, explicit) -> Iterator[_Element | None]:
    """The elements that begin in `head`; None where there is none."""
    place = 0
    while place + 12 <= len(head):
        tag = struct.unpack_from(order + "HH", head, place)
        if not explicit:
            (length,) = struct.unpack_from(order + "I", head, place + 4)
            begin = place + 8
        elif head[place + 4 : place + 6] in _SHORT:
            (length,) = struct.unpack_from(order + "H", head, place + 6)
            begin = place + 8
        elif head[place + 4 : place + 6] in _LONG:
            (length,) = struct.unpack_from(order + "I", head, place + 8)
            begin = place + 12
        else:
            yield None
            return
        yield _Element(tag, length, begin + length)
        if length == _UNDEFINED:
            return
        place = begin + length
