"""What of a study is done, read from the folders of its runs alone."""

import json
import pathlib
from typing import Any

from lvmmed_jax import config as configs
from lvmmed_jax import files
from lvmmed_jax.study import grid, jobs
from lvmmed_jax.train import writer

DIVERGED = "diverged.json"  # in a run's folder


def is_trained(job: jobs.Job) -> bool:
    """Whether the run has come to its end.

    Raises:
      ValueError: the folder holds a run of other settings.
    """
    found = read_json(job.folder / "config.json")
    if found is None:
        return False
    changed = configs.differences(configs.as_json(job.config), found)
    if changed:
        raise ValueError(
            f"{job.folder} holds a run with other settings ({'; '.join(changed)}): "
            "give another --workdir, or the study that it was made with"
        )
    # the last that a run writes
    return (job.folder / "pictures" / "pretrain.npz").is_file()


def is_done(job: jobs.Job) -> bool:
    """Whether nothing is left to do for the run."""
    return is_diverged(job) or (is_trained(job) and is_evaluated(job))


def is_diverged(job: jobs.Job) -> bool:
    """Whether the run came to no end, as the same seed would again.

    The value of a short one is not taken; a full one is a result that is told. Without
    its folder it is made anew.
    """
    return (job.folder / DIVERGED).is_file()


def write_diverged(job: jobs.Job, reason: str) -> None:
    """Notes in the run's folder that its loss was not finite any more."""
    files.write_json(job.folder / DIVERGED, {"reason": reason})


def is_evaluated(job: jobs.Job) -> bool:
    """Whether the run has been measured as the study asks."""
    found = read_json(job.folder / "evaluation.json")
    return found is not None and _asked(found) == wanted(job.evaluation)


def wanted(evaluation: grid.Evaluation) -> dict[str, Any]:
    """What of evaluation.json says that it is this one."""
    return {
        "data": [pathlib.PurePath(name).name for name in evaluation.data],
        "part": evaluation.part,
        "tasks": list(evaluation.tasks),
        "few_labels": evaluation.few_labels,
        "num_seeds": evaluation.num_seeds if evaluation.few_labels else None,
    }


def _asked(found: dict[str, Any]) -> dict[str, Any]:
    kept = {key: found.get(key) for key in ("part", "tasks", "few_labels", "num_seeds")}
    return {"data": found.get("data_sets"), **kept}


def seconds(job: jobs.Job) -> float | None:
    """How long a finished run took, measured too; None: it is not finished.

    0 of one that diverged: it says nothing about the others.
    """
    if is_diverged(job):
        return 0.0
    evaluation = read_json(job.folder / "evaluation.json")
    last = writer.latest(writer.read(job.folder / writer.FILE))
    if evaluation is None or "seconds" not in last:
        return None
    return last["seconds"] + evaluation["seconds"]


def read_json(path: pathlib.Path) -> Any:
    """The content of a file; None where there is none.

    Raises:
      ValueError: it is damaged.
    """
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}): delete it") from error
