"""Reads the files that other projects test their readers with; counts the results.

    python benchmarks/known_files.py [--data $DATA]

The files are those that the installed packages pydicom, pydicom-data, nibabel,
scikit-image and nilearn ship; with --data, a folder of sets of images too. Prints a
Markdown table: files, files read, slices, files refused, and the reasons.
"""

import argparse
import collections
import functools
import importlib.util
import json
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from data_pipelines import pool, reading, slices, sources, workers

# package -> module and folder of its files
PACKAGES = {
    "pydicom": ("pydicom", "data/test_files"),
    "pydicom-data": ("data_store", "data"),
    "nibabel": ("nibabel", "."),
    "scikit-image": ("skimage", "data"),
    "nilearn": ("nilearn", "datasets/data"),
}
_NO_IMAGES = (".py", ".pyc", ".pyi", ".pyx", ".typed")
_PLANES = ("axial", "coronal", "sagittal")


def main(argv: list[str] | None = None) -> None:
    """Reads, prints the table, and with --json one object on the last line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=pathlib.Path, help="folder of further sets")
    parser.add_argument("--json", action="store_true", help="one object, last line")
    options = parser.parse_args(argv)
    roots = {name: _folder(*place) for name, place in PACKAGES.items()}
    if options.data:
        roots |= {
            each.name: each for each in sorted(options.data.iterdir()) if each.is_dir()
        }
    rows = {name: count(root) for name, root in roots.items()}
    print("| files of | files | read | slices | refused | why |")
    print("|---|---|---|---|---|---|")
    for name, row in rows.items():
        why = "; ".join(f"{n} {reason}" for reason, n in row["reasons"].items())
        numbers = [row[key] for key in ("files", "read", "slices", "refused")]
        print(f"| {name} | {' | '.join(map(str, numbers))} | {why} |")
    if options.json:
        print(json.dumps(rows))


def count(root: pathlib.Path) -> dict:
    """What becomes of every file below a folder; code is left out."""
    found = collections.Counter()
    reasons = collections.Counter()
    num_workers, limits = pool.usable_cores(), pool.Limits(seconds=60, gigabytes=4)
    look = functools.partial(
        workers.look_all,
        num_workers=num_workers,
        limits=limits,
        progress=lambda done: None,
    )
    inputs = [
        entry
        for entry in sources.expand(
            str(root),
            dataset=None,
            context=slices.Context(planes=_PLANES),
            first=1,
            look=look,
        )
        if entry.paths[0].suffix not in _NO_IMAGES
    ]
    for outcomes in workers.read_all(
        inputs, reading.Options(256, bytes(32)), num_workers=num_workers, limits=limits
    ):
        for outcome in outcomes:
            found.update(files=1, slices=len(outcome.pieces))
            found["read" if outcome.pieces else "refused"] += 1
            if not outcome.pieces:
                reasons[_reason(outcome.dropped)] += 1
    keys = ("files", "read", "slices", "refused")
    return {**{key: found[key] for key in keys}, "reasons": dict(reasons.most_common())}


def _reason(dropped: dict[str, int]) -> str:
    """The most frequent one, without its numbers."""
    reason = max(dropped, key=dropped.get) if dropped else "no slice"
    return re.sub(r"\d[\d,]+", "N", reason)


def _folder(module: str, inner: str) -> pathlib.Path:
    spec = importlib.util.find_spec(module)
    return pathlib.Path(spec.submodule_search_locations[0], inner)


if __name__ == "__main__":
    main()
