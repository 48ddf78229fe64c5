"""A study as jobs: which runs there are, where each lives, which part does which."""

import collections
import pathlib
from typing import Any, NamedTuple

from lvmmed_jax import config as configs
from lvmmed_jax import config_files
from lvmmed_jax.study import grid

RUNS, TRIALS = "runs", "tuning"  # folders of full runs, of those that choose a setting


class Job(NamedTuple):
    """A run to train and to measure.

    Attributes:
      variant: of the study.
      seed: of the run.
      folder: its work folder.
      config_name: what `config_files.load` reads.
      overrides: "section.key" -> value.
      evaluation: how it is measured.
    """

    variant: str
    seed: int
    folder: pathlib.Path
    config_name: str
    overrides: dict[str, Any]
    evaluation: grid.Evaluation

    @property
    def config(self) -> configs.Config:
        """The run's settings."""
        return config_files.load(self.config_name, self.overrides)

    @property
    def is_trial(self) -> bool:
        """Whether it is one of those that choose a setting."""
        return self.folder.parent.name == TRIALS

    @property
    def name(self) -> str:
        """What the user sees, such as `runs/simclr-0`."""
        return f"{self.folder.parent.name}/{self.folder.name}"


class Part(NamedTuple):
    """What one of several processes does.

    Attributes:
      tuned: variants whose setting it chooses; none where nothing is tuned.
      runs: (variant, seed) of its full runs, in the order in which they are made.
    """

    tuned: tuple[str, ...]
    runs: tuple[tuple[str, int], ...]


def part(study: grid.Study, index: int, count: int) -> Part:
    """The part `index`, from 0, of `count`; together they are the study.

    All seeds of the first come before those of the second, so that a study that is
    stopped has whole seeds. A tuned variant is whole in one part: no part waits for
    another.
    """
    names, pairs = list(study.variants), []
    for number, seed in enumerate(study.seeds):
        pairs += [
            (name, seed)
            for place, name in enumerate(names)
            if (place if study.tuning else number * len(names) + place) % count == index
        ]
    tuned = tuple(dict.fromkeys(name for name, _ in pairs)) if study.tuning else ()
    return Part(tuned, tuple(pairs))


def full(
    study: grid.Study,
    workdir: pathlib.Path,
    variant: str,
    seed: int,
    chosen: dict[str, Any],
) -> Job:
    """A full run.

    Args:
      study: with that variant and seed.
      workdir: of the study.
      variant: a name.
      seed: of the run.
      chosen: by the tuning, "section.key" -> value.
    """
    overrides = {**study.overrides, **study.variants[variant], **chosen}
    return Job(
        variant,
        seed,
        workdir / RUNS / f"{variant}-{seed}",
        study.config,
        {**overrides, "train.seed": seed},
        study.evaluation,
    )


def trials(study: grid.Study, workdir: pathlib.Path, variant: str) -> dict[float, Job]:
    """The short runs that a setting is chosen by: value -> run."""
    tuning = study.tuning
    own = {**study.overrides, **study.variants[variant]}
    config = config_files.load(study.config, own)
    section, key = tuning.key.split(".")
    now, steps = getattr(getattr(config, section), key), config.train.steps
    changes = {
        "train.steps": max(1, round(tuning.share * steps)),
        "train.seed": tuning.seed,
    }
    values = [float(f"{now * factor:.4g}") for factor in tuning.factors]
    return {
        value: Job(
            variant,
            tuning.seed,
            workdir / TRIALS / f"{variant}-{value:g}",
            study.config,
            {**own, tuning.key: value, **changes},
            tuning.evaluation,
        )
        for value in values
    }


def check(study: grid.Study) -> None:
    """Refuses a study with a run that cannot be.

    Raises:
      ValueError: names the variant.
    """
    grid.validate(study)
    for name, own in study.variants.items():
        try:
            config = config_files.load(study.config, {**study.overrides, **own})
            tried = trials(study, pathlib.Path(), name) if study.tuning else {}
            for each in (config, *(job.config for job in tried.values())):
                configs.validate(each)
        except (ValueError, AttributeError, TypeError) as error:
            raise ValueError(f"variant {name!r}: {error}") from error


def by_images(study: grid.Study) -> list[list[str]]:
    """The variants in groups that see the same images in the same order.

    Batches depend on the seed and on these settings alone (tested on shards), so that
    there is one group unless variants differ in them.
    """
    groups: dict[Any, list[str]] = collections.defaultdict(list)
    for name, own in study.variants.items():
        config = config_files.load(study.config, {**study.overrides, **own})
        data = config.data
        key = (
            data.global_batch,
            data.balance,
            data.weights,
            data.most_repeats,
            config.matching.graph_size,
            config.train.steps,
        )
        groups[key].append(name)
    return list(groups.values())
