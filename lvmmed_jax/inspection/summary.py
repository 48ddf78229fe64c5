"""The counts of a survey as JSON values."""

import collections
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from data_pipelines import records
from lvmmed_jax.inspection import survey


def summary(taken: survey.Survey) -> dict[str, Any]:
    """All that is counted.

    Returns:
      Of the whole set, from its manifest: `records`, `counts` {source: {modality:
      records}}, `num_shards`, `bytes`, `size` (pixels of the longest side, at most),
      `intensity_table`, `salt_fingerprint`, `files`, `skipped` {reason: files},
      `dropped` {reason: slices of files that were taken}, `flags` {flag: records}.
      Of the records that were read, `read` of them (`sampled`: not all): `images` by
      modality and of "all" (see `_images`), `levels` by modality, `channels`,
      `intensity_rules`, `organs`, `groups` by source and of "all", `labels`.
    """
    found, read = taken.manifest, list(taken.records.values())
    return {
        "records": found["records"],
        "read": len(read),
        "sampled": len(read) < found["records"],
        "counts": found["counts"],
        "num_shards": len(found["bytes"]),
        "bytes": sum(found["bytes"].values()),
        "size": found["size"],
        "intensity_table": found["intensity"],
        "salt_fingerprint": found["salt_fingerprint"],
        "files": {"taken": len(found["taken"]), "skipped": len(found["skipped"])},
        "skipped": _reasons((entry["reason"], 1) for entry in found["skipped"]),
        "dropped": _reasons(
            pair
            for entry in found["taken"]
            for pair in entry.get("dropped", {}).items()
        ),
        "flags": dict(found.get("flags", {})),
        "images": {
            name: _images(some, found["size"]) for name, some in _by(read, "modality")
        },
        "levels": {name: _levels(shares) for name, shares in taken.levels.items()},
        "channels": _counted(read, "channels"),
        "intensity_rules": _counted(read, "intensity_rule"),
        "organs": _counted(read, "organ"),
        "groups": {name: _groups(some) for name, some in _by(read, "source")},
        "labels": _labels(read),
    }


def _by(
    read: Sequence[records.Record], field: str
) -> list[tuple[str, list[records.Record]]]:
    """The records of each value of a field, the most frequent first; then all."""
    found = collections.defaultdict(list)
    for record in read:
        found[getattr(record, field)].append(record)
    ordered = sorted(found.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    return [*ordered, ("all", list(read))]


def _images(read: Sequence[records.Record], bound: int) -> dict[str, Any]:
    """Sizes in pixels, spacing in mm of a stored pixel's longer side."""
    spacing = [max(record.spacing) for record in read if record.spacing]
    return {
        "read": len(read),
        "height": _distribution(record.height for record in read),
        "width": _distribution(record.width for record in read),
        "at_bound": sum(max(each.height, each.width) == bound for each in read),
        "rgb": sum(record.channels == 3 for record in read),
        "in_volumes": sum(record.slice is not None for record in read),
        "spacing_known": len(spacing),
        "spacing_mm": _distribution(spacing) if spacing else None,
    }


def _distribution(values: Iterable[float]) -> dict[str, float]:
    values = np.array(list(values))
    found = {"min": values.min(), "median": np.median(values), "max": values.max()}
    return {name: round(value.item(), 4) for name, value in found.items()}


def _levels(shares: np.ndarray) -> dict[str, float]:
    """The mean grey level, and the share of pixels at the two ends of the scale."""
    mean = float(shares @ np.arange(len(shares)))
    ends = {"at_0": float(shares[0]), "at_255": float(shares[-1])}
    return {"mean": round(mean, 2)} | {key: round(x, 5) for key, x in ends.items()}


def _groups(read: Sequence[records.Record]) -> dict[str, float]:
    sizes = list(collections.Counter(record.group for record in read).values())
    return {
        "records": len(read),
        "groups": len(sizes),
        "median": float(np.median(sizes)),
        "largest": max(sizes),
    }


def _labels(read: Sequence[records.Record]) -> dict[str, Any]:
    labelled = [record for record in read if record.label is not None]
    return {
        "labels": _counted(labelled, "label"),
        "masks": sum(record.mask is not None for record in read),
        "boxes": sum(record.boxes is not None for record in read),
    }


def _counted(read: Sequence[records.Record], field: str) -> dict[str, int]:
    """How many records have each value of a field, the most frequent first."""
    values = (getattr(record, field) for record in read)
    counter = collections.Counter("none" if x is None else str(x) for x in values)
    return dict(sorted(counter.items(), key=lambda pair: (-pair[1], pair[0])))


def _reasons(pairs: Iterable[tuple[str, int]]) -> Mapping[str, int]:
    """Reasons with their counts; those that differ in a file's number are one."""
    counter = collections.Counter()
    for reason, count in pairs:
        counter[_public(reason)] += count
    return dict(counter.most_common())


def _public(reason: str) -> str:
    """A reason without numbers of files, and without its counts where it has parts."""
    reason = re.sub(r"#\d+", "another", reason)
    if not re.match(r"\d+ x ", reason):
        return reason
    parts = (re.sub(r"^\d+ x ", "", part) for part in reason.split("; "))
    return "; ".join(dict.fromkeys(parts))
