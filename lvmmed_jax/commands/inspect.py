"""`inspect`: what is in a folder of shards, as tables and as one HTML page."""

import argparse
import json
import pathlib
import tempfile

from lvmmed_jax import progress

_EXAMPLE = """\
examples:
  lvmmed inspect shards/packaged                    writes shards/packaged/inspect.html
  lvmmed inspect shards/chest --out chest.html --sample 50000
  lvmmed inspect shards/chest --json > chest.json

Tables go to stdout; the page adds grey levels and images. It names no file and no
patient, but it shows images: burnt-in text and faces are not removed.
"""


def main(argv: list[str]) -> int:
    """Reads records, prints what is in them and writes the page.

    Args:
      argv: the arguments after `inspect`.

    Returns:
      The exit code, 0.

    Raises:
      FileNotFoundError: SHARDS has no manifest.
      ValueError: a shard or its manifest is damaged.
      OSError: the page cannot be written.
    """
    options = _parse(argv)
    # after the options, so that --help does not wait for NumPy and matplotlib
    from lvmmed_jax.inspection import page, sheet, stored, summary, survey, tables

    shards, out = options.shards, options.out or options.shards / "inspect.html"
    manifest = stored.read_manifest(shards)
    _check_writable(out)
    most = min(options.sample, manifest["records"])
    with progress.counted("inspect", total=most, unit="records") as done:
        taken = survey.take(shards, manifest, most=options.sample, done=done)
    found = summary.summary(taken)
    all_tables, said = tables.tables(found), tables.how_many(found)
    page.write(
        out,
        name=shards.resolve().name,
        said=said,
        all_tables=all_tables,
        taken=taken,
        thumbnails=sheet.thumbnails(shards, taken, each=options.images),
    )
    if options.json:
        print(json.dumps({"shards": str(shards), "page": str(out), **found}))
        return 0
    print("\n\n".join([said, *map(tables.text, all_tables), f"page: {out}"]))
    return 0


def _check_writable(out: pathlib.Path) -> None:
    """Before all is read: makes the folder of the page and tries it."""
    if out.is_dir():
        raise ValueError(
            f"{out}: a folder; name a file, such as {out / 'inspect.html'}"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        tempfile.TemporaryFile(dir=out.parent).close()
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(out)) from error


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="lvmmed inspect",
        description="Show what is in a folder of shards that `prepare` wrote.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("shards", metavar="SHARDS", type=pathlib.Path, help="folder with manifest.json")
    add(
        "--out",
        metavar="FILE",
        type=pathlib.Path,
        help="the page (default: inspect.html in SHARDS)",
    )
    add(
        "--images",
        metavar="N",
        type=int,
        default=8,
        help="of each modality on the contact sheet (default: 8)",
    )
    add(
        "--sample",
        metavar="N",
        type=int,
        default=5000,
        help="records to read, evenly spread, where there are more (default: 5000)",
    )
    add("--json", action="store_true", help="print the result as one JSON object")
    options = parser.parse_args(argv)
    if options.images < 1 or options.sample < 1:
        parser.error("--images and --sample: at least 1")
    return options
