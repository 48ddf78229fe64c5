"""The setting of a variant that its short runs choose, and the file that says so."""

import pathlib
import statistics
from typing import Any

from lvmmed_jax import files
from lvmmed_jax.study import finished, grid, jobs


def chosen(
    study: grid.Study, workdir: pathlib.Path, variant: str
) -> dict[str, Any] | None:
    """What the full runs of a variant take: "section.key" -> value.

    Returns:
      Nothing to replace where nothing is tuned; None where a short run is missing, or
      all of them diverged.
    """
    if study.tuning is None:
        return {}
    trials = jobs.trials(study, workdir, variant)
    found = {x: each for x, each in scores(trials).items() if each is not None}
    if not found or not all(map(finished.is_done, trials.values())):
        return None
    return {study.tuning.key: max(found, key=found.get)}


def scores(trials: dict[float, jobs.Job]) -> dict[float, float | None]:
    """Value of the setting -> its score, None where the run has none."""
    return {
        value: None
        if finished.is_diverged(job) or not finished.is_done(job)
        else score(job.folder)
        for value, job in trials.items()
    }


def score(folder: pathlib.Path) -> float:
    """The mean over data sets of the mean over what was measured on each."""
    rows = finished.read_json(folder / "evaluation.json")["results"]
    by_data: dict[str, list[float]] = {}
    for row in rows:
        by_data.setdefault(row["data"], []).append(row["pretrained"]["value"])
    return statistics.fmean(map(statistics.fmean, by_data.values()))


def write(study: grid.Study, workdir: pathlib.Path, variant: str) -> pathlib.Path:
    """Writes down what was tried and what was taken; returns the file."""
    trials = jobs.trials(study, workdir, variant)
    tried = [
        {"value": x, "score": each, "diverged": finished.is_diverged(trials[x])}
        for x, each in scores(trials).items()
    ]
    path = workdir / jobs.TRIALS / f"{variant}.json"
    path.parent.mkdir(exist_ok=True)
    taken = chosen(study, workdir, variant)
    files.write_json(path, {"key": study.tuning.key, "tried": tried, "chosen": taken})
    return path
