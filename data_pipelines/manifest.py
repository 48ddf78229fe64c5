"""manifest.json: what shards hold, and what became of every input file."""

import collections
import importlib.metadata
import itertools
import json
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

from data_pipelines import index, intensity, reading

NAME = "manifest.json"
VERSION = 2
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
_TO_GO_WITH = ("size",)  # settings that all parts of a set share


def build(
    outcomes: Iterable[reading.Outcome],
    *,
    part: str,
    settings: dict[str, Any],
    salt_fingerprint: str,
) -> dict[str, Any]:
    """The manifest of one part, without the hashes of its shards.

    Args:
      outcomes: of every input file, in any order; read once, and not kept.
      part: begins the names of its shards.
      settings: what the user asked for; JSON values.
      salt_fingerprint: tells whether hashes of two manifests compare.
    """
    counts: dict[str, collections.Counter] = {}
    flags: collections.Counter[str] = collections.Counter()
    taken, skipped, colour = [], [], False
    for outcome in outcomes:
        modalities = collections.Counter(piece.modality for piece in outcome.pieces)
        counts.setdefault(outcome.source, collections.Counter()).update(modalities)
        flags.update(flag for piece in outcome.pieces for flag in piece.flags)
        colour = colour or any(piece.channels == 3 for piece in outcome.pieces)
        if modalities:
            entry = {"file": outcome.file, "records": modalities.total()}
            if outcome.dropped:
                entry["dropped"] = outcome.dropped
            taken.append(entry)
        else:
            skipped.append({"file": outcome.file, "reason": reason(outcome.dropped)})
    for entries in (taken, skipped):
        entries.sort(key=lambda entry: number_of(entry["file"]))
    num_records = sum(entry["records"] for entry in taken)
    return {
        "version": VERSION,
        "records": num_records,
        "size": settings["size"],
        "channels": 3 if colour else 1,
        "bits": 8,
        "counts": {name: dict(sorted(each.items())) for name, each in counts.items()},
        "flags": dict(sorted(flags.items())),
        "parts": [
            {
                "name": part,
                "settings": settings,
                "files": len(taken) + len(skipped),
                "records": num_records,
            }
        ],
        "intensity": intensity.VERSION,
        "salt_fingerprint": salt_fingerprint,
        "packages": _versions(),
        "taken": taken,
        "skipped": skipped,
        "sha256": {},
        "bytes": {},
        "index_sha256": {},
    }


def join(before: dict[str, Any], added: dict[str, Any]) -> dict[str, Any]:
    """The manifest of a set and of a part that is added to it."""
    counts = {source: dict(each) for source, each in before["counts"].items()}
    for source, each in added["counts"].items():
        both = collections.Counter(counts.get(source, {})) + collections.Counter(each)
        counts[source] = dict(sorted(both.items()))
    flags = collections.Counter(before["flags"]) + collections.Counter(added["flags"])
    return {
        **added,
        "records": before["records"] + added["records"],
        "channels": max(before["channels"], added["channels"]),
        "counts": counts,
        "flags": dict(sorted(flags.items())),
        **{name: before[name] + added[name] for name in ("parts", "taken", "skipped")},
        **{
            name: before[name] | added[name]
            for name in ("sha256", "bytes", "index_sha256")
        },
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
            f"{path}: version {found.get('version')}, this program reads {VERSION}; "
            "prepare the shards again"
        )
    for name, size in sizes:
        shard = shards / name
        if not shard.is_file() or shard.stat().st_size != size:
            raise ValueError(
                f"{shard}: missing or not of {size} bytes as the manifest says; "
                "prepare the shards again"
            )
    return found


def none_read(skipped: Sequence[dict[str, str]]) -> str:
    """What is told where every file was skipped."""
    first = skipped[0]
    return (
        f"none of {len(skipped)} files could be read; "
        f"the first, {first['file']}: {first['reason']}"
    )


def num_files(found: dict[str, Any]) -> int:
    """Input files of all parts."""
    return sum(part["files"] for part in found["parts"])


def class_names(found: dict[str, Any]) -> list[str]:
    """The classes whose numbers the labels are; empty where no part has labels."""
    named = (part["settings"].get("classes") for part in found["parts"])
    return next(filter(None, named), [])


def read_index(shards: pathlib.Path, found: dict[str, Any]) -> index.Index:
    """The rows of all parts of a set, in the order in which its shards are read.

    Raises:
      ValueError: an index is missing, or not the one that the manifest names.
    """
    names = [part["name"] for part in found["parts"]]
    return index.join(
        [
            index.read(index_path(shards, name), sha256=found["index_sha256"][name])
            for name in names
        ]
    )


def index_path(shards: pathlib.Path, name: str) -> pathlib.Path:
    """Where the index of a part lies."""
    return shards / f"{name}.index.npz"


def has_part(
    found: dict[str, Any], *, files: Sequence[str], settings: dict[str, Any]
) -> bool:
    """Whether a part of a set was made from these files with these settings.

    Args:
      found: its manifest.
      files: public names; the files' contents count, not their numbers.
      settings: what the user asked for.
    """
    return any(
        contents == _contents(files) and not _differences(part["settings"], settings)
        for part, contents in zip(
            found["parts"], _contents_of_parts(found), strict=True
        )
    )


def check_same(
    found: dict[str, Any],
    shards: pathlib.Path,
    *,
    files: list[str],
    settings: dict[str, Any],
    salt_fingerprint: str,
) -> None:
    """Raises a ValueError where no part was made from this, saying what differs.

    Args:
      found: the manifest that `shards` holds.
      shards: its folder.
      files: public names of the input files now, their numbers from 1.
      settings, salt_fingerprint: those of now.
    """
    _refuse(found, shards, salt_fingerprint)
    if has_part(found, files=files, settings=settings):
        return
    last = found["parts"][-1]["settings"]
    differing = _differences(last, settings) or ["other files"]
    raise ValueError(
        f"{shards}: already holds shards made with {', '.join(differing)}; "
        "choose another --out, or --add to it"
    )


def _contents(files: Iterable[str]) -> list[str]:
    return [file.partition(" ")[2] for file in files]


def _contents_of_parts(found) -> list[list[str]]:
    """The content hashes of each part's files, in the order of their numbers."""
    listed = sorted(
        (entry["file"] for entry in found["taken"] + found["skipped"]), key=number_of
    )
    rest = iter(_contents(listed))
    return [list(itertools.islice(rest, part["files"])) for part in found["parts"]]


def check_addition(
    found: dict[str, Any],
    shards: pathlib.Path,
    *,
    name: str,
    settings: dict[str, Any],
    salt_fingerprint: str,
) -> None:
    """Raises a ValueError where a part with these settings can't be added to a set."""
    shared = {key: settings[key] for key in _TO_GO_WITH}
    first = found["parts"][0]["settings"]
    differing = _differences({key: first.get(key) for key in shared}, shared)
    known, classes = class_names(found), settings.get("classes")
    if known and classes and known != classes:
        differing.append("other --classes")
    _refuse(found, shards, salt_fingerprint, differing)
    if name in (part["name"] for part in found["parts"]):
        raise ValueError(
            f"{shards}: already has a part {name!r}; name the added one with --dataset"
        )


def _refuse(found, shards, salt_fingerprint, differing=()) -> None:
    """What no two parts of a set may differ in."""
    differing = list(differing)
    if found["salt_fingerprint"] != salt_fingerprint:
        differing.append("another salt (see --salt-file)")
    if found["intensity"] != intensity.VERSION:
        differing.append(f"intensity table {found['intensity']}")
    if differing:
        raise ValueError(
            f"{shards}: already holds shards made with {', '.join(differing)}; "
            "choose another --out"
        )


def _differences(found, settings) -> list[str]:
    return [
        f"{name} {found.get(name)!r}, not {value!r}"
        for name, value in settings.items()
        if found.get(name) != value
    ]


def number_of(file: str) -> int:
    """The number in a public name."""
    return int(file[1:].partition(" ")[0])


def reason(dropped: dict[str, int]) -> str:
    """The reason of a file without records; with counts where there are several."""
    if not dropped:
        return "no slice in it"
    if len(dropped) == 1:
        return next(iter(dropped))
    ordered = collections.Counter(dropped).most_common()
    return "; ".join(f"{count} x {reason}" for reason, count in ordered)


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
