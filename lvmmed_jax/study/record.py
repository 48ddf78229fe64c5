"""study.json: what a study is and which data it reads, for resuming and its report."""

import dataclasses
import pathlib
from typing import Any, NamedTuple

from data_pipelines import manifest
from lvmmed_jax import config as configs
from lvmmed_jax import files
from lvmmed_jax.study import finished, grid, jobs
from lvmmed_jax.weights import reading

FILE = "study.json"
_LOCK = ".study.lock"
_SHARDS = {"data": "--data", "held_out": "--held-out"}
_SHARED = ("config", "tuning")  # by all runs of a folder, and overrides


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


def write(study: grid.Study, workdir: pathlib.Path, inputs: Inputs) -> grid.Study:
    """Writes down the study; variants and seeds of an earlier call are kept.

    Returns:
      The study of the folder: this one, with what earlier calls made besides.

    Raises:
      FileNotFoundError: data that it needs is not there.
      ValueError: the folder holds a study on other shards or of other settings.
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
        whole = _merged(before, study, workdir)
        files.write_json(workdir / FILE, {**_content(whole), "shards": hashes})
    return whole


def _content(study: grid.Study) -> dict[str, Any]:
    return dataclasses.asdict(study) | {"same_images": jobs.by_images(study)}


def _merged(
    before: dict[str, Any] | None, study: grid.Study, workdir: pathlib.Path
) -> grid.Study:
    """The study with variants and seeds of before; what all runs share is the same."""
    if not before:
        return study
    now = configs.as_json(study)
    changed = [name for name in _SHARED if now[name] != before[name]]
    changed += _differences(now["overrides"], before["overrides"])
    both = now["variants"].keys() & before["variants"].keys()
    changed += [
        f"variant {name}"
        for name in sorted(both)
        if now["variants"][name] != before["variants"][name]
    ]
    if changed:
        raise ValueError(
            f"{workdir} holds a study of other settings ({', '.join(changed)}): use "
            "another --workdir, or the study that it was made with"
        )
    return dataclasses.replace(
        study,
        variants=before["variants"] | study.variants,
        seeds=tuple(sorted({*before["seeds"], *study.seeds})),
    )


def _differences(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """Settings that are not the same, one that is not there being the config's."""
    return [
        f"{key}: {ours.get(key, 'unset')}, there {theirs.get(key, 'unset')}"
        for key in sorted(ours.keys() | theirs.keys())
        if ours.get(key) != theirs.get(key)
    ]


def _digest(shards: pathlib.Path | None) -> str | None:
    """Of the manifest, which has those of all shards."""
    if shards is None:
        return None
    manifest.read(shards)  # refuses what is no folder of shards
    return reading.sha256(shards / manifest.NAME)
