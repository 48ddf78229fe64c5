"""Which test images are among those that an encoder was pre-trained on."""

import collections
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from data_pipelines import (
    copies,
    duplicates,
    index,
    manifest,
    names,
    reading,
    records,
    salt,
    slices,
    sources,
)

SAME, NEAR, LISTED = "same image", "near copy", "listed"
_KINDS = ("patient", "study", "volume", "instance")  # of a line in an official list


class Leak(NamedTuple):
    """One reason why a test file should not be tested on.

    Attributes:
      file: number of the test file.
      kind: SAME, NEAR, LISTED, or one of `index.KINDS`.
      where: number of the first such pre-training file, or the official list.
    """

    file: int
    kind: str
    where: str


class Known(NamedTuple):
    """What an encoder was pre-trained on.

    Attributes:
      options: with which images must be read to be compared.
      rows: the index of the shards; None where there are none.
      parts: of their manifest.
    """

    options: reading.Options
    rows: index.Index | None
    parts: list[dict[str, Any]]


def read_shards(shards: pathlib.Path, salt_file: pathlib.Path | None) -> Known:
    """What shards hold, and the salt that keys its hashes.

    Args:
      shards: the folder.
      salt_file: that they were made with; None: the user's own.

    Raises:
      FileNotFoundError: there are no shards, or no salt.
      ValueError: they were made with another salt, or are damaged.
    """
    salt_file = salt_file or salt.default_path()
    if not salt_file.is_file():
        raise FileNotFoundError(
            f"{salt_file}: no salt there; name that of the shards with --salt-file"
        )
    salt_key, made = salt.load(salt_file), manifest.read(shards)
    if made["salt_fingerprint"] != salt.fingerprint(salt_key):
        raise ValueError(
            f"{shards}: made with another salt than {salt_file}; name that of the "
            "shards with --salt-file"
        )
    options = reading.Options(made["size"], salt_key)
    return Known(options, manifest.read_index(shards, made), made["parts"])


def of_images(
    images: Sequence[np.ndarray],
    identities: Sequence[tuple[tuple[str, str], ...]] | None,
    known: Known,
) -> list[Leak]:
    """As `against_shards`, of images that are read already; `file` counts from 1.

    Args:
      images: of uint8 [H, W] or [H, W, 3]; those too small for shards leak nothing.
      identities: of each, in clear, see `slices.Slice`.
      known: what they are compared with.
    """
    outcomes = []
    for number, pixels in enumerate(images, start=1):
        if min(pixels.shape[:2]) < slices.MIN_SIDE:
            continue
        own = identities[number - 1] if identities is not None else ()
        item = slices.Slice(pixels, "OT", None, None, "", None, "", identities=own)
        stored = records.bounded(pixels, known.options.size)
        pieces = [reading.piece(item, stored, "test", known.options)]
        pieces = [piece._replace(record=b"") for piece in pieces]
        outcomes.append(reading.Outcome(f"#{number:04d} ", "test", pieces, {}))
    return against_shards(outcomes, known.rows)


def summary(
    images: Sequence[np.ndarray],
    identities: Sequence[tuple[tuple[str, str], ...]] | None,
    known: Known,
) -> dict[str, Any]:
    """What stands beside a score: how many of the images tested on were leaked.

    Args:
      images, identities, known: see `of_images`.

    Returns:
      JSON values: `leaked` images, `compared` ones, those `tested` on, and the `kinds`
      of leaks with their numbers.
    """
    leaks = of_images(images, identities, known)
    kinds = collections.Counter(leak.kind for leak in leaks)
    return {
        "leaked": len({leak.file for leak in leaks}),
        "compared": sum(min(each.shape[:2]) >= slices.MIN_SIDE for each in images),
        "tested": len(images),
        "kinds": dict(sorted(kinds.items())),
    }


def against_shards(
    outcomes: Sequence[reading.Outcome], rows: index.Index
) -> list[Leak]:
    """The leaks of test files by content and by keyed hashes.

    Args:
      outcomes: of the test files, read with the size and the salt of the shards.
      rows: the index of the shards.

    Returns:
      A leak for each test file and kind, in order.
    """
    builder = index.Builder()
    for outcome in outcomes:
        for piece in outcome.pieces:
            builder.add(copies.number_of(outcome), outcome.source, piece)
    tested = builder.built()
    first: dict[tuple[int, str], int] = {}
    for kind, test, trained in _matches(tested, rows):
        files = zip(
            tested.number[test].tolist(), rows.number[trained].tolist(), strict=True
        )
        for file, where in sorted(set(files)):
            known = first.setdefault((file, kind), where)
            first[file, kind] = min(known, where)
    return [
        Leak(file, kind, f"#{where:04d}")
        for (file, kind), where in sorted(first.items())
        if kind != NEAR or first.get((file, SAME)) != where
    ]


def _matches(
    tested: index.Index, rows: index.Index
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """(kind, rows of tested, rows of the shards) that match, part by part.

    What only stands for a group where no header names one is not compared: the same
    place in two folders says nothing.
    """
    yield SAME, *_equal(tested.pixels, rows.pixels)
    for kind, name in enumerate(index.KINDS):
        ours, theirs = tested.kind == kind, rows.kind == kind
        test, trained = _equal(tested.identity[ours], rows.identity[theirs])
        yield name, tested.owner[ours][test], rows.owner[theirs][trained]
    # fast with the larger set first
    for trained, test, _ in duplicates.pairs_by_block(
        rows.near, tested.near, max_distance=duplicates.MAX_DISTANCE
    ):
        yield NEAR, test, trained


def against_lists(
    inputs: Sequence[sources.Input],
    outcomes: Sequence[reading.Outcome],
    lists: dict[str, list[str]],
    *,
    salt_key: bytes,
) -> list[Leak]:
    """The leaks of test files by official lists of names.

    A line may be a file, a case, a patient or a UID: it meets a test file whose path
    has it at its end or as a folder, or whose header has it as patient, study, series
    or instance. Where that name is common (IM-0001, train), the folder above it must
    be the same too, and so on until one is not common.

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
        known = {words for words in map(_words, lines) if words}
        ids = {
            salt.keyed_hash(salt_key, f"{kind} {text}")
            for line in lines
            for text in _last_parts(line)
            for kind in _KINDS
        }
        by_last = collections.defaultdict(list)
        for words in known:
            by_last[words[-1]].append(words)
        for entry in inputs:
            for number, path in zip(entry.numbers, entry.paths, strict=True):
                if _is_listed(path, by_last) or hashes.get(number, set()) & ids:
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


def _equal(ours: np.ndarray, theirs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of ours that theirs has too, and the first such row of theirs."""
    first: dict[bytes, int] = {}
    for row, each in enumerate(theirs):
        first.setdefault(each.tobytes(), row)
    places = np.array([first.get(each.tobytes(), -1) for each in ours], np.int64)
    test = np.flatnonzero(places >= 0)
    return test, places[test]


def _words(line: str) -> tuple[str, ...]:
    """The parts of a line of a list, in lower case, the last without its endings."""
    parts = line.strip().lower().replace("\\", "/").strip("/").split("/")
    return (*parts[:-1], names.stem(parts[-1])) if parts[-1] else ()


def _last_parts(line: str) -> set[str]:
    """What of a line may be an id in a header: as it is, and without endings."""
    last = line.strip().replace("\\", "/").strip("/").rpartition("/")[2]
    return {last, last[: len(names.stem(last))]} - {""}


def _is_listed(path: pathlib.Path, by_last: dict[str, list[tuple[str, ...]]]) -> bool:
    parts = [part.lower() for part in path.parts]
    parts[-1] = names.stem(parts[-1])
    return any(
        _tells(words, parts[:last])
        for last, part in enumerate(parts, start=1)
        for words in by_last.get(part, ())
    )


def _tells(words: Sequence[str], parts: Sequence[str]) -> bool:
    """Whether both end with the same parts, one of which is not a common name."""
    for word, part in zip(reversed(words), reversed(parts), strict=False):
        if word != part:
            return False
        if not names.is_common(part):
            return True
    return False
