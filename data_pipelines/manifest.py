"""manifest.json: what shards hold, and what became of every input file."""

import collections
import importlib.metadata
import json
import pathlib
from collections.abc import Iterable
from typing import Any

from data_pipelines import intensity, reading

NAME = "manifest.json"
VERSION = 1
# whose versions decide the pixels
_PACKAGES = (
    "array-record",
    "nibabel",
    "numpy",
    "pillow",
    "pydicom",
    "pylibjpeg-openjpeg",
    "python-gdcm",
    "tifffile",
)


def build(
    outcomes: Iterable[reading.Outcome],
    *,
    settings: dict[str, Any],
    salt_fingerprint: str,
) -> dict[str, Any]:
    """The manifest of a run, without the shards' hashes.

    Args:
      outcomes: of every input file; their records may have been let go.
      settings: what the user asked for; JSON values.
      salt_fingerprint: tells whether hashes of two manifests compare.
    """
    counts: dict[str, collections.Counter] = {}
    taken, skipped, colour = [], [], False
    for outcome in outcomes:
        counts.setdefault(outcome.source, collections.Counter())
        counts[outcome.source].update(outcome.modalities)
        colour = colour or outcome.colour
        if outcome.modalities:
            entry = {"file": outcome.file, "records": outcome.modalities.total()}
            if outcome.dropped:
                entry["dropped"] = dict(outcome.dropped)
            taken.append(entry)
        else:
            skipped.append({"file": outcome.file, "reason": _reason(outcome.dropped)})
    return {
        "version": VERSION,
        "records": sum(entry["records"] for entry in taken),
        "size": settings["size"],
        "channels": 3 if colour else 1,
        "bits": 8,
        "counts": {name: dict(sorted(each.items())) for name, each in counts.items()},
        "settings": settings,
        "intensity": intensity.VERSION,
        "salt_fingerprint": salt_fingerprint,
        "packages": _versions(),
        "taken": taken,
        "skipped": skipped,
    }


def read(shards: pathlib.Path) -> dict[str, Any]:
    """The manifest of a folder of shards, once every shard was seen to be whole.

    Raises:
      FileNotFoundError: the folder has none.
      ValueError: it is no manifest, or a shard is missing or of another size.
    """
    path = shards / NAME
    if not path.is_file():
        raise FileNotFoundError(
            f"{shards}: no {NAME}; make shards with `prepare SOURCE --out {shards}`"
        )
    try:
        found = json.loads(path.read_text())
        sizes = found["bytes"].items()
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: damaged; prepare the shards again") from error
    if found.get("version") != VERSION:
        raise ValueError(
            f"{path}: version {found.get('version')}, this program reads {VERSION}"
        )
    for name, size in sizes:
        shard = shards / name
        if not shard.is_file() or shard.stat().st_size != size:
            raise ValueError(
                f"{shard}: missing or not of {size} bytes as the manifest says; "
                "prepare the shards again"
            )
    return found


def check_same(
    found: dict[str, Any],
    shards: pathlib.Path,
    *,
    files: list[str],
    settings: dict[str, Any],
    salt_fingerprint: str,
) -> None:
    """Raises a ValueError where a manifest was not made from this, saying what differs.

    Args:
      found: the manifest that `shards` holds.
      shards: its folder.
      files: public names of the input files now.
      settings, salt_fingerprint: those of now.
    """
    differing = [
        f"{name} {found['settings'].get(name)!r}, not {value!r}"
        for name, value in settings.items()
        if found["settings"].get(name) != value
    ]
    if found["salt_fingerprint"] != salt_fingerprint:
        differing.append("another salt (see --salt-file)")
    if found["intensity"] != intensity.VERSION:
        differing.append(f"intensity table {found['intensity']}")
    if {entry["file"] for entry in found["taken"] + found["skipped"]} != set(files):
        differing.append("other files")
    if differing:
        raise ValueError(
            f"{shards}: already holds shards made with {', '.join(differing)}; "
            "choose another --out"
        )


def _reason(dropped: collections.Counter[str]) -> str:
    """The reason of a file without records; with counts where there are several."""
    if not dropped:
        return "no slice in it"
    if len(dropped) == 1:
        return next(iter(dropped))
    return "; ".join(f"{count} x {reason}" for reason, count in dropped.most_common())


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
