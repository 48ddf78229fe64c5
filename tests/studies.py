"""A small study, and runs of it as training and measuring leave them, made up."""

import json

import numpy as np
import tiny_runs

from lvmmed_jax import config as configs
from lvmmed_jax.study import grid, running

TUNING = grid.Tuning(
    grid.Evaluation(("brain",), tasks=("knn",), part="val"), factors=(0.5, 1.0, 2.0)
)


def make(folder, **changes):
    """Two variants, two seeds, one data set."""
    fields = {
        "config": str(tiny_runs.write_config(folder)),
        "variants": {"matching": {}, "simclr": {"train.method": "simclr"}},
        "evaluation": grid.Evaluation(("brain", "cells")),
        "baseline": "matching",
        "seeds": (0, 1),
    }
    return grid.Study(**(fields | changes))


def train(job):
    """Leaves what `pretrain` leaves of a run that came to its end."""
    job.folder.mkdir(parents=True, exist_ok=True)
    steps = job.config.train.steps
    lines = [
        {
            "step": step,
            "images": 32 * step,
            "seconds": 2.0 * step,
            "retrieval_accuracy": 0.1 * job.seed + 0.01 * step,
            "embedding_rank": 8.0,
        }
        for step in (0, steps // 2, steps)
    ]
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    (job.folder / "metrics.jsonl").write_text(text)
    (job.folder / "config.json").write_text(json.dumps(configs.as_json(job.config)))
    (job.folder / "pictures").mkdir(exist_ok=True)
    np.savez(job.folder / "pictures" / "pretrain.npz")
    return 0


def value_of(job):
    """What a run measures: 0.006 is the best rate, seeds and variants count."""
    rate = job.config.optimizer.learning_rate
    better = 0.1 if job.variant == "simclr" else 0.0
    return 0.6 + better + 0.02 * job.seed % 0.04 - abs(np.log(rate / 0.006)) / 50


def evaluate(job, value=value_of, num_images=200):
    """Leaves what `evaluate` leaves, of 200 test images."""
    results, arrays = [], {}
    for data in job.evaluation.data:
        row = {"data": data, "task": "knn", "target": "kind", "metric": "accuracy"}
        row |= {"class": None, "num_train": 600, "num_test": num_images}
        centres = {"pretrained": value(job), "random": 0.5 + 0.01 * job.seed}
        for name, centre in centres.items():
            right = round(centre * num_images)
            arrays[f"{name}_{len(results)}"] = np.arange(num_images) < right
            row[name] = _around(right / num_images)
        row["difference"] = _around(row["pretrained"]["value"] - row["random"]["value"])
        results.append(row)
    asked = job.evaluation
    content = {
        "part": asked.part,
        "data_sets": list(asked.data),
        "tasks": list(asked.tasks),
        "few_labels": asked.few_labels,
        "num_seeds": asked.num_seeds if asked.few_labels else None,
        "seconds": 3.0,
        "results": results,
    }
    np.savez(job.folder / "evaluation.npz", **arrays)
    (job.folder / "evaluation.json").write_text(json.dumps(content))


def _around(centre):
    return {"value": centre, "low": centre - 0.05, "high": centre + 0.05}


def actions(done=None):
    """Made-up training and measuring; `done` takes the names of what was called."""
    done = [] if done is None else done

    def noted(word, function):
        def act(job):
            done.append((word, job.name))
            return function(job)

        return act

    return running.Actions(noted("train", train), noted("evaluate", evaluate), str)
