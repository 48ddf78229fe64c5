"""A fine-tuning run put together: data, encoder, task, state, checkpoints, log."""

import functools
import math
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from data_pipelines.labels import batches
from lvmmed_jax import config as configs
from lvmmed_jax import finetune_config, initial, planning, running
from lvmmed_jax.downstream import examples, origins, predictions, scores
from lvmmed_jax.tasks import stem, table
from lvmmed_jax.train import loop, sharding, state, writer

KIND = "finetune"  # of a checkpoint, beside those of pre-training, which have none
_DATA = {"--data": "data_sha256", "the split": "split_sha256"}
_SHOWN = ("loss", "val_dice", "val_accuracy")


class Run(NamedTuple):
    """Everything a run needs before its first step."""

    plan: planning.Plan
    task: stem.Task
    data: examples.Examples
    workdir: pathlib.Path
    extra: dict[str, Any]
    train_state: state.TrainState
    num_steps: int
    logs: tuple[str, ...]
    profile: bool

    @property
    def config(self) -> finetune_config.Finetune:
        """The run's settings."""
        return self.plan.config


def prepare(
    config: finetune_config.Finetune,
    *,
    data: examples.Examples,
    begin: tuple[initial.Start, stem.Origin],
    workdir: pathlib.Path,
    logs: tuple[str, ...] = (),
    profile: bool = False,
) -> Run:
    """Builds what is trained, and makes or restores its state.

    Args:
      config: of the run, valid.
      data: its examples.
      begin: of `origins.read`.
      workdir: a folder, see `running.claimed`; a checkpoint in it is restored.
      logs: where metrics go besides files.
      profile: whether to trace a few steps.

    Raises:
      ValueError: settings, data, encoder and checkpoint do not fit together.
    """
    mesh = sharding.make_mesh(fsdp=config.train.fsdp)
    parts = config.optimizer.accumulate
    sharding.check_batch(
        "data.global_batch", config.data.global_batch, 1, mesh.size, parts
    )
    start, origin = begin
    planning.check_frozen(config.optimizer, origin.encoder)
    target = examples.target(data, config.loss.class_weights)
    if config.model.tuning == "linear_probe":
        start = origins.calibrated(start, origin, data, config.data)
    task = table.make(config, origin, target)
    num_steps = steps_of(config, len(data.rows["train"]))
    plan = planning.assemble(
        config, mesh, task, num_steps=num_steps, factor_of=factors_of(config, origin)
    )
    extra = _extra(config, data, start, origin, target)
    check = functools.partial(
        running.check_same,
        extra=extra,
        where=workdir,
        data=_DATA,
        default=finetune_config.Finetune(),
    )
    train_state = running.restore(workdir, plan.abstract, check)
    if train_state is None:
        train_state = initial.first_state(plan, start)
    run = Run(plan, task, data, workdir, extra, train_state, num_steps, logs, profile)
    _check_best_metric(run)
    return run


def steps_of(config: finetune_config.Finetune, num_train: int) -> int:
    """Steps of the run; the last epoch is made whole."""
    if config.train.fixed_steps:
        return config.train.fixed_steps
    return math.ceil(config.train.epochs * num_train / config.data.global_batch)


def factors_of(
    config: finetune_config.Finetune, origin: stem.Origin
) -> planning.Factors | None:
    """Keys of a parameter -> its share of the learning rate; 0: it is frozen."""
    if config.model.tuning == "linear_probe":
        return lambda path: float(path[0] != "encoder")
    model = configs.Model(encoder=origin.encoder, lora_rank=config.model.lora_rank)
    return planning.rate_factors(config.optimizer, model)


def train(run: Run, *, should_stop: Callable[[], bool]) -> dict[str, Any]:
    """Trains to the end or until `should_stop()`.

    Returns:
      JSON values: the step reached, the last metrics, the best checkpoint kept.

    Raises:
      guard.NonFiniteError: too many steps in a row were not finite.
      OSError: the work folder cannot be written to.
    """
    config, last = run.config, run.train_state
    metric = _best_metric(run) if _validates(run) else None
    if int(last.step) < run.num_steps:
        parts = config.optimizer.accumulate
        every = math.ceil(run.num_steps / config.train.num_evaluations)
        job = running.Job(
            plan=run.plan,
            workdir=run.workdir,
            extra=run.extra,
            train_state=last,
            evaluations=_evaluations(run, every),
            open_batches=lambda start: examples.train_batches(
                run.data, config.data, seed=config.train.seed, start=start
            ),
            abstract_batch=_abstract_batch(run),
            rhythm=loop.Rhythm(
                run.num_steps, config.train.log_every_steps, every, parts
            ),
            best_metric=metric,
            form=writer.Form(KIND, _SHOWN, lambda lines: ()),
            logs=run.logs,
            profile=run.profile,
        )
        last = running.run(job, should_stop)
    return {
        **running.latest(run.workdir),
        "step": int(last.step),
        "best": running.best(run.workdir, metric),
    }


def _extra(config, data, start, origin, target) -> dict[str, Any]:
    """What is saved with every checkpoint; enough to predict with it."""
    meaning = data.found.meaning
    return {
        "kind": KIND,
        "config": configs.as_json(config),
        "data_sha256": data.sha256,
        "split_sha256": examples.split_sha256(data),
        "init": start.about,
        "origin": origin._asdict(),
        "target": target._asdict(),
        "mask_values": meaning and examples.mask_values(meaning),
        "num_train": len(data.rows["train"]),
        "normalisation": {
            "mean": list(origin.mean),
            "std": list(origin.std),
            "channels": "RGB",
            "range": "0 to 1",
        },
    }


def _validates(run: Run) -> bool:
    return len(run.data.rows["val"]) > 0


def _evaluations(run: Run, every: int) -> tuple[loop.Evaluation, ...]:
    """The metrics of the validation part, if there is one."""
    if not _validates(run):
        return ()
    config, rows = run.config, run.data.rows["val"]
    predictor = predictions.make(config, run.task, run.plan.mesh)

    def measure(now: state.TrainState) -> dict[str, float]:
        given = (predictor, now.model, run.data, rows)
        if predictor.segments:
            found = predictions.masks_of(*given, metrics=("dice",))
        else:
            found = predictions.classes_of(*given)
        return {f"val_{name}": each for name, each in scores.short(found).items()}

    return (loop.Evaluation(every, measure),)


def _abstract_batch(run: Run) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes of a batch in its parts, from one example."""
    config = run.config
    with_one = batches.test_batches(
        run.data.found,
        run.data.rows["train"][:1],
        form=examples.form(config.data),
        global_batch=1,
        num_workers=0,
        share=batches.Share(0, 1),
    )
    one = next(with_one)
    with_one.close()
    parts = config.optimizer.accumulate
    lead = (parts, config.data.global_batch // parts)
    cut = sharding.over_parts(run.plan.mesh)
    return {
        name: jax.ShapeDtypeStruct(
            (*lead, *np.shape(value)[1:]),
            jax.dtypes.canonicalize_dtype(np.asarray(value).dtype),
            sharding=cut,
        )
        for name, value in one.items()
        if name != "is_valid"
    }


def _best_metric(run: Run) -> str:
    target = run.extra["target"]
    return finetune_config.best_metric(run.config, target["multi_label"])


def _check_best_metric(run: Run) -> None:
    """Refuses a metric to keep the best checkpoint by that is never measured."""
    name = _best_metric(run)
    segments = run.config.model.task == "segmentation"
    target = stem.Target(**run.extra["target"])
    measured = [f"val_{each}" for each in scores.followed(target, segments)]
    if name not in measured:
        raise ValueError(
            f"train.best_metric={name!r} is not measured: one of {', '.join(measured)}"
        )
