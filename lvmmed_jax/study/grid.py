"""What a study is: variants of a run, seeds, a way to measure, a way to tune."""

import dataclasses
import re
from typing import Any

RANDOM = "random"  # the encoders before training; no variant of that name
_NAME = re.compile(r"[a-z0-9][a-z0-9_.+]*")  # of a folder, with no "-" before the seed
_SEED = "train.seed"


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """How every run is measured, as `evaluate` does it.

    Attributes:
      data: data sets, folders below --labelled, or `packaged:mni`.
      tasks: of `measuring.TASKS`.
      part: "test", or "val" to choose settings.
      few_labels: budgets, such as "5%,10"; empty: all labels only.
      num_seeds: with which few labels are drawn.
    """

    data: tuple[str, ...]
    tasks: tuple[str, ...] = ("knn", "linear_probe")
    part: str = "test"
    few_labels: str = ""
    num_seeds: int = 5


@dataclasses.dataclass(frozen=True)
class Tuning:
    """One setting of every variant is chosen by short runs, before the full ones.

    Attributes:
      evaluation: what is measured; the highest mean over its data sets wins.
      key: the setting.
      factors: times the variant's own value; as many runs for each variant.
      share: of the steps of a full run.
      seed: of these runs; better none of the study's.
    """

    evaluation: Evaluation
    key: str = "optimizer.learning_rate"
    factors: tuple[float, ...] = (1 / 3, 1.0, 3.0)
    share: float = 1 / 3
    seed: int = 100


@dataclasses.dataclass(frozen=True)
class Study:
    """A grid: every variant with every seed.

    Attributes:
      config: of all runs, a shipped name or a Python file.
      variants: name -> overrides, "section.key" -> value.
      evaluation: how each is measured.
      baseline: the variant, or `RANDOM`, that the others are compared with.
      seeds: of each variant.
      overrides: of all runs.
      tuning: what is chosen first, or None.
      knn_data: a data set for k-NN while training, as those of an evaluation.
    """

    config: str
    variants: dict[str, dict[str, Any]]
    evaluation: Evaluation
    baseline: str
    seeds: tuple[int, ...] = (0, 1, 2)
    overrides: dict[str, Any] = dataclasses.field(default_factory=dict)
    tuning: Tuning | None = None
    knn_data: str | None = None

    @property
    def evaluations(self) -> tuple[Evaluation, ...]:
        """That of the runs, and that of the tuning where there is one."""
        return (self.evaluation, *([self.tuning.evaluation] if self.tuning else []))

    @property
    def labelled(self) -> list[str]:
        """Every data set that anything is measured on."""
        names = [name for one in self.evaluations for name in one.data]
        return list(dict.fromkeys(filter(None, [*names, self.knn_data])))


def override(study: Study, overrides: dict[str, Any]) -> Study:
    """The study with settings of all its runs replaced.

    Raises:
      ValueError: a setting in which variants differ: the grid would be lost.
    """
    for key in overrides:
        names = [name for name, own in study.variants.items() if key in own]
        if key == _SEED:
            raise ValueError(f"{key}: the seeds are the study's; use --seeds")
        if names or (study.tuning and key == study.tuning.key):
            who = ", ".join(names) if names else "its tuning"
            raise ValueError(f"{key} is what the study varies ({who}): leave it out")
    return dataclasses.replace(study, overrides={**study.overrides, **overrides})


def validate(study: Study) -> None:
    """Refuses a study that cannot be run as it says.

    Raises:
      ValueError: says what is wrong.
    """
    for name, own in study.variants.items():
        if not _NAME.fullmatch(name) or name == RANDOM:
            raise ValueError(
                f"variant {name!r}: a name has letters a to z, digits and _, and is "
                f"not {RANDOM!r}"
            )
        if _SEED in own:
            raise ValueError(f"variant {name!r} has {_SEED}: the study has the seeds")
    if not study.variants or not study.seeds:
        raise ValueError("a study needs a variant and a seed at least")
    if len(set(study.seeds)) < len(study.seeds):
        raise ValueError(f"seeds {study.seeds}: one of them stands there twice")
    if study.baseline not in (RANDOM, *study.variants):
        known = ", ".join([RANDOM, *study.variants])
        raise ValueError(
            f"baseline {study.baseline!r} is no variant; there are {known}"
        )
    for evaluation in study.evaluations:
        if not evaluation.data:
            raise ValueError("an evaluation needs data")
        if evaluation.part not in ("test", "val"):
            raise ValueError(f"part {evaluation.part!r} of an evaluation: test or val")
    tuning = study.tuning
    if tuning and (
        len(set(tuning.factors)) < 2
        or min(tuning.factors) <= 0
        or not 0 < tuning.share <= 1
    ):
        raise ValueError(
            "a tuning needs two factors above 0, and a share of the steps in (0, 1]"
        )
    if tuning and not re.fullmatch(r"\w+\.\w+", tuning.key):
        raise ValueError(f"key {tuning.key!r} of a tuning: section.key")
    if tuning and tuning.evaluation.part != "val":
        raise ValueError('a tuning is measured on part "val", never on test images')
