"""Which test images are among those that an encoder was pre-trained on."""

import collections
import pathlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from data_pipelines import copies, duplicates, index, reading, salt, sources

SAME, NEAR, GROUP, LISTED = "same image", "near copy", "group", "listed"
_KINDS = ("study", "volume", "instance")  # of a line in an official list


class Leak(NamedTuple):
    """One reason why a test file should not be tested on.

    Attributes:
      file: number of the test file.
      kind: SAME, NEAR, GROUP, LISTED, or one of `index.KINDS`.
      where: number of the pre-training file, or the official list.
    """

    file: int
    kind: str
    where: str


def against_shards(
    outcomes: Sequence[reading.Outcome], rows: index.Index
) -> list[Leak]:
    """The leaks of test files by content and by keyed hashes.

    Args:
      outcomes: of the test files, read with the size and the salt of the shards.
      rows: the index of the shards.

    Returns:
      A leak for each test file, kind and pre-training file, in order.
    """
    numbers = np.array(
        [copies.number_of(each) for each in outcomes for _ in each.pieces], np.int64
    )
    if not len(numbers):
        return []
    tested = index.build(
        [
            (copies.number_of(each), each.source, piece)
            for each in outcomes
            for piece in each.pieces
        ]
    )
    found = set()

    def note(kind: str, pairs: Iterable[tuple[int, int]]) -> None:
        for test, trained in pairs:
            found.add((int(numbers[test]), kind, int(rows.number[trained])))

    note(SAME, _equal(tested.pixels, rows.pixels))
    note(GROUP, _equal(tested.group, rows.group))
    test, trained, _ = duplicates.pairs(
        tested.near, rows.near, max_distance=duplicates.MAX_DISTANCE
    )
    note(NEAR, zip(test.tolist(), trained.tolist(), strict=True))
    for kind, name in enumerate(index.KINDS):
        ours, theirs = tested.kind == kind, rows.kind == kind
        pairs = _equal(tested.identity[ours], rows.identity[theirs])
        owners, others = tested.owner[ours], rows.owner[theirs]
        note(name, ((owners[test], others[trained]) for test, trained in pairs))
    same = {(file, where) for file, kind, where in found if kind == SAME}
    return [
        Leak(file, kind, f"#{where:04d}")
        for file, kind, where in sorted(found)
        if kind != NEAR or (file, where) not in same
    ]


def against_lists(
    inputs: Sequence[sources.Input],
    outcomes: Sequence[reading.Outcome],
    lists: dict[str, list[str]],
    *,
    salt_key: bytes,
) -> list[Leak]:
    """The leaks of test files by official lists of names.

    A line may be a file, a case, a patient or a UID: it meets a test file whose path
    ends with it (without its endings), that lies in a folder of that name, or whose
    header has it as study, series or instance. Names that every set has (IM-0001) count
    only with their folder.

    Args:
      inputs: the test files.
      outcomes: of them.
      lists: name -> lines.
      salt_key: that the outcomes were read with.
    """
    hashes = {
        copies.number_of(outcome): {
            identity for piece in outcome.pieces for _, identity in piece.identities
        }
        for outcome in outcomes
    }
    found = []
    for name, lines in lists.items():
        known = {line for line in map(_normal, lines) if line}
        uids = {
            salt.keyed_hash(salt_key, f"{kind} {pathlib.PurePosixPath(line).name}")
            for line in map(str.strip, lines)
            if line
            for kind in _KINDS
        }
        ends = collections.defaultdict(set)
        for line in known:
            ends[line.rpartition("/")[2]].add(line)
        for entry in inputs:
            for number, path in zip(entry.numbers, entry.paths, strict=True):
                if _is_listed(path, ends) or hashes.get(number, set()) & uids:
                    found.append(Leak(number, LISTED, name))
    return sorted(found)


def read_lists(path: pathlib.Path) -> dict[str, list[str]]:
    """The lines of a list, or of every file below a folder, by data set.

    LVM-Med's lists are DATASET/file_list.txt, one path, case or UID a line.

    Raises:
      FileNotFoundError: there is none.
      ValueError: a file is no text.
    """
    files = [path] if path.is_file() else sorted(path.rglob("*.txt"))
    if not files:
        raise FileNotFoundError(f"{path}: no list of names (*.txt)")
    found: dict[str, list[str]] = {}
    for file in files:
        try:
            lines = file.read_text("utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise ValueError(f"{file}: not a text file") from error
        name = file.stem if file.parent == path or file == path else file.parent.name
        found.setdefault(name, []).extend(lines)
    return found


def two_folders(
    inputs: Sequence[sources.Input], outcomes: Sequence[reading.Outcome]
) -> list[tuple[int, int]]:
    """Pairs of test files that are one image in two folders: under two labels."""
    folder = {
        number: path.parent
        for entry in inputs
        for number, path in zip(entry.numbers, entry.paths, strict=True)
    }
    first: dict[bytes, int] = {}
    found = []
    for outcome in outcomes:
        number = copies.number_of(outcome)
        for piece in outcome.pieces:
            other = first.setdefault(piece.pixels, number)
            if folder[other] != folder[number]:
                found.append((other, number))
    return sorted(set(found))


def _equal(ours: np.ndarray, theirs: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of equal rows, each of ours with the first of theirs."""
    first: dict[bytes, int] = {}
    for row, each in enumerate(theirs):
        first.setdefault(each.tobytes(), row)
    return [
        (row, first[key])
        for row, key in enumerate(each.tobytes() for each in ours)
        if key in first
    ]


def _normal(line: str) -> str:
    """A line of a list as the end of a path without its endings."""
    folders, _, name = (
        line.strip().lower().replace("\\", "/").strip("/").rpartition("/")
    )
    return f"{folders}/{_stem(name)}" if folders else _stem(name)


def _stem(name: str) -> str:
    """Without endings; a UID, all digits and dots, keeps them."""
    is_uid = name.replace(".", "").isdigit()
    return name if is_uid else name.partition(".")[0]


def _is_listed(path: pathlib.Path, ends: dict[str, set[str]]) -> bool:
    parts = [part.lower() for part in path.parts]
    parts[-1] = _stem(parts[-1])
    for last, part in enumerate(parts, start=1):
        for line in ends.get(part, ()):
            words = line.split("/")
            common = not reading.base_name(pathlib.Path(part))
            if len(words) == 1 and common:
                continue
            if parts[max(0, last - len(words)) : last][-len(words) :] == words:
                return True
            # the list may name folders above that the test set does not have
            if not common:
                return True
    return False
