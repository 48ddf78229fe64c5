"""`leakage`: test images that are among the pre-training images; exit 1 if any is."""

import argparse
import collections
import json
import pathlib
import secrets

from lvmmed_jax import looking, progress

_EXAMPLE = """\
examples:
  lvmmed leakage my/test --against runs/shards
  lvmmed leakage my/test --against runs/shards --show-names --json > leaks.json
  lvmmed leakage my/test --names lvm-med-training-data      only by official lists

Compares by content (equal and near), by keyed hashes of patient, study, volume and
file, for which the salt must be that of the shards, and with --names by official lists
of names. Reports the same image in two folders (two labels) too.
"""
_MOST_LINES = 40


def main(argv: list[str]) -> int:
    """Compares and prints.

    Args:
      argv: the arguments after `leakage`.

    Returns:
      The exit code: 1 where a test image was found.

    Raises:
      FileNotFoundError: TEST, the shards or the lists are not there.
      ValueError: the salt is not that of the shards, or nothing could be read.
    """
    options = _parse(argv)
    from data_pipelines import leakage, pool, reading, sources

    # lists are compared in this process only: any salt will do
    known = leakage.Known(reading.Options(256, secrets.token_bytes(32)), None, [])
    if options.against:
        known = leakage.read_shards(options.against, options.salt_file)
    how, rows, parts = known
    lists = leakage.read_lists(options.names) if options.names else {}
    num_workers = looking.num_workers(options.workers)
    look = looking.looker(num_workers, pool.Limits())
    outcomes = []
    for context in _contexts(options, parts, how.size):
        inputs = sources.expand_all(
            options.test,
            dataset=None,
            context=context,
            first=1,
            look=look,
        )
        outcomes += _read(inputs, how, num_workers)
    if not any(outcome.pieces for outcome in outcomes):
        total = sum(len(entry.paths) for entry in inputs)
        raise ValueError(f"none of {total} test files could be read")
    leaks = leakage.against_shards(outcomes, rows) if rows else []
    leaks += leakage.against_lists(inputs, outcomes, lists, salt_key=how.salt_key)
    pairs = leakage.two_folders(inputs, outcomes)
    names = {int(each.file[1:].partition(" ")[0]): each.file for each in outcomes}
    if options.show_names:
        for entry in inputs:
            for number, path in zip(entry.numbers, entry.paths, strict=True):
                names[number] += f"  {path}"
    _tell(options, outcomes, leaks, pairs, names)
    return 1 if leaks or pairs else 0


def _contexts(options, parts, size: int) -> list:
    """The ways in which the parts of the shards were read: equal pixels need one."""
    from data_pipelines import slices, sources

    context = slices.Context(
        modality=options.modality,
        held_back=True,
        planes=("axial", "coronal", "sagittal"),
        size=size,
    )
    ways = []
    for settings in (part["settings"] for part in parts):
        way = context._replace(
            modality=options.modality or settings.get("modality"),
            tile_microns=settings.get("tile_microns", context.tile_microns),
        )
        ways.append(sources.of_dataset(way, settings.get("dataset")))
    return list(dict.fromkeys(ways)) or [context]


def _read(inputs, how, num_workers: int) -> list:
    """The outcomes of test files, without their records."""
    from data_pipelines import pool, workers

    total, outcomes = sum(len(entry.paths) for entry in inputs), []
    with progress.counted("leakage", total=total, unit="files") as done:
        for group in workers.read_all(
            inputs, how, num_workers=num_workers, limits=pool.Limits()
        ):
            outcomes += [
                each._replace(
                    pieces=[piece._replace(record=b"") for piece in each.pieces]
                )
                for each in group
            ]
            done(len(outcomes))
    return outcomes


def _tell(options, outcomes, leaks, pairs, names) -> None:
    read = {outcome.file for outcome in outcomes if outcome.pieces}
    total = len({outcome.file for outcome in outcomes})
    unread = total - len(read)
    files = sorted({leak.file for leak in leaks})
    if options.json:
        answer = {
            "files": total,
            "unread": unread,
            "leaked": len(files),
            "leaks": [
                {"file": names[leak.file], "kind": leak.kind, "where": leak.where}
                for leak in leaks
            ],
            "two_folders": [[names[one], names[other]] for one, other in pairs],
        }
        print(json.dumps(answer))
        return
    print(f"{len(files)} of {total} test files are among the pre-training data")
    for kind, count in collections.Counter(leak.kind for leak in leaks).most_common():
        print(f"  {count:6d}  by {kind}")
    by_file = collections.defaultdict(list)
    for leak in leaks:
        by_file[leak.file].append(f"{leak.kind} {leak.where}")
    for number in files[:_MOST_LINES]:
        print(f"{names[number]}  {', '.join(by_file[number][:3])}")
    if len(files) > _MOST_LINES:
        print(f"and {len(files) - _MOST_LINES} more: see --json")
    if pairs:
        print(f"the same image in two folders (two labels?): {len(pairs)}")
    for one, other in pairs[:_MOST_LINES]:
        print(f"{names[one]}  and  {names[other]}")
    if unread:
        print(f"test files that could not be compared, without an image: {unread}")


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="lvmmed leakage",
        description=__doc__,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("test", metavar="TEST", nargs="+", help="folder or file of test images")
    add("--against", metavar="SHARDS", type=pathlib.Path, help="pre-training shards")
    add(
        "--names",
        metavar="LISTS",
        type=pathlib.Path,
        help="a text file, or a folder of DATASET/file_list.txt: one file, case or "
        "UID a line",
    )
    add("--modality", metavar="CODE", help="as given to prepare")
    add("--salt-file", metavar="F", type=pathlib.Path, help="that of the shards")
    add("--workers", type=int, metavar="N", help="processes (default: one a core)")
    add("--show-names", action="store_true", help="print the test files' paths too")
    add("--json", action="store_true", help="print the result as one JSON object")
    options = parser.parse_args(argv)
    if not (options.against or options.names):
        parser.error("give --against SHARDS, or --names LISTS, or both")
    return options
