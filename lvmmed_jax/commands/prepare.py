"""`prepare`: medical image files -> records in ArrayRecord shards, with a manifest."""

import argparse
import collections
import hashlib
import json
import pathlib
import re
import shlex
import sys

from lvmmed_jax import looking, progress
from lvmmed_jax.train import interruption

_EXAMPLE = """\
examples:
  lvmmed prepare packaged --out shards/packaged --size 96
  lvmmed prepare /data/chest --modality CR --dataset chest --out shards/chest
  lvmmed prepare /data/chest --check --show-names       only looks; names the files
  lvmmed prepare /data/brain --modality MR --dataset brain --out shards/chest --add

SOURCE is a folder, a file, `packaged` (real images of installed packages), one set of
these (packaged:mni, packaged:dicom, packaged:skimage), or `tfds:NAME`: the train part,
or `tfds:NAME@PART`, of what TensorFlow Datasets has prepared in ArrayRecord form in
$TFDS_DATA_DIR. Shards and manifest name a file by its number and content hash. Killed
at any moment, the same command goes on from the last file.
"""
_PLANES = ("axial", "coronal", "sagittal")
_FIRST_REASONS = 12
_FLAG_ADVICE = "see docs/data.md"


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
    from data_pipelines import manifest, salt, shards, slices, sources

    _warn_of_near_name(options.dataset)
    already, lines = 0, _lines(options)
    if options.add:
        already = manifest.num_files(manifest.read(options.out))
    classes = sources.class_names(options.sources) if options.classes else []
    inputs = sources.expand_all(
        options.sources,
        dataset=options.dataset,
        context=slices.Context(
            modality=options.modality,
            planes=tuple(options.planes),
            tile_microns=options.tile_microns,
            size=options.size,
        ),
        first=already + 1,
        look=looking.looker(looking.num_workers(options.workers), _limits(options)),
        lines=lines,
        classes=classes,
    )
    settings = {
        "dataset": options.dataset,
        "size": options.size,
        "num_shards": options.num_shards,
        "modality": options.modality,
        "planes": options.planes,
        "deduplicate": options.deduplicate,
        "skip_burned_in": options.skip_burned_in,
        "tile_microns": options.tile_microns,
        "names": _digest(lines),
        "classes": classes or None,
    }
    if options.check:
        return _look(inputs, settings, options)
    job = shards.Job(
        inputs=inputs,
        out=options.out,
        name=_part_name(options),
        settings=settings,
        salt_key=salt.load(options.salt_file or salt.default_path()),
        add=options.add,
    )
    made = shards.prepared(job)
    done_before = made is not None
    if not done_before:
        made = _write(job, options)
    _tell(made, options, already_prepared=done_before)
    return 0


def _warn_of_near_name(dataset: str | None) -> None:
    from data_pipelines.catalogue import paper

    near = None
    if dataset and paper.named(dataset) is None:
        near = paper.near(dataset)
    if near:
        print(
            f"note: --dataset {dataset} is not in the catalogue: all files are read; "
            f"{near} is, and would read only what may be trained on",
            file=sys.stderr,
        )


def _lines(options) -> list[str] | None:
    from data_pipelines import leakage

    if options.names is None:
        return None
    return [
        line for each in leakage.read_lists(options.names).values() for line in each
    ]


def _digest(lines: list[str] | None) -> str | None:
    """Tells two lists apart."""
    if lines is None:
        return None
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]


def _write(job, options):
    from data_pipelines import shards

    if options.beam is not None:
        try:
            from data_pipelines import beam
        except ModuleNotFoundError as error:
            raise ImportError(
                "--beam needs Apache Beam: pip install -r requirements-beam.txt"
            ) from error
        words = shlex.split(options.beam)
        return beam.write(job, limits=_limits(options), runner_options=words)
    kept = f"what was read is kept in {options.out}"
    with interruption.goes_on(kept), _progress(job.inputs) as done:
        return shards.write(
            job,
            num_workers=looking.num_workers(options.workers),
            limits=_limits(options),
            progress=done,
        )


def _limits(options):
    from data_pipelines import pool

    return pool.Limits(options.seconds_per_file, options.gigabytes_per_file)


def _look(inputs, settings, options) -> int:
    """Reads everything and writes nothing."""
    from data_pipelines import copies, manifest, reading, workers

    before = None
    if options.add:
        before = manifest.read_index(options.out, manifest.read(options.out))
    known = copies.Copies(near=options.deduplicate, before=before)
    how = reading.Options(options.size, b"thrown away", options.skip_burned_in)
    outcomes, count = [], 0
    with _progress(inputs) as done:
        for group in workers.read_all(
            inputs,
            how,
            num_workers=looking.num_workers(options.workers),
            limits=_limits(options),
        ):
            outcomes += [known.drop(outcome)[0] for outcome in group]
            done(count := count + len(group))
    if options.show_names:
        paths = {
            number: path
            for entry in inputs
            for number, path in zip(entry.numbers, entry.paths, strict=True)
        }
        for outcome in sorted(outcomes, key=copies.number_of):
            print(f"{outcome.file}  {paths[copies.number_of(outcome)]}")
    found = manifest.build(outcomes, part="", settings=settings, salt_fingerprint="")
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
            "flags": made["flags"],
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
    for flag, count in made["flags"].items():
        print(f"  {count:6d}  with {flag}: {_FLAG_ADVICE}")
    if reasons:
        print(f"files skipped: {len(made['skipped'])}")
    for reason, count in reasons.most_common(_FIRST_REASONS):
        print(f"  {count:6d}  {reason}")
    if len(reasons) > _FIRST_REASONS:
        print(f"          and {len(reasons) - _FIRST_REASONS} more reasons: see --json")
    if options.out and not options.check:
        print(f"shards and manifest: {options.out}")


def _progress(inputs):
    """A function that is told how many files are done."""
    from data_pipelines import shards

    return progress.counted("prepare", total=shards.num_files(inputs), unit="files")


def _part_name(options) -> str:
    only_packaged = all(each.startswith("packaged") for each in options.sources)
    return options.dataset or ("packaged" if only_packaged else "local")


def _check(options, parser) -> None:
    if options.show_names and not options.check:
        parser.error("--show-names goes with --check: names are only shown, not stored")
    if options.out is None and not options.check:
        parser.error("the following arguments are required: --out (or --check)")
    if options.add and options.out is None:
        parser.error("--add goes with --out: the shards to add to")
    if options.add and not (options.out / "manifest.json").is_file():
        parser.error(f"--add: {options.out} holds no shards to add to")
    if options.workers is not None and options.workers < 0:
        parser.error(f"--workers {options.workers}: at least 0")
    if options.seconds_per_file <= 0 or options.gigabytes_per_file <= 0:
        parser.error("--seconds-per-file and --gigabytes-per-file: above 0")
    if options.size < 32:
        parser.error(f"--size {options.size}: at least 32 pixels")
    if not 0 < options.tile_microns < float("inf"):
        parser.error(f"--tile-microns {options.tile_microns}: above 0")
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
    add(
        "--dataset",
        metavar="NAME",
        help="data set name that the records carry; of one of the paper's sources, "
        "see `catalogue`, only the training images are read",
    )
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
        help="of volumes: some of axial,coronal,sagittal (default: axial)",
    )
    add(
        "--tile-microns",
        type=float,
        default=128.0,
        metavar="U",
        help="side of the tiles of whole slides, in micrometres (default: 128)",
    )
    add(
        "--names",
        metavar="LISTS",
        type=pathlib.Path,
        help="official lists of the training images of a --dataset of the catalogue",
    )
    add(
        "--classes",
        action="store_true",
        help="each folder directly below SOURCE is a class: its images get a label, "
        "its name goes to the manifest",
    )
    add(
        "--salt-file",
        metavar="F",
        type=pathlib.Path,
        help="keys the hash of patients "
        "(default: $XDG_CONFIG_HOME/lvmmed/salt, made at first use)",
    )
    add("--add", action="store_true", help="add to the shards that --out holds")
    add(
        "--deduplicate",
        action="store_true",
        help="drop near copies too, not only equal images",
    )
    add(
        "--skip-burned-in",
        action="store_true",
        help="leave out what its header says has annotations burnt in",
    )
    add(
        "--workers",
        type=int,
        metavar="N",
        help="processes that read (default: one a core; 0: none, nothing is bounded)",
    )
    add(
        "--seconds-per-file",
        type=float,
        default=300.0,
        metavar="S",
        help="then a file is skipped (default: 300)",
    )
    add(
        "--gigabytes-per-file",
        type=float,
        default=8.0,
        metavar="G",
        help="of memory, then a file is skipped (default: 8)",
    )
    add(
        "--beam",
        metavar="OPTIONS",
        help='read on Apache Beam: --beam="--runner=FlinkRunner ..."',
    )
    add("--check", action="store_true", help="only look, write nothing")
    add("--show-names", action="store_true", help="with --check: number -> path")
    add("--json", action="store_true", help="print the result as one JSON object")
    return parser
