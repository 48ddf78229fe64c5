"""A pre-training run put together: data, method, state, checkpoints, log."""

import contextlib
import dataclasses
import functools
import pathlib
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from data_pipelines import mixture
from lvmmed_jax import config as configs
from lvmmed_jax import files, health, online_knn, replay, report_inputs
from lvmmed_jax.methods import table
from lvmmed_jax.train import (
    checkpoint,
    guard,
    loop,
    optimizer,
    processes,
    saving,
    sharding,
    sinks,
    state,
    step,
    task,
    throughput,
    trace,
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
    """

    knn_data: str | None = None
    profile: bool = False
    logs: tuple[str, ...] = ()


_NONE = Options()


class Run(NamedTuple):
    """Everything a run needs before its first step."""

    config: configs.Config
    options: Options
    data: pathlib.Path
    workdir: pathlib.Path
    extra: dict[str, Any]
    mesh: jax.sharding.Mesh
    method: task.Task
    abstract: state.TrainState
    train_state: state.TrainState
    step_fn: step.StepFn
    evaluations: tuple[loop.Evaluation, ...]
    evaluation_batch: dict[str, jax.Array]


def prepare(
    config: configs.Config,
    *,
    data: pathlib.Path,
    held_out: pathlib.Path | None,
    workdir: pathlib.Path,
    extra: dict[str, Any],
    options: Options = _NONE,
) -> Run:
    """Checks the settings, then makes or restores the state.

    Args:
      config: the run's settings.
      data: folder of shards.
      held_out: shards whose images the noise-free metrics are measured on; None takes
        images of `data`.
      workdir: is made; a checkpoint in it is restored.
      extra: JSON values saved with every checkpoint; a checkpoint found must have the
        same `config`, `data_sha256` and `held_out_sha256`.
      options: what else is asked for.

    Raises:
      ValueError: a value outside its range, a batch that does not cut into graphs,
        other data or another config than the checkpoint's, or damaged checkpoints only.
    """
    configs.validate(config)
    mesh, settings = sharding.make_mesh(fsdp=config.train.fsdp), config.optimizer
    graph_size, parts = config.matching.graph_size, settings.accumulate
    for name, count, num_parts in (
        ("data.global_batch", config.data.global_batch, parts),
        ("train.num_evaluation_images", config.train.num_evaluation_images, 1),
    ):
        sharding.check_batch(name, count, graph_size, mesh.size, num_parts)
    method = table.find(config.train.method).make_task(config, mesh)
    tx, schedule = _make_optimizer(config)
    key = jax.random.key(config.train.seed)
    averages = settings.ema_decay is not None
    abstract = state.abstract(method.init, tx, key, mesh, averages)
    workdir.mkdir(parents=True, exist_ok=True)
    train_state = _restore(workdir, extra, abstract)
    if train_state is None:
        train_state = state.create(method.init, tx, key, mesh, averages)
    batch = sharding.put_batch(_host_batch(config, held_out or data), mesh)
    return Run(
        config=config,
        options=options,
        data=data,
        workdir=workdir,
        extra=extra,
        mesh=mesh,
        method=method,
        abstract=abstract,
        train_state=train_state,
        step_fn=step.make_train_step(
            method.loss_fn, tx, schedule, mesh, settings.ema_decay
        ),
        evaluations=_make_evaluations(
            config, options, data, method, mesh, batch, train_state
        ),
        evaluation_batch=batch,
    )


def train(run: Run, *, should_stop: Callable[[], bool]) -> dict[str, Any]:
    """Trains to the end or until `should_stop()`, then draws the report's pictures.

    Returns:
      JSON values: the step reached, the last metrics, the best checkpoint kept, and
      what the verdict on the run's health finds wrong.

    Raises:
      guard.NonFiniteError: too many steps in a row were not finite.
      OSError: another process trains in this work folder, or it cannot be written to.
    """
    num_steps, last = run.config.train.steps, run.train_state
    if int(last.step) < num_steps:
        with _locked(run.workdir):
            last = _run_loop(run, should_stop)
    if int(last.step) == num_steps:
        report_inputs.write_pictures(
            run.config,
            last.model,
            run.evaluation_batch,
            jax.random.key(_EVALUATION_SEED),
            mesh=run.mesh,
            data=run.data,
            workdir=run.workdir,
        )
    metric = run.config.train.best_metric  # Orbax reads with all processes together
    best = checkpoint.best_step(run.workdir / checkpoint.FOLDER, metric)
    if not processes.is_first():
        return {"step": int(last.step)}
    lines = writer.read(run.workdir / writer.FILE)
    return {
        **writer.latest(lines),
        "step": int(last.step),
        "best": best and {"step": best[0], metric: best[1]},
        "warnings": list(_complaints(run.config.matching.graph_size, lines)),
    }


def repeat(run: Run, path: pathlib.Path) -> dict[str, Any]:
    """Repeats a skipped step of this run, see `replay.replay`."""
    _check_same(path, run.workdir, run.extra)
    return replay.replay(
        path,
        run.abstract,
        run.method,
        run.step_fn,
        data=run.data,
        mesh=run.mesh,
        global_batch=run.config.data.global_batch,
        seed=run.config.train.seed,
        num_parts=run.config.optimizer.accumulate,
    )


def _run_loop(run: Run, should_stop: Callable[[], bool]) -> state.TrainState:
    """The loop with its data, its log and its checkpoints, all closed at the end."""
    config, start = run.config, int(run.train_state.step)
    if processes.is_first():
        print("compiling the training step", file=sys.stderr)
    step_fn, flops = step.compile_step(run.step_fn, run.abstract, _abstract_batch(run))
    with contextlib.ExitStack() as stack:
        batches = mixture.host_batches(
            run.data,
            global_batch=config.data.global_batch,
            seed=config.train.seed,
            start=start,
            num_workers=config.data.num_workers,
            share=mixture.Share(
                config.optimizer.accumulate, jax.process_index(), jax.process_count()
            ),
        )
        stack.callback(batches.close)
        metrics_writer = stack.enter_context(_open_writer(run, start))
        saver = stack.enter_context(
            saving.Saver(
                run.workdir,
                keep_last=config.train.keep_last,
                best_metric=config.train.best_metric,
            )
        )
        profile = trace.Trace(run.workdir, start)
        stack.callback(profile.close)
        return loop.run(
            run.train_state,
            step_fn=step_fn,
            evaluations=run.evaluations,
            batches=batches,
            mesh=run.mesh,
            rhythm=loop.Rhythm(
                config.train.steps,
                config.train.log_every_steps,
                config.train.checkpoint_every_steps,
                config.optimizer.accumulate,
            ),
            meter=throughput.Meter(flops),
            metrics_writer=metrics_writer,
            saver=saver,
            nonfinite=guard.Guard(
                run.workdir, run.extra, config.train.max_skipped, metrics_writer.say
            ),
            extra=run.extra,
            should_stop=should_stop,
            trace=profile if run.options.profile else lambda number, train_state: None,
        )


def _locked(workdir: pathlib.Path) -> contextlib.AbstractContextManager:
    """Keeps other runs out; one process of this run does."""
    if processes.is_first():
        return files.locked(workdir / ".lock")
    return contextlib.nullcontext()


def _open_writer(run: Run, start: int) -> writer.Writer | writer.Silent:
    """The first process writes, the others do not."""
    if not processes.is_first():
        return writer.Silent()
    config = run.config
    return writer.Writer(
        run.workdir,
        start=start,
        num_steps=config.train.steps,
        global_batch=config.data.global_batch,
        judge=functools.partial(_complaints, config.matching.graph_size),
        sinks=sinks.open_all(
            run.options.logs,
            run.workdir,
            start=start,
            config=dataclasses.asdict(config),
        ),
    )


def _complaints(graph_size: int, metrics: list[dict]) -> tuple[str, ...]:
    """What is wrong with a run, if anything can be told yet."""
    verdict = health.judge(metrics, graph_size)
    return tuple(each for each in verdict.reasons if each != health.TOO_SHORT)


def _make_optimizer(config: configs.Config):
    """The optimiser and its learning rate."""
    settings = config.optimizer
    schedule = optimizer.make_schedule(
        settings.schedule,
        peak=settings.learning_rate,
        num_steps=config.train.steps,
        halve_at=settings.halve_at,
        warmup=settings.warmup,
    )
    tx = optimizer.make_optimizer(
        settings.name,
        schedule,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        clip_norm=settings.clip_norm,
    )
    return tx, schedule


def _abstract_batch(run: Run) -> Any:
    """Shapes of a batch in its parts, on the devices."""
    found = mixture.read_manifest(run.data)
    parts = run.config.optimizer.accumulate
    size, lead = found["size"], (parts, run.config.data.global_batch // parts)
    shapes = {
        "image": ((*lead, size, size, found["channels"]), np.uint8),
        "size": ((*lead, 2), np.int32),
        "index": (lead, jax.dtypes.canonicalize_dtype(np.int64)),
    }
    if jax.process_count() > 1:
        shapes[step.STOP] = (lead, bool)
    cut = sharding.over_parts(run.mesh)
    return {
        name: jax.ShapeDtypeStruct(shape, dtype, sharding=cut)
        for name, (shape, dtype) in shapes.items()
    }


def _restore(
    workdir: pathlib.Path, extra: dict[str, Any], abstract: state.TrainState
) -> state.TrainState | None:
    """The newest sound checkpoint; None where there is none at all."""
    folder = workdir / checkpoint.FOLDER
    if not checkpoint.is_checkpoint_folder(workdir):
        return None

    def read(path: pathlib.Path) -> state.TrainState:
        _check_same(path, workdir, extra)
        return checkpoint.restore(path, abstract)[0]

    number, found = checkpoint.newest_sound(folder, read, _warn)
    processes.meet("restored")
    if processes.is_first():
        checkpoint.set_aside(folder, after=number)
    processes.meet("set aside")
    return found


def _warn(text: str) -> None:
    if processes.is_first():
        print(f"warning: {text}", file=sys.stderr)


def _check_same(path: pathlib.Path, workdir: pathlib.Path, extra: dict) -> None:
    """Refuses a checkpoint of another config or of other data."""
    found = checkpoint.read_extra(path)
    changed = configs.differences(extra["config"], found["config"])
    if changed:
        raise ValueError(
            f"{workdir} holds a run with another config ({'; '.join(changed)}): "
            "give another --workdir, or the config it was made with"
        )
    for flag, name in _DATA.items():
        if found.get(name) != extra[name]:
            raise ValueError(
                f"{workdir} was made with other data than {flag} holds now (its "
                "manifest differs): use another --workdir, or the data of that run"
            )


def _host_batch(config: configs.Config, data: pathlib.Path) -> dict[str, np.ndarray]:
    """The fixed images on which the noise-free metrics are measured."""
    batches = mixture.host_batches(
        data,
        global_batch=config.train.num_evaluation_images,
        seed=_EVALUATION_SEED,
        start=0,
        num_workers=0,
    )
    try:
        return next(batches)
    finally:
        batches.close()


def _make_evaluations(config, options, data, method, mesh, batch, first):
    """The noise-free metrics and, where asked for, on-line k-NN."""
    key = jax.random.key(_EVALUATION_SEED)
    evaluate = step.make_evaluate(method.evaluate, mesh)

    def measure(now: state.TrainState):
        model = now.model
        found = evaluate(model["params"], model["model_state"], batch, key)
        return {**found, "skipped_steps": now.skipped}

    found = [loop.Evaluation(config.train.evaluate_every_steps, measure)]
    if options.knn_data is not None:
        steps_an_epoch = (
            mixture.read_manifest(data)["records"] / config.data.global_batch
        )
        every = max(round(config.train.knn_every_epochs * steps_an_epoch), 1)
        knn = online_knn.make(config, options.knn_data, first, mesh)
        found.append(loop.Evaluation(every, knn))
    return tuple(found)
