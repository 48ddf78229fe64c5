"""study.json: what a study is and which data it reads, for resuming and its report."""

import dataclasses
import pathlib
from typing import Any, NamedTuple

from data_pipelines import manifest
from lvmmed_jax import files
from lvmmed_jax.study import finished, grid, jobs
from lvmmed_jax.weights import reading

FILE = "study.json"
_LOCK = ".study.lock"
_SHARDS = {"data": "--data", "held_out": "--held-out"}


class Inputs(NamedTuple):
    """The data of a study.

    Attributes:
      data: shards to train on.
      held_out: shards to measure on while training, or None.
      labelled: folder of the labelled data sets, or None.
    """

    data: pathlib.Path
    held_out: pathlib.Path | None
    labelled: pathlib.Path | None

    def place(self, name: str) -> str:
        """A data set as `evaluate` takes it: packaged by name, a folder by its path.

        Raises:
          FileNotFoundError: there is no such folder.
        """
        if name.startswith("packaged:"):
            return name
        path = (self.labelled or pathlib.Path()) / name
        if path.exists():
            return str(path)
        where = (
            f"{self.labelled} (--labelled)" if self.labelled else "--labelled FOLDER"
        )
        raise FileNotFoundError(f"no {name} in {where}, which the study measures on")


def write(study: grid.Study, workdir: pathlib.Path, inputs: Inputs) -> None:
    """Writes down the study; variants and seeds of an earlier call are kept.

    Raises:
      FileNotFoundError: data that it needs is not there.
      ValueError: the folder holds a study on other shards.
    """
    for name in study.labelled:
        inputs.place(name)
    hashes = {name: _digest(getattr(inputs, name)) for name in _SHARDS}
    workdir.mkdir(parents=True, exist_ok=True)
    with files.locked(workdir / _LOCK, wait=True):
        before = finished.read_json(workdir / FILE)
        for name, flag in _SHARDS.items():
            if before and before["shards"][name] != hashes[name]:
                raise ValueError(
                    f"{workdir} holds a study on other shards than {flag} names: use "
                    "another --workdir, or the shards of that study"
                )
        content = {**_merged(before, study), "shards": hashes}
        files.write_json(workdir / FILE, content)


def _merged(before: dict[str, Any] | None, study: grid.Study) -> dict[str, Any]:
    if before:
        study = dataclasses.replace(
            study,
            variants=before["variants"] | study.variants,
            seeds=tuple(sorted({*before["seeds"], *study.seeds})),
        )
    return dataclasses.asdict(study) | {"same_images": jobs.by_images(study)}


def _digest(shards: pathlib.Path | None) -> str | None:
    """Of the manifest, which has those of all shards."""
    if shards is None:
        return None
    manifest.read(shards)  # refuses what is no folder of shards
    return reading.sha256(shards / manifest.NAME)
