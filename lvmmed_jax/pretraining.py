"""A pre-training run put together: data, method, state, checkpoints, log."""

import functools
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax

from data_pipelines import mixture
from lvmmed_jax import config as configs
from lvmmed_jax import (
    health,
    initial,
    online_knn,
    planning,
    replay,
    report_inputs,
    running,
)
from lvmmed_jax.train import (
    checkpoint,
    loop,
    processes,
    sharding,
    state,
    step,
    writer,
)

_EVALUATION_SEED = 1  # of the fixed images, and of their fixed views
_DATA = {"--data": "data_sha256", "--held-out": "held_out_sha256"}


class Options(NamedTuple):
    """What a user may ask of a run besides its config.

    Attributes:
      knn_data: labelled images for on-line k-NN.
      profile: whether to trace a few steps.
      logs: where metrics go besides files, some of `sinks.REMOTE`.
      start: the weights that a new run begins from; None: random ones.
    """

    knn_data: str | None = None
    profile: bool = False
    logs: tuple[str, ...] = ()
    start: initial.Start | None = None


_NONE = Options()


class Run(NamedTuple):
    """Everything a run needs before its first step."""

    plan: planning.Plan
    options: Options
    data: pathlib.Path
    manifest: dict[str, Any]
    workdir: pathlib.Path
    extra: dict[str, Any]
    train_state: state.TrainState
    evaluations: tuple[loop.Evaluation, ...]
    evaluation_batch: dict[str, jax.Array]

    @property
    def config(self) -> configs.Config:
        """The run's settings."""
        return self.plan.config


def prepare(
    plan: planning.Plan,
    *,
    data: pathlib.Path,
    held_out: pathlib.Path | None,
    workdir: pathlib.Path,
    extra: dict[str, Any],
    options: Options = _NONE,
) -> Run:
    """Makes or restores the state, and what the run is measured on.

    Args:
      plan: of the run.
      data: folder of shards.
      held_out: shards whose images the noise-free metrics are measured on; None takes
        images of `data`.
      workdir: a folder, see `running.claimed`; a checkpoint in it is restored.
      extra: JSON values saved with every checkpoint; a checkpoint found must have the
        same `config`, `data_sha256`, `held_out_sha256`, and `init` but for its name.
      options: what else is asked for.

    Raises:
      ValueError: other data or another config than the checkpoint's, damaged
        checkpoints only, or a `train.best_metric` that is not measured.
    """
    manifest = mixture.read_manifest(data)
    check_labels(plan.config, data, manifest)
    if held_out is not None:
        _check_same_labels(plan.config, data, manifest, held_out)
    check = functools.partial(_check_same, extra=extra, workdir=workdir)
    train_state = running.restore(workdir, plan.abstract, check)
    if train_state is None:
        train_state = initial.first_state(plan, options.start)
    batch = mixture.host_batch(
        held_out or data,
        global_batch=plan.config.train.num_evaluation_images,
        seed=_EVALUATION_SEED,
        number=0,
        mix=mixture.Mix(graph_size=plan.config.matching.graph_size),
    )
    batch = sharding.put_batch(batch, plan.mesh)
    _check_best_metric(plan, options, batch)
    return Run(
        plan=plan,
        options=options,
        data=data,
        manifest=manifest,
        workdir=workdir,
        extra=extra,
        train_state=train_state,
        evaluations=_make_evaluations(plan, options, data, batch, train_state),
        evaluation_batch=batch,
    )


def train(run: Run, *, should_stop: Callable[[], bool]) -> dict[str, Any]:
    """Trains to the end or until `should_stop()`, then draws the report's pictures.

    Returns:
      JSON values: the step reached, the last metrics, the best checkpoint kept, and
      what the verdict on the run's health finds wrong.

    Raises:
      guard.NonFiniteError: too many steps in a row were not finite.
      OSError: the work folder cannot be written to.
    """
    num_steps, last = run.config.train.steps, run.train_state
    if int(last.step) < num_steps:
        last = _run_loop(run, should_stop)
    if int(last.step) == num_steps:
        report_inputs.write_pictures(
            run.config,
            last.model,
            run.evaluation_batch,
            jax.random.key(_EVALUATION_SEED),
            mesh=run.plan.mesh,
            data=run.data,
            workdir=run.workdir,
        )
    # Orbax reads with all processes together
    best = running.best(run.workdir, run.config.train.best_metric)
    if not processes.is_first():
        return {"step": int(last.step)}
    lines = writer.read(run.workdir / writer.FILE)
    return {
        **writer.latest(lines),
        "step": int(last.step),
        "best": best,
        "warnings": list(_complaints(run.config.matching.graph_size, lines)),
    }


def repeat(
    plan: planning.Plan, path: pathlib.Path, data: pathlib.Path, extra: dict[str, Any]
) -> dict[str, Any]:
    """Repeats a skipped step of a run, see `replay.replay`; writes nothing.

    Raises:
      FileNotFoundError: there is no such step.
      ValueError: it is of another config or other data, or damaged.
    """
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: no such step; runs keep them in skipped/")
    return replay.replay(
        plan, path, data, lambda found: _check_same(found, extra=extra, workdir=path)
    )


def _run_loop(run: Run, should_stop: Callable[[], bool]) -> state.TrainState:
    """The shared loop on shards."""
    config = run.config

    def open_batches(start: int) -> Iterator[dict[str, Any]]:
        return mixture.host_batches(
            run.data,
            global_batch=config.data.global_batch,
            seed=config.train.seed,
            start=start,
            num_workers=config.data.num_workers,
            share=mixture.Share(
                config.optimizer.accumulate, jax.process_index(), jax.process_count()
            ),
            mix=planning.mix(config),
        )

    job = running.Job(
        plan=run.plan,
        workdir=run.workdir,
        extra=run.extra,
        train_state=run.train_state,
        evaluations=run.evaluations,
        open_batches=open_batches,
        abstract_batch=planning.abstract_batch(run.plan, run.manifest),
        rhythm=loop.Rhythm(
            config.train.steps,
            config.train.log_every_steps,
            config.train.checkpoint_every_steps,
            config.optimizer.accumulate,
        ),
        best_metric=config.train.best_metric,
        form=writer.Form(
            "pretrain",
            ("loss", "matching_accuracy"),
            functools.partial(_complaints, config.matching.graph_size),
        ),
        logs=run.options.logs,
        profile=run.options.profile,
        repeat="pretrain ... --replay",
    )
    return running.run(job, should_stop)


def _complaints(graph_size: int, metrics: list[dict]) -> tuple[str, ...]:
    """What is wrong with a run, if anything can be told yet."""
    verdict = health.judge(metrics, graph_size)
    return tuple(each for each in verdict.reasons if each != health.TOO_SHORT)


def check_labels(config: configs.Config, data, manifest: dict[str, Any]) -> None:
    """Refuses to learn classes that the images do not have."""
    if config.train.method != "supervised":
        return
    names = mixture.class_names(manifest)
    if not names:
        raise ValueError(
            f"{data}: its images have no labels, which train.method='supervised' "
            "learns: prepare them with --classes"
        )
    if len(names) != config.supervised.num_classes:
        raise ValueError(
            f"supervised.num_classes={config.supervised.num_classes}, but {data} has "
            f"{len(names)} classes: give --supervised.num_classes={len(names)}"
        )


def _check_same_labels(config, data, manifest, held_out) -> None:
    """Refuses classes to measure on that have other numbers than those learned."""
    if config.train.method != "supervised":
        return
    own, others = (
        mixture.class_names(each)
        for each in (manifest, mixture.read_manifest(held_out))
    )
    if own != others:
        raise ValueError(
            f"--held-out {held_out} has other classes ({', '.join(others) or 'none'}) "
            f"than {data} ({', '.join(own)}): prepare both from folders of equal names"
        )


def _check_best_metric(plan: planning.Plan, options: Options, batch: Any) -> None:
    """Refuses a metric to keep the best checkpoint by that is never measured."""
    name, knn = plan.config.train.best_metric, online_knn.METRIC
    if name in (configs.Train.best_metric, knn) and (name != knn or options.knn_data):
        return
    now = plan.abstract
    key = jax.random.key(_EVALUATION_SEED)
    found = jax.eval_shape(
        plan.method.evaluate, now.params, now.model_state, batch, key
    )
    measured = [metric for metric in checkpoint.MORE_IS_BETTER if metric in found]
    if name not in measured:
        hint = " (it needs --knn-data)" if name == knn else ""
        raise ValueError(
            f"train.best_metric={name!r} is not measured{hint}: "
            f"one of {', '.join(measured)}"
        )


def _check_same(
    found: dict[str, Any], extra: dict[str, Any], workdir: pathlib.Path
) -> None:
    """Refuses a checkpoint of another config, other data, or another start."""
    running.check_same(found, extra, workdir, _DATA, configs.Config())


def _make_evaluations(plan, options, data, batch, first):
    """The noise-free metrics and, where asked for, on-line k-NN."""
    config, key = plan.config, jax.random.key(_EVALUATION_SEED)
    evaluate = step.make_evaluate(plan.method.evaluate, plan.mesh)

    def measure(now: state.TrainState):
        model = now.model
        found = evaluate(model["params"], model["model_state"], batch, key)
        return {**found, "skipped_steps": now.skipped}

    found = [loop.Evaluation(config.train.evaluate_every_steps, measure)]
    if options.knn_data is not None:
        records = mixture.epoch_size(data, planning.mix(config))
        steps_an_epoch = records / config.data.global_batch
        every = max(round(config.train.knn_every_epochs * steps_an_epoch), 1)
        knn = online_knn.make(config, options.knn_data, first, plan.mesh)
        found.append(loop.Evaluation(every, knn))
    return tuple(found)
