"""Work folders as runs leave them, made up."""

import json
import pathlib

import numpy as np
from metric_lines import make_metrics

from lvmmed_jax.report import runs


def make_result(task, value, difference, class_name=None):
    def around(centre, half):
        return {"value": centre, "low": centre - half, "high": centre + half}

    return {
        "task": task,
        "target": "plane" if class_name is None else "tissue",
        "metric": "accuracy" if class_name is None else "dice",
        "class": class_name,
        "num_train": 675,
        "num_test": 225,
        "random": around(value, 0.05),
        "pretrained": around(value + difference, 0.045),
        "difference": around(difference, 0.04),
    }


def make_evaluation():
    return {
        "model": "runs/quickstart",
        "data": "shards",
        "input_size": 64,
        "seconds": 12.5,
        "results": [
            make_result("knn", 0.72, 0.09),
            make_result("linear_probe", 0.74, 0.02),
            make_result("linear_probe", 0.61, -0.06, "grey matter"),
            make_result("linear_probe", 0.66, 0.08, "white matter"),
        ],
    }


def blobs(rng, count, side):
    """Smooth grey images, so that a person sees where the pictures are."""
    grid = np.linspace(-1, 1, side)
    row, column = np.meshgrid(grid, grid, indexing="ij")
    image = np.zeros((count, side, side))
    for _ in range(6):
        y, x, width = rng.uniform(-0.7, 0.7, (3, count, 1, 1))
        width = 0.1 + width**2
        image += np.exp(-((row - y) ** 2 + (column - x) ** 2) / width)
    return (255 * image / image.max(axis=(1, 2), keepdims=True)).astype(np.uint8)


def make_training_pictures(rng):
    side, grid, cells = 64, 4, 16
    views = np.stack([blobs(rng, 8, side)] * 2, axis=1)
    views[:, 1] = np.roll(views[:, 1], 8, axis=-1)
    centres = (np.arange(grid) + 0.5) / grid
    locations = np.stack(np.meshgrid(centres, centres, indexing="ij"), axis=-1)
    locations = np.broadcast_to(locations, (8, 2, grid, grid, 2))
    order = np.argsort(rng.random((8, cells)), axis=1)[:, :10]
    affinity = rng.normal(0.1, 0.15, (16, 16)) + 0.5 * np.eye(16)
    found = np.eye(16, dtype=int)[[1, 0, 2, 4, 3, *range(5, 16)]]
    return {
        "contact": np.repeat(blobs(rng, 24, side)[..., None], 3, axis=-1),
        "contact_modality": np.array(["MR", "CT", "US", "XR"] * 6),
        "views": np.repeat(views[..., None], 3, axis=-1),
        "locations": locations,
        "matches_location": np.stack([order, order], axis=-1),
        "matches_feature": np.stack([order, order[:, ::-1]], axis=-1),
        "vertex_affinity": affinity,
        "matching": found,
    }


def make_evaluation_pictures(rng):
    images = blobs(rng, 3, 72)
    images[:, 60:] = 0  # padding below
    truth = np.digitize(images, [90, 170])
    return {
        "images": images,
        "truth": truth,
        "random": np.where(rng.random(truth.shape) < 0.3, 0, truth),
        "pretrained": np.where(rng.random(truth.shape) < 0.1, 0, truth),
        "class_names": np.array(["background", "grey matter", "white matter"]),
    }


def make_run(lines, name="run", **changes):
    """A run that was read, without a folder."""
    fields = {"config": {}, "about": {}, "evaluation": None}
    fields |= {"training_pictures": {}, "evaluation_pictures": {}}
    fields |= changes
    return runs.Run(name, pathlib.Path(name), tuple(lines), 0, **fields)


def write_metrics(workdir, lines):
    workdir.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    (workdir / "metrics.jsonl").write_text(text)
    return workdir


def make_workdir(workdir, seed=0):
    """A whole work folder, every optional file in it."""
    rng = np.random.default_rng(seed)
    write_metrics(workdir, make_metrics(seed=seed))
    about = {
        "versions": {"jax": "0.10.2", "flax": "0.12.8"},
        "devices": "8 x cpu",
        "data": {"records": 900, "modalities": {"MR": 430, "CT": 470}, "skipped": 61},
        "parameters": 700000,
        "command": "python run.py pretrain quickstart --data shards",
    }
    config = {"train": {"num_steps": 300, "seed": seed}, "matching": {"sigma": 1.0}}
    for name, content in (
        ("config", config),
        ("run", about),
        ("evaluation", make_evaluation()),
    ):
        (workdir / f"{name}.json").write_text(json.dumps(content))
    (workdir / "pictures").mkdir()
    np.savez(workdir / "pictures" / "pretrain.npz", **make_training_pictures(rng))
    np.savez(workdir / "pictures" / "evaluation.npz", **make_evaluation_pictures(rng))
    return workdir
