"""results.csv of a study: a row for every run and measure, from the runs' folders."""

import csv
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

from lvmmed_jax import files
from lvmmed_jax.study import finished, jobs
from lvmmed_jax.train import writer

FILE = "results.csv"
_LOCK = ".results.lock"
_RUN = ("stage", "outcome", "variant", "seed", "steps", "images", "seconds")
_MEASURE = ("data", "part", "task", "target", "class", "labels", "metric")
_SIDES = {"random": "random", "value": "pretrained", "difference": "difference"}
_COUNTS = ("num_train", "num_test")
COLUMNS = (
    *_RUN,
    "settings",
    *_MEASURE,
    *(f"{side}{end}" for side in _SIDES for end in ("", "_low", "_high")),
    *_COUNTS,
)


def write(workdir: pathlib.Path, all_jobs: Iterable[jobs.Job]) -> pathlib.Path:
    """Writes the table of all that is there; returns its path.

    It is made anew from the folders, whole and under a lock: no kill and no other part
    leaves a row out, twice or half.

    Args:
      workdir: of the study.
      all_jobs: of all parts.
    """
    path = workdir / FILE
    with (
        files.locked(workdir / _LOCK, wait=True),
        files.replacing(path) as partial,
        partial.open("w", newline="") as file,
    ):
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        for job in all_jobs:
            table.writerows(_rows(job))
    return path


def _rows(job: jobs.Job) -> Iterator[dict[str, Any]]:
    """Those of a run: one where nothing is measured, none where it is not there."""
    last = writer.latest(writer.read(job.folder / writer.FILE))
    diverged = finished.is_diverged(job)
    if not last or not (diverged or finished.is_trained(job)):
        return
    run = {
        "stage": "tuning" if job.is_trial else "full",
        "outcome": "diverged" if diverged else "trained",
        "variant": job.variant,
        "seed": job.seed,
        "steps": last["step"],
        "images": last["images"],
        "seconds": last["seconds"],
        "settings": " ".join(f"{key}={value}" for key, value in job.overrides.items()),
    }
    if diverged or not finished.is_evaluated(job):
        yield run
        return
    evaluation = finished.read_json(job.folder / "evaluation.json")
    for row in evaluation["results"]:
        measured = {key: row.get(key) for key in (*_MEASURE, *_COUNTS)}
        measured["part"] = evaluation["part"]
        for name, side in _SIDES.items():
            measured[name] = row[side]["value"]
            measured |= {f"{name}_{end}": row[side][end] for end in ("low", "high")}
        yield {**run, **measured}
