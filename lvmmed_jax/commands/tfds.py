"""`tfds`: shards -> a data set of TensorFlow Datasets, which other programs load."""

import argparse
import json
import pathlib
import re

from lvmmed_jax import progress

_EXAMPLE = """\
examples:
  lvmmed tfds shards/chest --out ~/tensorflow_datasets --name my_chest

then, in any program with tensorflow-datasets (TensorFlow is not needed):
  tfds.data_source("my_chest", data_dir="...", split="train")
"""


def main(argv: list[str]) -> int:
    """Writes the data set and prints its folder.

    Args:
      argv: the arguments after `tfds`.

    Returns:
      The exit code, 0.

    Raises:
      FileNotFoundError: SHARDS has no manifest.
      ValueError: a shard or its manifest is damaged.
      OSError: the data set is there already, or cannot be written.
    """
    options = _parse(argv)
    from data_pipelines import manifest, tfds_export

    total = manifest.read(options.shards)["records"]
    with progress.counted("tfds", total=total, unit="records") as done:
        folder = tfds_export.export(
            options.shards, data_dir=options.out, name=options.name, progress=done
        )
    if options.json:
        print(json.dumps({"folder": str(folder), "records": total}))
    else:
        print(f"{total} records: {folder}")
    return 0


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="lvmmed tfds",
        description="Write shards as a data set of TensorFlow Datasets.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("shards", metavar="SHARDS", type=pathlib.Path, help="folder with manifest.json")
    add(
        "--out", metavar="DIR", type=pathlib.Path, required=True, help="tfds's data_dir"
    )
    add("--name", required=True, help="of the data set: lower case, digits and _")
    add("--json", action="store_true", help="print the result as one JSON object")
    options = parser.parse_args(argv)
    if not re.fullmatch(r"[a-z][a-z0-9_]*", options.name):
        parser.error(f"--name {options.name}: lower case, digits and _ only")
    return options
