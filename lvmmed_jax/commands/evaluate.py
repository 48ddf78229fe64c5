"""`evaluate`: probes of a frozen encoder, or the scores of fine-tuned networks."""

import argparse
import json
import pathlib
import sys
import time
from typing import Any

_EXAMPLE = """examples:
  python run.py evaluate runs/first --data my/class_folders my/masks --task knn
  python run.py evaluate runs/first --data medmnist --few-labels --against runs/shards
  python run.py evaluate runs/seed0 runs/seed1 --task segmentation --data my/masks \\
      --baseline runs/random0 runs/random1

DATA is a folder of class folders (CLASS/*.png), a folder with images/ and labels/
(masks of equal names, NIfTI volumes too), a CSV (path,label[,group][,split]), an .npz
as MedMNIST's, a folder of such .npz, or `packaged:mni`. Where a folder holds such a
layout in each of train/ and test/ (and val/, see --part), that is the split; else a
quarter is tested on: patients, volumes and near copies stand on one side, and pictures
under two labels are left out.
"""
_FINE_TUNED = ("classification", "segmentation")  # tasks of `finetune`
_NUM_SEEDS = 5
_FEW = "1%,5%,10%,25%,1,5,10"  # shares, and images a class


def main(argv: list[str]) -> int:
    """Parses, evaluates, prints; returns the exit code."""
    arguments = _parse(argv)
    if arguments.task in _FINE_TUNED:
        return _test(arguments)
    result = run(
        arguments.model[0],
        data=arguments.data,
        tasks=tuple(arguments.task.split(",")),
        seed=arguments.seed,
        part=arguments.part,
        few=arguments.few_labels,
        num_seeds=_NUM_SEEDS if arguments.seeds is None else arguments.seeds,
        against=arguments.against,
        salt_file=arguments.salt_file,
    )
    print(json.dumps(result) if arguments.json else table(result))
    return 0


def _test(arguments: argparse.Namespace) -> int:
    """Fine-tuned networks on their test part."""
    from lvmmed_jax.downstream import comparison, testing

    result = testing.run(
        arguments.model,
        arguments.data[0],
        comparison.Options(
            task=arguments.task,
            part=arguments.part,
            protocol=arguments.protocol,
            flips=arguments.flips,
            seed=arguments.seed,
            splits_file=arguments.splits,
            salt_file=arguments.salt_file,
            external=arguments.external,
        ),
        baseline=arguments.baseline,
        against=arguments.against,
    )
    print(json.dumps(result) if arguments.json else testing.table(result))
    return 0


def run(
    model: str,
    *,
    data: list[str],
    tasks: tuple[str, ...],
    seed: int,
    part: str,
    few: str = "",
    num_seeds: int = _NUM_SEEDS,
    against: pathlib.Path | None = None,
    salt_file: pathlib.Path | None = None,
    starts: dict | None = None,
) -> dict[str, Any]:
    """Evaluates and, where `model` is a work folder, writes evaluation.json there.

    Args:
      model: see `encoders.load`.
      data: data sets, see `labelled.load`; a folder of .npz stands for all of them.
      tasks: of `measuring.TASKS`.
      seed: of split, few labels and bootstrap.
      part: "test" or "val".
      few: budgets of few labels, see `few_labels.parse`.
      num_seeds: with which few labels are drawn.
      against: shards among whose images those to test on are looked for.
      salt_file: theirs.
      starts: kept by a caller with several runs: what was measured of a random start is
        put in, and is not measured again for another run with the same start.
    """
    from data_pipelines import labelled, leakage
    from lvmmed_jax import encoders, evaluation, few_labels, measuring

    unknown = [task for task in tasks if task not in measuring.TASKS]
    if set(unknown) & set(_FINE_TUNED):
        raise ValueError(f"--task {','.join(tasks)}: {unknown[0]} is asked for alone")
    if unknown:
        known = ", ".join((*measuring.TASKS, *_FINE_TUNED))
        raise ValueError(f"unknown --task {unknown[0]!r}; known: {known}")
    budgets = few_labels.parse(few)
    known = leakage.read_shards(against, salt_file) if against else None
    began = time.monotonic()
    starts = {} if starts is None else starts
    how = tasks, budgets, range(seed, seed + num_seeds)
    config = encoders.run_config(model)
    start = encoders.load(model) if config is None else encoders.random(config)
    # the weights do not say in which precision they are applied
    form = None if config is None else config.model
    identity = encoders.digest(start), form, start.image_size
    pretrained = None if config is None else encoders.load(model)
    rows, by_image, pictures, skipped = [], [], None, []
    for name, is_one_of_many in _data_sets(data):
        try:
            examples = labelled.load(name, seed, part)
        except ValueError as error:
            if not is_one_of_many:
                raise
            skipped.append({"data": pathlib.Path(name).name, "reason": str(error)})
            continue
        print(_about(examples), file=sys.stderr)
        measuring.check(examples, tasks)
        key = (*identity, name, part, seed, *how)
        if key not in starts:
            calibrated = _calibrated(start, examples)
            starts[key] = measuring.measure(calibrated, examples, *how)
        measured = {"random": starts[key]}
        if pretrained is not None:
            measured["pretrained"] = measuring.measure(pretrained, examples, *how)
        found = evaluation.compare(measured, examples, seed=seed)
        about = {
            "leakage": _leakage(examples, known),
            "under_two_labels": examples.contradicted,
        }
        rows += [
            {"data": pathlib.Path(name).name, **row, **about} for row in found.results
        ]
        by_image += [
            each | ({} if found.groups is None else {"groups": found.groups})
            for each in found.by_image
        ]
        pictures = pictures or found.pictures
    if not rows:
        raise ValueError(f"{data[0]}: {skipped[0]['reason']}")
    result = {
        "model": model,
        "data": " ".join(data),
        "data_sets": [pathlib.PurePath(name).name for name in data],
        "part": part,
        "tasks": list(tasks),
        "few_labels": few,
        "num_seeds": num_seeds if few else None,
        "input_size": start.image_size,
        "seconds": round(time.monotonic() - began, 1),
        "results": rows,
        "against": None if against is None else str(against),
        "skipped": skipped,
    }
    workdir = encoders.work_folder(model)
    if workdir is not None:
        result["step"] = encoders.step(workdir)  # a model card asks whose scores it has
        _write(workdir, result, by_image, pictures)
    return result


def _data_sets(data: list[str]) -> list[tuple[str, bool]]:
    """Names, and whether each is of a folder that holds .npz and no folders."""
    found = []
    for name in data:
        inside = sorted(pathlib.Path(name).glob("*"))
        files = [str(path) for path in inside if path.suffix == ".npz"]
        if files and not any(path.is_dir() for path in inside):
            found += [(file, True) for file in files]
        else:
            found.append((name, False))
    return found


def _about(examples: Any) -> str:
    """What a user should know before the probes run."""
    line = f"evaluating on {len(examples.images)} images"
    if examples.contradicted:
        line += (
            f"; {examples.contradicted} come under two labels: left out, but of a data "
            "set with its own split"
        )
    return line


def _leakage(examples: Any, known: Any) -> dict[str, Any] | None:
    """How many images to test on are among those of shards; None: not looked for."""
    from data_pipelines import leakage

    if known is None:
        return None
    rows = [row for row, test in enumerate(examples.is_test) if test]
    images, own = [examples.images[row] for row in rows], examples.identities
    own = None if own is None else [own[row] for row in rows]
    return leakage.summary(images, own, known)


def _calibrated(start: Any, examples: Any) -> Any:
    """A random encoder with the BatchNorm statistics of the training images."""
    from lvmmed_jax import encoders

    pairs = zip(examples.images, examples.is_test, strict=True)
    training = [image for image, test in pairs if not test]
    return encoders.calibrate(start, encoders.Resized(training, start.image_size))


def table(result: dict[str, Any]) -> str:
    """The results as text: one line a task, with 95 % intervals."""
    from lvmmed_jax.downstream import testing

    lines, several = [], len({row["data"] for row in result["results"]}) > 1
    names = [_name(row, several) for row in result["results"]]
    width = max(40, *map(len, names))
    for measured, row in zip(names, result["results"], strict=True):
        line = f"{measured:<{width}} {row['metric']:<8}"
        for name in ("random", "pretrained", "difference"):
            if name in row:
                line += "  {}: {value:.3f} [{low:.3f}, {high:.3f}]".format(
                    name, **row[name]
                )
        line += f"  ({row['num_train']} train, {row['num_test']} test)"
        lines.append(f"{line}  {testing.leakage_words(row['leakage'])}")
    for one in result["skipped"]:
        lines.append(f"skipped {one['data']}: {one['reason']}")
    return "\n".join(lines)


def _name(row: dict[str, Any], several: bool) -> str:
    """What a row measured."""
    words = [row["data"]] if several else []
    words += filter(None, (row["task"], row["target"], row["class"]))
    if "labels" in row:
        words.append(row["labels"])
    return " ".join(words)


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="lvmmed evaluate",
        description=__doc__,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "model",
        nargs="+",
        help="a work folder, one of its checkpoints, or random:NAME; several of "
        "`finetune` are runs of one setting with several seeds",
    )
    parser.add_argument(
        "--data", required=True, nargs="+", help="labelled images, see below"
    )
    parser.add_argument(
        "--part",
        choices=("test", "val"),
        default="test",
        help="which folder beside train/ to measure on; val/ is for choosing settings",
    )
    parser.add_argument(
        "--task",
        default="knn,linear_probe",
        help="knn, linear_probe (classes, labels, and masks where the data has them); "
        "of what `finetune` made: classification or segmentation",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="of the bootstrap, and of a split for probes",
    )
    parser.add_argument(
        "--few-labels",
        nargs="?",
        const=_FEW,
        default="",
        metavar="N,N%",
        help="classes from few labels too: shares and images a class (default: "
        f"{_FEW})".replace("%", "%%"),
    )
    parser.add_argument(
        "--seeds",
        type=int,
        help="with which few labels are drawn, from --seed on (default: 5)",
    )
    parser.add_argument(
        "--against",
        type=pathlib.Path,
        metavar="SHARDS",
        help="says beside each score how many test images are among these",
    )
    parser.add_argument(
        "--salt-file",
        type=pathlib.Path,
        metavar="F",
        help="that of the shards (default: $XDG_CONFIG_HOME/lvmmed/salt)",
    )
    tuned = parser.add_argument_group("of what `finetune` made")
    tuned.add_argument(
        "--baseline",
        nargs="+",
        default=[],
        metavar="MODEL",
        help="runs to compare with, paired on the same images",
    )
    tuned.add_argument(
        "--protocol",
        choices=("own", "official"),
        default="own",
        help="official: what the paper's code measures (masks at the network's size, "
        "all classes as one); printed, not kept",
    )
    tuned.add_argument(
        "--flips", action="store_true", help="predict the mean over mirror images"
    )
    tuned.add_argument(
        "--splits",
        type=pathlib.Path,
        metavar="FILE",
        help="that of the runs (default: splits.json in each work folder)",
    )
    tuned.add_argument(
        "--external",
        action="store_true",
        help="DATA is not what they were trained on: all of it is tested on, and "
        "nothing is written",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args(argv)
    if arguments.seeds is not None and arguments.seeds < 1:
        parser.error(f"--seeds {arguments.seeds}: at least 1")
    _check(arguments, parser)
    return arguments


def _check(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Refuses options that the task would not hear."""
    if arguments.task in _FINE_TUNED:
        if len(arguments.data) > 1 or arguments.few_labels or arguments.seeds:
            parser.error(
                f"--task {arguments.task} takes one data set, and few labels while it "
                "is trained (finetune --data.labels)"
            )
        if arguments.external and (arguments.splits or arguments.part == "val"):
            parser.error("--external tests on all of DATA: not with --splits or --part")
        return
    given = arguments.baseline, arguments.flips, arguments.splits, arguments.external
    if len(arguments.model) > 1 or any(given) or arguments.protocol != "own":
        parser.error(
            "several models, --baseline, --flips, --splits, --external and --protocol "
            f"are for --task {' or '.join(_FINE_TUNED)}"
        )


def _write(
    workdir: pathlib.Path, result: dict, by_image: list[dict], pictures: dict | None
) -> None:
    """evaluation.json, last, and what the report draws; what is older goes."""
    import numpy as np

    from lvmmed_jax import files

    path, overlays = workdir / "evaluation.json", workdir / "pictures/evaluation.npz"
    overlays.unlink(missing_ok=True)
    if pictures is not None:
        files.write_arrays(overlays, pictures)
    arrays = {
        f"{name}_{row}": values.astype(np.int32 if name == "groups" else np.float32)
        for row, found in enumerate(by_image)
        for name, values in found.items()
    }
    files.write_arrays(workdir / "evaluation.npz", arrays)
    files.write_json(path, result)
