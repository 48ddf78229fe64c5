"""The counts of a survey as tables, and these as aligned text."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

ABSENT = "–"

_MAX_LINES = 24  # of a table in a terminal; the page and --json have all


class Table(NamedTuple):
    """A table of plain text: a title, a note, the head, the rows."""

    title: str
    note: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def tables(found: Mapping[str, Any]) -> list[Table]:
    """The tables of a `summary.summary`, without those that would be empty."""
    made = [
        _set(found),
        _counts(found),
        _images(found),
        _levels(found),
        _pairs("Intensity rules", "how values became 8 bit", "rule", found),
        _pairs("Organs", "body parts in DICOM's terms", "organ", found),
        _groups(found),
        _labels(found),
        _reasons("Flags", "records", found["flags"], "flag"),
        _reasons("Files skipped", "files", found["skipped"]),
        _reasons(
            "Slices left out of files that were taken", "slices", found["dropped"]
        ),
    ]
    return [table for table in made if table.rows]


def how_many(found: Mapping[str, Any]) -> str:
    """Whether all records were read, as a sentence."""
    if not found["sampled"]:
        return f"All {found['records']:,} records were read."
    return (
        f"A sample: {found['read']:,} of {found['records']:,} records were read, "
        "evenly spread. Records by source and modality, files skipped and bytes are of "
        "the whole set, all other counts of the sample; --sample N reads more."
    )


def text(table: Table) -> str:
    """A table as aligned lines; columns of numbers are aligned at their right."""
    rows = table.rows[:_MAX_LINES]
    columns = list(zip(table.head, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    aligned = [">" if is_numeric(column[1:]) else "<" for column in columns]
    lines = [
        "  ".join(
            f"{cell:{side}{width}}"
            for cell, side, width in zip(row, aligned, widths, strict=True)
        ).rstrip()
        for row in (table.head, *rows)
        if any(row)
    ]
    if left := len(table.rows) - len(rows):
        lines.append(f"and {left} more: see the page or --json")
    note = f" ({table.note})" if table.note else ""
    return "\n  ".join([f"{table.title}{note}", *lines])


def is_numeric(column: Iterable[str]) -> bool:
    """Whether all cells of a column begin with a digit, or say that there is none."""
    return all(cell == ABSENT or cell[:1].isdigit() for cell in column)


def _set(found: Mapping[str, Any]) -> Table:
    files, size = found["files"], found["bytes"]
    channels = {"1": "grey", "3": "RGB"}
    rows = [
        ("records", f"{found['records']:,}"),
        ("records read", f"{found['read']:,}"),
        ("files taken, skipped", f"{files['taken']:,}, {files['skipped']:,}"),
        ("shards", f"{found['num_shards']:,}"),
        ("bytes", f"{size:,} ({size / found['records']:,.0f} a record)"),
        ("longest side, at most", f"{found['size']} pixels"),
        (
            "channels",
            ", ".join(f"{channels[k]} {n:,}" for k, n in found["channels"].items()),
        ),
        ("intensity table", f"version {found['intensity_table']}"),
        ("salt fingerprint", found["salt_fingerprint"] or ABSENT),
    ]
    return Table("The set", "", ("", ""), rows)


def _counts(found: Mapping[str, Any]) -> Table:
    rows = [
        (source, modality, f"{count:,}", _share(count, found["records"]))
        for source, counts in found["counts"].items()
        for modality, count in sorted(counts.items(), key=lambda pair: -pair[1])
    ]
    head = ("source", "modality", "records", "share")
    return Table("Sources and modalities", "", head, rows)


def _images(found: Mapping[str, Any]) -> Table:
    rows = [
        (
            name,
            f"{one['read']:,}",
            _range(one["height"]),
            _range(one["width"]),
            _share(one["at_bound"], one["read"]),
            _share(one["rgb"], one["read"]),
            _share(one["in_volumes"], one["read"]),
            _share(one["spacing_known"], one["read"]),
            _range(one["spacing_mm"]),
        )
        for name, one in _all_if_several(found["images"])
    ]
    measures = ("read", "height", "width", "at bound", "RGB", "of volumes")
    head = ("modality", *measures, "spacing known", "mm a pixel")
    note = "min / median / max; at bound: the longest side is the longest allowed"
    return Table("Stored images", note, head, rows)


def _levels(found: Mapping[str, Any]) -> Table:
    rows = [
        (name, f"{one['mean']:.1f}", f"{one['at_0']:.1%}", f"{one['at_255']:.1%}")
        for name, one in found["levels"].items()
    ]
    note = "0 to 255; the mean over images, of RGB its luminance"
    head = ("modality", "mean level", "pixels at 0", "pixels at 255")
    return Table("Grey levels", note, head, rows)


def _groups(found: Mapping[str, Any]) -> Table:
    rows = [
        (
            name,
            f"{one['groups']:,}",
            f"{one['records']:,}",
            f"{one['median']:g}",
            f"{one['largest']:,}",
        )
        for name, one in _all_if_several(found["groups"])
    ]
    note = "a patient, study or volume: what must not be split"
    if found["sampled"]:
        note += "; those in the sample, with their records in it"
    head = ("source", "groups", "records", "records a group, median", "largest")
    return Table("Groups", note, head, rows)


def _labels(found: Mapping[str, Any]) -> Table:
    found = found["labels"]
    rows = [(f"label {name}", f"{n:,}") for name, n in found["labels"].items()]
    rows += [(kind, f"{found[kind]:,}") for kind in ("masks", "boxes") if found[kind]]
    rows = rows or [("labels, masks, boxes", ABSENT)]
    return Table("The truth", "", ("", "records"), rows)


def _pairs(title: str, note: str, name: str, found: Mapping[str, Any]) -> Table:
    counts = found["_".join(title.lower().split())].items()
    rows = [(value, f"{n:,}", _share(n, found["read"])) for value, n in counts]
    return Table(title, note, (name, "records", "share"), rows)


def _reasons(
    title: str, what: str, reasons: Mapping[str, int], name: str = "reason"
) -> Table:
    rows = [(f"{count:,}", reason) for reason, count in reasons.items()]
    return Table(title, "", (what, name), rows)


def _all_if_several(by_name: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Without the row of all where it would repeat the only other one."""
    return list(by_name.items())[: None if len(by_name) > 2 else 1]


def _share(count: int, of: int) -> str:
    return f"{count / of:.1%}"


def _range(values: Mapping[str, float] | None) -> str:
    if values is None:
        return ABSENT
    numbers = [_number(values[key]) for key in ("min", "median", "max")]
    return numbers[0] if len(set(numbers)) == 1 else " / ".join(numbers)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
