"""Which records came before: equal ones always, near ones where that is asked for."""

import collections

from data_pipelines import duplicates, index, reading

_SAME, _NEAR = "same pixels as", "near copy of"


class Copies:
    """The records kept so far."""

    def __init__(self, *, near: bool, before: index.Index | None):
        """Begins with the records of a set that is added to.

        Args:
          near: whether near copies count too, unless the earliest is of the same group:
            slices of a volume that lie beside each other look alike.
          before: the set's index, or None.
        """
        self._numbers: dict[bytes, int] = {}
        self._near = duplicates.Seen() if near else None
        self._kept: list[tuple[int, str]] = []  # file number and group
        if before is not None:
            for row in range(len(before.number)):
                self._keep(
                    int(before.number[row]),
                    before.group[row].tobytes().hex(),
                    before.pixels[row].tobytes(),
                    before.near[row].tobytes(),
                )

    def drop(self, outcome: reading.Outcome) -> tuple[reading.Outcome, list[bool]]:
        """Keeps what is new of a file.

        Args:
          outcome: of the file.

        Returns:
          The outcome with the pieces that are new, without their encoded records; and
          of each piece that it had, whether it is new.
        """
        number = number_of(outcome)
        dropped = collections.Counter(outcome.dropped)
        new, is_new = [], []
        for piece in outcome.pieces:
            reason = self._reason(piece)
            is_new.append(reason is None)
            if reason is not None:
                dropped[reason] += 1
                continue
            self._keep(number, piece.group, piece.pixels, piece.near)
            new.append(piece._replace(record=b""))
        return outcome._replace(pieces=new, dropped=dict(dropped)), is_new

    def _reason(self, piece) -> str | None:
        if piece.pixels in self._numbers:
            return f"{_SAME} #{self._numbers[piece.pixels]:04d}"
        if self._near is not None:
            place = self._near.find(piece.near)
            if place is not None and self._kept[place][1] != piece.group:
                return f"{_NEAR} #{self._kept[place][0]:04d}"
        return None

    def _keep(self, number, group, pixels, near) -> None:
        self._numbers[pixels] = number
        if self._near is not None:
            self._near.add(near)
            self._kept.append((number, group))


def is_copy(reason: str) -> bool:
    """Whether a reason for dropping is that of a copy."""
    return reason.startswith((_SAME, _NEAR))


def number_of(outcome: reading.Outcome) -> int:
    """The number of a file, from its public name."""
    return int(outcome.file[1:].partition(" ")[0])
