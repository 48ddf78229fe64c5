"""What a fine-tuning run has learned, read back to predict with."""

import pathlib
from typing import Any, NamedTuple

import jax

from lvmmed_jax import config as configs
from lvmmed_jax import finetune_config, planning
from lvmmed_jax.downstream import predictions, training
from lvmmed_jax.tasks import stem, table
from lvmmed_jax.train import checkpoint, processes, sharding, state


class Trained(NamedTuple):
    """A network and what it was trained for.

    Attributes:
      step: of the checkpoint.
      config: of the run.
      extra: JSON values of the checkpoint, see `training`.
      predictor: of the task.
      model: {"params", "model_state"}.
      flips: whether the predictor is a mean over mirror images.
    """

    step: int
    config: finetune_config.Finetune
    extra: dict[str, Any]
    predictor: predictions.Predictor
    model: dict[str, Any]
    flips: bool

    @property
    def class_names(self) -> tuple[str, ...]:
        """Of its classes."""
        return tuple(self.extra["target"]["class_names"])


def work_folder(model: str) -> pathlib.Path:
    """The work folder of a network, which may be named by one of its checkpoints."""
    path = pathlib.Path(model).absolute()
    return path if checkpoint.is_checkpoint_folder(path) else path.parent.parent


def load(model: str, *, flips: bool = False) -> Trained:
    """A fine-tuned network.

    Args:
      model: a work folder, whose best checkpoint counts (without a validation part the
        newest sound one), or a checkpoint.
      flips: see `predictions.make`.

    Raises:
      FileNotFoundError: there is no checkpoint.
      ValueError: it is none of `finetune`, or damaged.
    """
    path = pathlib.Path(model).absolute()
    if not checkpoint.is_checkpoint_folder(path):
        if not (path.name.isdigit() and path.is_dir()):
            raise FileNotFoundError(
                f"{model} is no work folder of `finetune` and none of its checkpoints"
            )
        return _read(path, flips)
    folder = path / checkpoint.FOLDER
    best = _best(folder)
    if best is not None:
        return _read(folder / str(best), flips)
    return checkpoint.newest_sound(folder, lambda at: _read(at, flips), processes.warn)[
        1
    ]


def _best(folder: pathlib.Path) -> int | None:
    """The step that was best on the validation part; None: none was measured."""
    for step in reversed(checkpoint.committed_steps(folder)):
        try:
            extra = checkpoint.read_extra(folder / str(step))
        except checkpoint.DamagedError:
            continue
        if extra.get("kind") != training.KIND:
            return None
        multi_label = extra["target"]["multi_label"]
        metric = finetune_config.best_metric(_config(extra), multi_label)
        found = checkpoint.best_step(folder, metric)
        return found and found[0]
    return None


def _config(extra: dict[str, Any]) -> finetune_config.Finetune:
    return configs.from_json(extra["config"], finetune_config.Finetune())


def _read(path: pathlib.Path, flips: bool) -> Trained:
    extra = checkpoint.read_extra(path)
    if extra.get("kind") != training.KIND:
        raise ValueError(
            f"{path} is no checkpoint of `finetune`: it has no classes to tell"
        )
    config, mesh = _config(extra), sharding.make_mesh()
    origin, target = stem.from_json(extra["origin"], extra["target"])
    task = table.make(config, origin, target)
    params, model_state = state.shapes(task.init, jax.random.key(0), mesh)
    abstract = {"params": params, "model_state": model_state}
    model = checkpoint.restore_model(path, extra, abstract, planning.averages(config))
    predictor = predictions.make(config, task, mesh, flips=flips)
    return Trained(int(path.name), config, extra, predictor, model, flips)
