"""`embed`: images in any format, or shards -> features of an encoder in a file."""

import argparse
import collections
import json
import pathlib
import re

from lvmmed_jax import looking, progress
from lvmmed_jax.train import interruption

_EXAMPLE = """\
examples:
  lvmmed embed runs/first my/images --out features.npz
  lvmmed embed runs/first runs/shards --out features.parquet --neighbours 8 --map
  lvmmed embed random:resnet50 brain.nii.gz --out maps.npz --dense --layers 3,4

IMAGES is what `prepare` reads (folders, files, packaged), or one folder of shards;
every slice of a volume is a row. The arrays: `features` [n, D] (with --layers
`layer_3`, ...; with --dense maps [n, R, S, D]), and of each row `file` (number and
content hash), `record` (of shards), `slice`, `modality`, `group` (keyed hash of
patient, study or volume) and `source`; `about` says what was embedded and how. Killed
at any moment, the same command goes on; once it is done, it only makes the page anew.
"""
_FIRST_REASONS = 12


def main(argv: list[str]) -> int:
    """Embeds, and makes the page that is asked for.

    Args:
      argv: the arguments after `embed`.

    Returns:
      The exit code, 0.

    Raises:
      FileNotFoundError: the model or the images are not there.
      ValueError: nothing could be read, or --out holds other features.
      ImportError: a package for the format is missing.
      OSError: --out cannot be written.
    """
    parser = _parser()
    options = parser.parse_args(argv)
    _check(options, parser)
    # after the options, so that --help does not wait for jax
    from lvmmed_jax import encoders
    from lvmmed_jax.features import job, layers, stored

    stored.check(options.out)
    encoder = encoders.load(options.model)
    size = options.size or encoder.image_size
    apply = layers.make(encoder, options.layers, dense=options.dense)
    shapes = layers.shapes(apply, size)
    images = _images(options, size)
    about = {
        "version": 1,
        "model": options.model,
        "digest": encoders.digest(encoder),
        "image_size": size,
        "mean": list(encoder.mean),
        "std": list(encoder.std),
        "arrays": shapes,
        "state": images.state,
    }
    work = job.Job(
        images, apply, options.batch, size, about, options.store_paths, options.out
    )
    found = job.finished(work)
    done_before = found is not None
    if not done_before:
        found = _run(work)
    _tell(found, options, already_embedded=done_before)
    if _page_path(options):
        _write_page(found, work, encoder, options)
    return 0


def _run(work):
    from lvmmed_jax.features import job

    total = sum(work.images.sizes)
    kept = f"what was embedded is kept beside {work.out}"
    with (
        interruption.goes_on(kept),
        progress.counted("embed", total=total, unit=work.images.counted) as done,
    ):
        return job.run(work, done)


def _images(options, size: int):
    """The collection: of shards, or of files as `prepare` reads them."""
    from data_pipelines import (
        manifest,
        pool,
        reading,
        salt,
        slices,
        sources,
        unlabelled,
    )

    folders = [pathlib.Path(name) for name in options.images]
    if any((folder / manifest.NAME).is_file() for folder in folders):
        if len(folders) > 1:
            raise ValueError("IMAGES: one folder of shards, or files and folders")
        if options.store_paths:
            raise ValueError(f"{folders[0]}: shards hold no paths to store")
        return unlabelled.of_shards(folders[0])
    num_workers = looking.num_workers(options.workers)
    limits = pool.Limits(seconds=options.seconds_per_file)

    # detail beyond twice the size hardly counts once an image is resized
    bound = 2 * size
    inputs = sources.expand_all(
        options.images,
        dataset=None,
        context=slices.Context(modality=options.modality, size=bound),
        first=1,
        look=looking.looker(num_workers, limits),
    )
    key = salt.load(options.salt_file or salt.default_path())
    return unlabelled.of_files(
        options.images,
        inputs,
        reading.Options(bound, key, min_side=1),
        num_workers=num_workers,
        limits=limits,
    )


def _write_page(found, work, encoder, options) -> None:
    """Nearest images, maps and overlays, of images that are read once more."""
    from data_pipelines import unlabelled
    from lvmmed_jax.features import neighbours, page
    from lvmmed_jax.features import sections as parts

    queries = page.chosen(found.rows, options.queries)
    mapped = page.sampled(found, options.sample) if options.map else []
    names = _classes(found, mapped, work.images.names, options)
    near = []
    if options.neighbours:
        near = neighbours.find(found, queries, count=options.neighbours)
    shown = {*mapped, *(row for one in near for row in (one.query, *one.rows))}
    shown |= set(queries) if options.overlays else set()
    images = unlabelled.take(work.images, found.rows, sorted(shown))
    sections = []
    if near:
        sections.append(parts.nearest(found, near, images, options.neighbours))
    if mapped:
        sections.append(parts.maps(found, mapped, images, names, options.colour))
    if options.overlays:
        taken = _overlays(encoder, queries, images, options)
        sections.append(parts.overlays(found, taken, images))
    path = _page_path(options)
    said = f"{len(found.rows)} images, embedded by {options.model}."
    named = options.store_paths or options.colour == "folder"
    page.write(path, f"Features {options.out.stem}", said, sections, named=named)
    if not options.json:
        print(f"page: {path}")


def _overlays(encoder, rows, images, options):
    """Feature maps of some images, enlarged so that there are cells to see."""
    import numpy as np

    from lvmmed_jax import encoders, measuring
    from lvmmed_jax.features import layers
    from lvmmed_jax.features import sections as parts

    some = [images[row] for row in rows]
    size = measuring.dense_size(encoder.image_size, encoder.stride, some)
    apply = layers.make(encoder, options.layers, dense=True)
    maps = {name: [] for name in layers.names(options.layers)}
    for pixels in some:  # one by one: early layers have large maps
        for name, each in apply(encoders.resize(pixels, size)[None]).items():
            maps[name].append(np.asarray(each[0]))
    return parts.Overlays(list(rows), maps, size)


def _classes(found, rows, names, options) -> list[str]:
    """What colours the images of the map."""
    from data_pipelines import manifest

    if options.colour == "folder":
        if rows and not names:
            raise ValueError("--colour folder: shards hold no folders")
        inner = [names[manifest.number_of(found.rows[row].file)] for row in rows]
        return [name.split("/")[0] if "/" in name else "." for name in inner]
    return [getattr(found.rows[row], options.colour) for row in rows]


def _page_path(options) -> pathlib.Path | None:
    """Where the page goes; None where none is asked for."""
    if not (options.neighbours or options.map or options.overlays):
        return None
    return options.page or options.out.with_suffix(".html")


def _tell(found, options, *, already_embedded: bool) -> None:
    about = found.about
    if options.json:
        answer = {
            "out": str(options.out),
            "already_embedded": already_embedded,
            "rows": about["rows"],
            "arrays": {
                name: [about["rows"], *shape] for name, shape in found.shapes.items()
            },
            "skipped": about["skipped"],
            "dropped": about["dropped"],
            "page": str(page) if (page := _page_path(options)) else None,
        }
        print(json.dumps(answer))
        return
    if already_embedded:
        print(f"already embedded: {options.out}")
    arrays = ", ".join(
        f"{name} {[about['rows'], *shape]}" for name, shape in found.shapes.items()
    )
    print(f"{about['rows']} images: {arrays}")
    reasons = collections.Counter(
        re.sub(r"#\d+", "another", entry["reason"]) for entry in about["skipped"]
    )
    if reasons:
        print(f"skipped: {len(about['skipped'])}, listed in `about`")
    for reason, count in reasons.most_common(_FIRST_REASONS):
        print(f"  {count:6d}  {reason}")
    if about["dropped"]:
        print(f"slices left out: {sum(about['dropped'].values())}")
    for reason, count in about["dropped"].items():
        print(f"  {count:6d}  {reason}")
    print(f"features: {options.out}")


def _check(options, parser) -> None:
    if options.batch < 1:
        parser.error(f"--batch {options.batch}: at least 1")
    if options.size is not None and options.size < 8:
        parser.error(f"--size {options.size}: at least 8 pixels")
    if options.workers is not None and options.workers < 0:
        parser.error(f"--workers {options.workers}: at least 0")
    if options.seconds_per_file <= 0:
        parser.error("--seconds-per-file: above 0")
    if options.neighbours < 0 or options.queries < 1 or options.sample < 2:
        parser.error("--neighbours: at least 0; --queries: 1; --sample: 2")
    out = options.out.resolve()
    for source in map(pathlib.Path, options.images):
        if source.is_dir() and out.is_relative_to(source.resolve()):
            parser.error(f"--out {options.out} lies inside {source}: move it out")


def _layers(text: str) -> tuple[int, ...]:
    try:
        return tuple(map(int, text.split(",")))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r}: numbers of stages, such as 3,4"
        ) from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lvmmed embed",
        description="Write the features of images to a file, in their order.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "model",
        metavar="MODEL",
        help="a work folder, a checkpoint, an exported file, or random:NAME",
    )
    add("images", metavar="IMAGES", nargs="+", help="what to embed, see below")
    add(
        "--out",
        metavar="F",
        type=pathlib.Path,
        required=True,
        help="F.npz, or F.parquet (needs pyarrow)",
    )
    add(
        "--layers",
        type=_layers,
        default=(),
        metavar="N,N",
        help="stages of the encoder, an array each (default: the last)",
    )
    add("--dense", action="store_true", help="feature maps, not their means")
    add(
        "--size",
        type=int,
        metavar="S",
        help="pixels a side that images are resized to (default: the model's)",
    )
    add("--batch", type=int, default=32, metavar="B", help="at once (default: 32)")
    add("--modality", metavar="CODE", help="of files that do not say it: MR, CT, ...")
    add(
        "--store-paths",
        action="store_true",
        help="store each file's path below IMAGES too: it may name a patient",
    )
    add(
        "--salt-file",
        metavar="F",
        type=pathlib.Path,
        help="keys the hash of patients (default: $XDG_CONFIG_HOME/lvmmed/salt)",
    )
    add("--workers", type=int, metavar="N", help="processes that read; 0: none")
    add(
        "--seconds-per-file",
        type=float,
        default=300.0,
        metavar="S",
        help="then a file is skipped (default: 300)",
    )
    shown = parser.add_argument_group("a page of the features, beside --out")
    show = shown.add_argument
    show(
        "--neighbours",
        type=int,
        nargs="?",
        const=7,
        default=0,
        metavar="K",
        help="some images with the K nearest of each (7 where K is left out)",
    )
    show("--map", action="store_true", help="all in two dimensions: PCA, and UMAP")
    show("--overlays", action="store_true", help="feature maps as colours")
    show("--queries", type=int, default=24, metavar="N", help="images to show (24)")
    show(
        "--sample",
        type=int,
        default=2000,
        metavar="N",
        help="images on the map, evenly spread (default: 2000)",
    )
    show(
        "--colour",
        choices=("modality", "source", "folder"),
        default="modality",
        help="of the map; folder: the first below IMAGES, whose names it then shows",
    )
    show("--page", metavar="F", type=pathlib.Path, help="default: OUT with .html")
    add("--json", action="store_true", help="print the result as one JSON object")
    return parser
