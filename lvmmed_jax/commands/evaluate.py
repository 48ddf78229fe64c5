"""`evaluate`: probes of a frozen encoder, beside its own random start."""

import argparse
import json
import pathlib
import sys
import time
from typing import Any

_EXAMPLE = """example:
  python run.py evaluate runs/first --data my/class_folders my/masks --task knn

DATA is a folder of class folders (CLASS/*.png), a folder with images/ and labels/
(masks of equal names, NIfTI volumes too), a CSV (path,label[,group][,split]), an .npz
as MedMNIST's, or `packaged:mni`. Where a folder holds such a layout in each of
train/ and test/ (and val/, see --part), that is the split; else a quarter is tested on.
"""


def main(argv: list[str]) -> int:
    """Parses, evaluates, prints; returns the exit code."""
    arguments = _parse(argv)
    result = run(
        arguments.model,
        data=arguments.data,
        tasks=tuple(arguments.task.split(",")),
        seed=arguments.seed,
        part=arguments.part,
    )
    print(json.dumps(result) if arguments.json else table(result))
    return 0


def run(
    model: str, *, data: list[str], tasks: tuple[str, ...], seed: int, part: str
) -> dict[str, Any]:
    """Evaluates and, where `model` is a work folder, writes evaluation.json there."""
    from data_pipelines import labelled
    from lvmmed_jax import encoders, evaluation

    unknown = [task for task in tasks if task not in evaluation.TASKS]
    if unknown:
        raise ValueError(
            f"unknown --task {unknown[0]!r}; known: {', '.join(evaluation.TASKS)}"
        )
    began = time.monotonic()
    config = encoders.run_config(model)
    start = encoders.load(model) if config is None else encoders.random(config)
    pretrained = None if config is None else encoders.load(model)
    rows, pictures = [], None
    for name in data:
        examples = labelled.load(name, seed, part)
        print(f"evaluating on {len(examples.images)} images", file=sys.stderr)
        models = {"random": _calibrated(start, examples)}
        if pretrained is not None:
            models["pretrained"] = pretrained
        found = evaluation.evaluate(models, examples, tasks, seed=seed)
        rows += [{"data": pathlib.Path(name).name, **row} for row in found.results]
        pictures = pictures or found.pictures
    result = {
        "model": model,
        "data": " ".join(data),
        "part": part,
        "input_size": start.image_size,
        "seconds": round(time.monotonic() - began, 1),
        "results": rows,
    }
    workdir = encoders.work_folder(model)
    if workdir is not None:
        result["step"] = encoders.step(workdir)  # a model card asks whose scores it has
        _write(workdir, result, pictures)
    return result


def _calibrated(start: Any, examples: Any) -> Any:
    """A random encoder with the BatchNorm statistics of the training images."""
    import numpy as np

    from lvmmed_jax import encoders

    pairs = zip(examples.images, examples.is_test, strict=True)
    training = [
        encoders.resize(image, start.image_size) for image, test in pairs if not test
    ]
    return encoders.calibrate(start, np.stack(training))


def table(result: dict[str, Any]) -> str:
    """The results as text: one line a task, with 95 % intervals."""
    lines, several = [], len({row["data"] for row in result["results"]}) > 1
    for row in result["results"]:
        words = [row["data"]] if several else []
        words += filter(None, (row["task"], row["target"], row["class"]))
        line = f"{' '.join(words):<40} {row['metric']:<8}"
        for name in ("random", "pretrained", "difference"):
            if name in row:
                line += "  {}: {value:.3f} [{low:.3f}, {high:.3f}]".format(
                    name, **row[name]
                )
        lines.append(f"{line}  ({row['num_train']} train, {row['num_test']} test)")
    return "\n".join(lines)


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="lvmmed evaluate",
        description=__doc__,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "model", help="a work folder, one of its checkpoints, or random:NAME"
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
        help="knn, linear_probe (classes, and masks where the data has them)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of split and bootstrap")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser.parse_args(argv)


def _write(workdir: pathlib.Path, result: dict, pictures: dict | None) -> None:
    """evaluation.json and its overlays, for the report; older overlays go."""
    from lvmmed_jax import files

    overlays = workdir / "pictures" / "evaluation.npz"
    overlays.unlink(missing_ok=True)
    files.write_json(workdir / "evaluation.json", result)
    if pictures is not None:
        files.write_arrays(overlays, pictures)
