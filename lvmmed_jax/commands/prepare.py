"""`prepare`: medical image files -> records in ArrayRecord shards, with a manifest."""

import argparse
import collections
import contextlib
import json
import pathlib
import re
import time

from lvmmed_jax import progress

_EXAMPLE = """\
examples:
  lvmmed prepare packaged --out shards/packaged --size 96
  lvmmed prepare /data/chest --modality CR --dataset chest --out shards/chest
  lvmmed prepare /data/chest --check --show-names       only looks; names the files

SOURCE is a folder, a file, `packaged` (real images of installed packages), or one set
of these: packaged:mni, packaged:dicom, packaged:skimage. PNG, JPEG, TIFF, DICOM and
NIfTI files are read. Shards and manifest name a file by its number and content hash.
"""
_PLANES = ("axial", "coronal", "sagittal")
_FIRST_REASONS = 12
_SECONDS_BETWEEN_LINES = 10.0  # where stderr is no terminal


def main(argv: list[str]) -> int:
    """Prepares shards, or with --check only looks; prints counts and reasons.

    Args:
      argv: the arguments after `prepare`.

    Returns:
      The exit code, 0.

    Raises:
      FileNotFoundError: a SOURCE is not there.
      ValueError: nothing could be read, or --out holds other shards.
      OSError: --out cannot be written.
    """
    parser = _parser()
    options = parser.parse_args(argv)
    _check(options, parser)
    # after the options, so that --help does not wait for NumPy and Pillow
    from data_pipelines import salt, shards, sources

    inputs = [
        entry
        for source in options.sources
        for entry in sources.expand(
            source,
            dataset=options.dataset,
            modality=options.modality,
            planes=options.planes,
        )
    ]
    settings = {
        "dataset": options.dataset,
        "size": options.size,
        "num_shards": options.num_shards,
        "modality": options.modality,
        "planes": options.planes,
    }
    if options.check:
        return _look(inputs, settings, options)
    salt_key = salt.load(options.salt_file or salt.default_path())
    made = shards.prepared(inputs, options.out, settings=settings, salt_key=salt_key)
    done_before = made is not None
    if not done_before:
        with _progress(inputs) as shown:
            made = shards.write(
                shown,
                options.out,
                name=_shard_name(options),
                settings=settings,
                salt_key=salt_key,
            )
    _tell(made, options, already_prepared=done_before)
    return 0


def _look(inputs, settings, options) -> int:
    """Reads everything and writes nothing."""
    from data_pipelines import manifest, reading

    with _progress(inputs) as shown:
        outcomes = [
            outcome._replace(records=[])
            for outcome in reading.read_all(
                shown, size=settings["size"], salt_key=b"thrown away"
            )
        ]
    if options.show_names:
        for outcome, entry in zip(outcomes, inputs, strict=True):
            print(f"{outcome.file}  {entry.path}")
    found = manifest.build(outcomes, settings=settings, salt_fingerprint="")
    _tell(found, options, already_prepared=False)
    return 0


def _tell(made, options, *, already_prepared: bool) -> None:
    reasons = collections.Counter(
        re.sub(r"#\d+", "another", entry["reason"]) for entry in made["skipped"]
    )
    if options.json:
        answer = {
            "out": str(options.out) if options.out else None,
            "already_prepared": already_prepared,
            "records": made["records"],
            "counts": made["counts"],
            "files": len(made["taken"]) + len(made["skipped"]),
            "skipped": made["skipped"],
        }
        print(json.dumps(answer))
        return
    if already_prepared:
        print(f"already prepared: {options.out}")
    modalities = collections.Counter()
    for counts in made["counts"].values():
        modalities.update(counts)
    print(f"{made['records']} records from {len(made['taken'])} files")
    for modality, count in modalities.most_common():
        print(f"  {count:6d}  {modality}")
    if reasons:
        print(f"files skipped: {len(made['skipped'])}")
    for reason, count in reasons.most_common(_FIRST_REASONS):
        print(f"  {count:6d}  {reason}")
    if len(reasons) > _FIRST_REASONS:
        print(f"          and {len(reasons) - _FIRST_REASONS} more reasons: see --json")
    if options.out and not options.check:
        print(f"shards and manifest: {options.out}")


@contextlib.contextmanager
def _progress(inputs):
    """Files done, rate and time left; in a log only now and then."""
    with progress.Progress("prepare", total=len(inputs), unit="files") as bar:
        yield _counted(inputs, bar)


def _counted(inputs, bar):
    """Passes the inputs on, and says how far they are."""
    began = said = time.monotonic()
    for number, entry in enumerate(inputs, start=1):
        yield entry  # done when the next one is asked for
        bar.update(number)
        now = time.monotonic()
        if bar.on_terminal or now - said < _SECONDS_BETWEEN_LINES:
            continue
        said, rate = now, number / (now - began)
        bar.say(
            f"file {number}/{len(inputs)}  {progress.rate_text(rate, 'files')}  "
            f"{(len(inputs) - number) / rate:.0f} s left"
        )


def _shard_name(options) -> str:
    only_packaged = all(each.startswith("packaged") for each in options.sources)
    return options.dataset or ("packaged" if only_packaged else "local")


def _check(options, parser) -> None:
    if options.show_names and not options.check:
        parser.error("--show-names goes with --check: names are only shown, not stored")
    if options.out is None and not options.check:
        parser.error("the following arguments are required: --out (or --check)")
    if options.size < 32:
        parser.error(f"--size {options.size}: at least 32 pixels")
    if options.num_shards < 1:
        parser.error(f"--num-shards {options.num_shards}: at least 1")
    if options.dataset and not re.fullmatch(r"[\w.:-]+", options.dataset, re.ASCII):
        parser.error(f"--dataset {options.dataset}: letters, digits and ._:- only")
    if options.out:
        for source in map(pathlib.Path, options.sources):
            if source.is_dir() and options.out.resolve().is_relative_to(
                source.resolve()
            ):
                parser.error(f"--out {options.out} lies inside {source}: move it out")


def _planes(text: str) -> list[str]:
    planes = text.split(",")
    if not set(planes) <= set(_PLANES):
        raise argparse.ArgumentTypeError(f"{text!r} is not of {','.join(_PLANES)}")
    return planes


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lvmmed prepare",
        description="Turn medical image files into records in ArrayRecord shards.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("sources", metavar="SOURCE", nargs="+", help="what to read, see below")
    add("--out", metavar="SHARDS", type=pathlib.Path, help="folder for the shards")
    add("--dataset", metavar="NAME", help="data set name that the records carry")
    add("--size", type=int, default=256, help="longest side in pixels (default: 256)")
    add("--num-shards", type=int, default=8, help="at most so many (default: 8)")
    add(
        "--modality",
        metavar="CODE",
        help="DICOM code (MR, CT, US, ...) of files "
        "that do not say it themselves; default: OT, other",
    )
    add(
        "--planes",
        type=_planes,
        default=["axial"],
        help="of NIfTI volumes: some of axial,coronal,sagittal (default: axial)",
    )
    add(
        "--salt-file",
        metavar="F",
        type=pathlib.Path,
        help="keys the hash of patients "
        "(default: $XDG_CONFIG_HOME/lvmmed/salt, made at first use)",
    )
    add("--check", action="store_true", help="only look, write nothing")
    add("--show-names", action="store_true", help="with --check: number -> path")
    add("--json", action="store_true", help="print the result as one JSON object")
    return parser
