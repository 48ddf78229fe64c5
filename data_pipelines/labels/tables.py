"""Labelled data in a CSV: path, label and, where wanted, group and split."""

import csv
import pathlib

from data_pipelines import names
from data_pipelines.labels import examples

_COLUMNS = {"path", "label", "group", "split"}
_PARTS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
_BETWEEN = "|"  # of several labels in one cell
_MOST_GAPS = 32  # whole numbers so far apart are numbers of things, no grades
NO_FILE = "a row whose file is not there"
NO_LABEL = "a row without a label"
TWICE = "a row that repeats another's path"


def read(path: pathlib.Path) -> examples.Listing:
    """Lists the rows of a CSV with the columns path, label[, group][, split].

    Paths are relative to the CSV's folder. A label "a|b" names several, and an empty
    one none then; with one label a row, an empty one is left out and counted. Labels
    that are whole numbers are grades: their order is that of the numbers, and one that
    does not occur keeps its place. `split` is train, val or test.

    Raises:
      ValueError: a column is missing or unknown, or labels or splits are not of one
        kind; names the row.
    """
    rows = _rows(path)
    several = any(_BETWEEN in row["label"] for row in rows)
    found, notes, seen = [], [], {}
    for number, row in enumerate(rows, start=1):
        place = examples.Place(path.parent / row["path"], f"{path}:", number)
        reason = _flaw(row, place.path, seen, several)
        if reason:
            notes.append(examples.Note(reason, f"{path}: row {number}"))
            continue
        label = row["label"]
        if several:
            label = tuple(sorted({*map(str.strip, label.split(_BETWEEN))} - {""}))
        found.append(
            examples.Example(
                place,
                label=label,
                part=_part(path, number, row),
                group=row.get("group") or None,
            )
        )
    if not found:
        raise ValueError(f"{path}: no row with a file and a label")
    kind = examples.LABELS if several else examples.CLASSES
    return examples.Listing(path, kind, _class_names(path, found), found, notes)


def _rows(path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restval="", skipinitialspace=True)
            columns = list(reader.fieldnames or ())
            rows = list(reader)
    except (UnicodeDecodeError, csv.Error):
        raise ValueError(f"{path}: no CSV in UTF-8") from None
    missing = {"path", "label"} - set(columns)
    if missing:
        raise ValueError(
            f"{path}: no column {min(missing)!r} in its first line; it needs "
            "path,label and may have group and split"
        )
    for number, row in enumerate(rows, start=1):
        if None in row:
            raise ValueError(f"{path}: row {number} has more cells than the first line")
    return [
        {name: row[name].strip() for name in columns if name in _COLUMNS}
        for row in rows
    ]


def _flaw(row, place, seen, several) -> str | None:
    if not row["label"] and not several:
        return NO_LABEL
    if not row["path"] or not place.is_file():
        return NO_FILE
    if seen.get(place) == row["label"]:
        return TWICE
    seen.setdefault(place, row["label"])  # one picture under two labels: see `survey`
    return None


def _part(path, number, row) -> str | None:
    if "split" not in row:
        return None
    part = _PARTS.get(row["split"].lower())
    if part is None:
        raise ValueError(f"{path}: row {number}: split must be train, val or test")
    return part


def _class_names(path, found) -> tuple[str, ...]:
    labels = [each.label for each in found]
    flat = [
        name
        for label in labels
        for name in (label if isinstance(label, tuple) else (label,))
    ]
    numbers = [name for name in flat if name.isdecimal() and name.isascii()]
    if numbers and len(numbers) < len(flat):
        raise ValueError(
            f"{path}: labels are whole numbers in {len(numbers)} rows and words in "
            f"{len(flat) - len(numbers)}; use one kind"
        )
    if numbers:
        return grades(sorted(set(flat), key=int))
    return tuple(sorted(set(flat), key=names.natural))


def grades(occurring: list[str]) -> tuple[str, ...]:
    """All whole numbers from the first to the last of those that occur, in order."""
    low, high = int(occurring[0]), int(occurring[-1])
    plain = all(str(int(each)) == each for each in occurring)  # no leading zeros
    if not plain or high - low + 1 - len(occurring) > _MOST_GAPS:
        return tuple(occurring)
    return tuple(str(number) for number in range(low, high + 1))
