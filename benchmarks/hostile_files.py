"""Breaks files of every format and lets `prepare` read them.

    python benchmarks/hostile_files.py
    python benchmarks/hostile_files.py --quick

Each reader has 10 s and 1 GB a file, as `--seconds-per-file` and `--gigabytes-per-file`
set them. `crashed` counts the files of a `prepare` that ended in another way than 0 or
that printed a traceback, and files that its manifest does not account for; `hung` those
of one that did not end. Both must be 0. A reader may die or take too long: its file is
refused with that reason, and counted apart, since the decoder is at fault.
"""

import argparse
import collections
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np

ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import mutations, seed_files

_LIMITS = ("--seconds-per-file", "10", "--gigabytes-per-file", "1")
_GIVEN_UP = {
    "its reader died": "readers_died",
    "not read within": "readers_too_slow",
}
_BATCH = 500  # files of one `prepare`
_PATIENCE = 1800  # seconds that one may take


def main(argv: list[str] | None = None) -> int:
    """Runs, prints a table, and with --json one object; 1 where something failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=pathlib.Path, help="keep files that kill here")
    parser.add_argument("--quick", action="store_true", help="500 files")
    parser.add_argument("--json", action="store_true", help="one object, last line")
    options = parser.parse_args(argv)
    num_files = 500 if options.quick else options.files
    seeds, began = seed_files.seeds(), time.monotonic()
    total: collections.Counter[str] = collections.Counter()
    reasons: collections.Counter[str] = collections.Counter()
    for first in range(0, num_files, _BATCH):
        count = min(_BATCH, num_files - first)
        found, said = run(seeds, count, (options.seed, first), options.keep)
        total.update(found)
        reasons.update(said)
        print(
            f"{first + count}/{num_files} files, {time.monotonic() - began:.0f} s: "
            f"{dict(total)}",
            file=sys.stderr,
        )
    for reason, count in reasons.most_common():
        print(f"{count:7d}  {reason}")
    keys = "tried read refused crashed hung readers_died readers_too_slow"
    result = {key: total[key] for key in keys.split()}
    endings = sorted({ending for ending, _ in seeds})
    result |= {"seconds": round(time.monotonic() - began, 1), "formats": endings}
    print(json.dumps(result) if options.json else result)
    return 1 if result["crashed"] or result["hung"] else 0


def run(
    seeds: list[tuple[str, bytes]],
    count: int,
    seed: tuple[int, ...],
    keep: pathlib.Path | None,
) -> tuple[collections.Counter[str], collections.Counter[str]]:
    """Breaks `count` files and prepares them; what became of them, and why."""
    with tempfile.TemporaryDirectory() as name:
        folder, out = pathlib.Path(name, "files"), pathlib.Path(name, "shards")
        folder.mkdir()
        paths = write(folder, seeds, count, seed)
        # one whole file, so that there is always something to prepare
        (folder / "whole.png").write_bytes(seeds[0][1])
        words = [sys.executable, ROOT / "run.py", "prepare", folder, "--out", out]
        words += ["--size", "64", "--salt-file", pathlib.Path(name, "salt"), "--json"]
        found = collections.Counter(tried=count)
        try:
            done = subprocess.run(
                [*words, *_LIMITS], capture_output=True, text=True, timeout=_PATIENCE
            )
        except subprocess.TimeoutExpired:
            return found + collections.Counter(hung=count), collections.Counter()
        if done.returncode or "Traceback" in done.stderr:
            print(done.stderr, file=sys.stderr)
            _keep(keep, paths)
            return found + collections.Counter(crashed=count), collections.Counter()
        return _counted(found, json.loads(done.stdout), paths, keep)


def write(
    folder: pathlib.Path,
    seeds: list[tuple[str, bytes]],
    count: int,
    seed: tuple[int, ...],
) -> list[pathlib.Path]:
    """Broken files, named by number, mutation and, mostly, the right ending."""
    rng = np.random.default_rng(seed)
    whole = [data for _, data in seeds]
    paths = []
    for number in range(count):
        ending, data = seeds[rng.integers(len(seeds))]
        way, broken = mutations.mutated(data, whole, rng)
        if rng.random() < 0.05:
            ending = seeds[rng.integers(len(seeds))][0]
        paths.append(folder / f"{number:05d}_{way}{ending}")
        paths[-1].write_bytes(broken)
    return paths


def _counted(found, answer, paths, keep):
    reasons = collections.Counter()
    dead = []
    for entry in answer["skipped"]:
        reason = entry["reason"]
        number = int(entry["file"][1:].partition(" ")[0])
        for text, key in _GIVEN_UP.items():
            if reason.startswith(text):
                found[key] += 1
                dead.append(paths[number - 1])
        reasons["same pixels as another" if "same pixels" in reason else reason] += 1
    _keep(keep, dead)
    found["refused"] = len(answer["skipped"])
    found["read"] = answer["files"] - 1 - found["refused"]
    found["crashed"] = found["tried"] - found["refused"] - found["read"]
    return found, reasons


def _keep(folder, paths) -> None:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        for path in paths:
            (folder / path.name).write_bytes(path.read_bytes())


if __name__ == "__main__":
    raise SystemExit(main())
