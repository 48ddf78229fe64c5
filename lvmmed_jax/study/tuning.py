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
      Nothing to replace where nothing is tuned; None where a short run is missing.
    """
    if study.tuning is None:
        return {}
    found = scores(study, workdir, variant)
    if None in found.values():
        return None
    return {study.tuning.key: max(found, key=found.get)}


def scores(
    study: grid.Study, workdir: pathlib.Path, variant: str
) -> dict[float, float | None]:
    """Value of the setting -> its score, None where the run is not finished."""
    return {
        value: score(job.folder) if _is_done(job) else None
        for value, job in jobs.trials(study, workdir, variant).items()
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
    found, taken = scores(study, workdir, variant), chosen(study, workdir, variant)
    path = workdir / jobs.TRIALS / f"{variant}.json"
    tried = [{"value": value, "score": each} for value, each in found.items()]
    content = {"key": study.tuning.key, "tried": tried, "chosen": taken}
    files.write_json(path, content)
    return path


def _is_done(job: jobs.Job) -> bool:
    return finished.is_trained(job) and finished.is_evaluated(job)
