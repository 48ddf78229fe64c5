"""`evaluate`: probes of a frozen encoder, beside its own random start."""

import argparse
import json
import pathlib
import sys
import time
from typing import Any

_EXAMPLE = """example:
  python run.py evaluate runs/first --data my/class_folders --task knn,linear_probe

DATA is a folder of class folders (CLASS/*.png), a folder with images/ and labels/
(masks of equal names), or `packaged:mni`.
"""


def main(argv: list[str]) -> int:
    """Parses, evaluates, prints; returns the exit code."""
    arguments = _parse(argv)
    result = run(
        arguments.model,
        data=arguments.data,
        tasks=tuple(arguments.task.split(",")),
        seed=arguments.seed,
    )
    print(json.dumps(result) if arguments.json else table(result))
    return 0


def run(model: str, *, data: str, tasks: tuple[str, ...], seed: int) -> dict[str, Any]:
    """Evaluates and, where `model` is a work folder, writes evaluation.json there."""
    import numpy as np

    from data_pipelines import labelled
    from lvmmed_jax import encoders, evaluation

    unknown = [task for task in tasks if task not in evaluation.TASKS]
    if unknown:
        raise ValueError(
            f"unknown --task {unknown[0]!r}; known: {', '.join(evaluation.TASKS)}"
        )
    began = time.monotonic()
    config = encoders.run_config(model)
    examples = labelled.load(data, seed=seed)
    start = encoders.load(model) if config is None else encoders.random(config)
    print(f"evaluating on {len(examples.images)} images", file=sys.stderr)
    training = [
        encoders.resize(image, start.image_size)
        for image, test in zip(examples.images, examples.is_test, strict=True)
        if not test
    ]
    models = {"random": encoders.calibrate(start, np.stack(training))}
    if config is not None:
        models["pretrained"] = encoders.load(model)
    found = evaluation.evaluate(models, examples, tasks, seed=seed)
    result = {
        "model": model,
        "data": data,
        "input_size": start.image_size,
        "seconds": round(time.monotonic() - began, 1),
        "results": found.results,
    }
    workdir = encoders.work_folder(model)
    if workdir is not None:
        _write(workdir, result, found.pictures)
    return result


def table(result: dict[str, Any]) -> str:
    """The results as text: one line a task, with 95 % intervals."""
    lines = []
    for row in result["results"]:
        what = " ".join(filter(None, (row["task"], row["target"], row["class"])))
        line = f"{what:<40} {row['metric']:<8}"
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
    parser.add_argument("--data", required=True, help="labelled images, see below")
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
