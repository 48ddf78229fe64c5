"""A pre-training run put together: data, method, state, checkpoints, pictures."""

import collections
import functools
import importlib.metadata
import pathlib
import shlex
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from data_pipelines import mixture
from lvmmed_jax import config as configs
from lvmmed_jax import files, health
from lvmmed_jax.methods import table
from lvmmed_jax.train import checkpoint, loop, sharding, state, step, writer

_EVALUATION_SEED = 1  # of the fixed images, and of their fixed views
_DATA = {"--data": "data_sha256", "--held-out": "held_out_sha256"}
_NUM_CONTACT = 48  # thumbnails in the report
_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy")


class Run(NamedTuple):
    """Everything a run needs before its first step."""

    config: configs.Config
    data: pathlib.Path
    workdir: pathlib.Path
    extra: dict[str, Any]
    mesh: jax.sharding.Mesh
    train_state: state.TrainState
    step_fn: step.StepFn
    evaluate: Callable[[state.TrainState], Any]
    evaluation_batch: dict[str, jax.Array]


def prepare(
    config: configs.Config,
    *,
    data: pathlib.Path,
    held_out: pathlib.Path | None,
    workdir: pathlib.Path,
    extra: dict[str, Any],
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

    Raises:
      ValueError: a value outside its range, a batch that does not cut into graphs,
        other data or another config than the checkpoint's, or a damaged checkpoint.
    """
    configs.validate(config)
    mesh = sharding.make_mesh()
    for name, count in (
        ("data.global_batch", config.data.global_batch),
        ("train.num_evaluation_images", config.train.num_evaluation_images),
    ):
        sharding.check_batch(name, count, config.matching.graph_size, mesh.size)
    method = table.find(config.train.method).make_task(config, mesh)
    tx, schedule = step.make_optimizer(
        config.optimizer.learning_rate, config.optimizer.halve_at, config.train.steps
    )
    workdir.mkdir(parents=True, exist_ok=True)
    train_state = _make_state(config, method, tx, mesh, workdir, extra)
    batch = _host_batch(config, held_out or data)
    batch = sharding.put_batch(batch, mesh)
    return Run(
        config=config,
        data=data,
        workdir=workdir,
        extra=extra,
        mesh=mesh,
        train_state=train_state,
        step_fn=step.make_train_step(method.loss_fn, tx, schedule, mesh),
        evaluate=_make_evaluate(method, batch),
        evaluation_batch=batch,
    )


def train(run: Run, *, should_stop: Callable[[], bool]) -> dict[str, Any]:
    """Trains to the end or until `should_stop()`, then draws the report's pictures.

    Returns:
      JSON values: the step reached, the last metrics, and what the verdict on the
      run's health finds wrong.
    """
    num_steps, last = run.config.train.steps, run.train_state
    if int(last.step) < num_steps:
        last = _run_loop(run, should_stop)
    if int(last.step) == num_steps:
        _write_pictures(run, last)
    lines = writer.read(run.workdir / writer.FILE)
    return {
        **writer.latest(lines),
        "step": int(last.step),
        "warnings": list(_complaints(run.config.matching.graph_size, lines)),
    }


def _run_loop(run: Run, should_stop: Callable[[], bool]) -> state.TrainState:
    """The loop with its data, its log and its checkpoints, all closed at the end."""
    config, start = run.config, int(run.train_state.step)
    batches = mixture.host_batches(
        run.data,
        global_batch=config.data.global_batch,
        seed=config.train.seed,
        start=start,
        num_workers=config.data.num_workers,
    )
    metrics_writer = writer.Writer(
        run.workdir,
        start=start,
        num_steps=config.train.steps,
        global_batch=config.data.global_batch,
        judge=functools.partial(_complaints, config.matching.graph_size),
    )
    try:
        with metrics_writer, checkpoint.Checkpoints(run.workdir) as checkpoints:
            return loop.run(
                run.train_state,
                step_fn=run.step_fn,
                evaluate=run.evaluate,
                batches=batches,
                mesh=run.mesh,
                rhythm=loop.Rhythm(
                    config.train.steps,
                    config.train.log_every_steps,
                    config.train.evaluate_every_steps,
                    config.train.checkpoint_every_steps,
                ),
                metrics_writer=metrics_writer,
                checkpoints=checkpoints,
                extra=run.extra,
                should_stop=should_stop,
            )
    finally:
        batches.close()


def _complaints(graph_size: int, metrics: list[dict]) -> tuple[str, ...]:
    """What is wrong with a run, if anything can be told yet."""
    verdict = health.judge(metrics, graph_size)
    return tuple(each for each in verdict.reasons if each != health.TOO_SHORT)


def facts(run: Run, manifest: dict, command: list[str]) -> dict[str, Any]:
    """What ran on what, for run.json and the report."""
    devices = jax.devices()
    leaves = jax.tree.leaves(run.train_state.params)
    return {
        "command": shlex.join(["lvmmed", *command[1:]]),
        "versions": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "devices": f"{len(devices)} x {devices[0].device_kind}",
        "parameters": sum(leaf.size for leaf in leaves),
        "data": {
            "records": manifest["records"],
            "modalities": _by_modality(manifest["counts"]),
            "skipped": len(manifest["skipped"]),
        },
    }


def _by_modality(counts: dict[str, dict[str, int]]) -> dict[str, int]:
    """{modality: records} of a manifest's {source: {modality: records}}."""
    total = collections.Counter()
    for of_source in counts.values():
        total.update(of_source)
    return dict(total.most_common())


def _make_state(config, method, tx, mesh, workdir, extra):
    """Restores the newest checkpoint, or initialises from the config's seed."""
    same = sharding.replicated(mesh)
    key = jax.random.key(config.train.seed)
    if not checkpoint.is_checkpoint_folder(workdir):
        return state.create(method.init, tx, key, same)
    with checkpoint.Checkpoints(workdir) as checkpoints:
        found = checkpoints.extra()
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
        return checkpoints.restore(state.abstract(method.init, tx, key, same))


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


def _make_evaluate(method, batch):
    key = jax.random.key(_EVALUATION_SEED)
    evaluate = step.make_evaluate(method.evaluate)
    return lambda now: evaluate(now.params, now.model_state, batch, key)


def _write_pictures(run: Run, last: state.TrainState) -> None:
    """Arrays for the report: thumbnails, and what the method has to show."""
    make_pictures = table.find(run.config.train.method).make_pictures
    arrays = {}
    if make_pictures is not None:
        draw = jax.jit(make_pictures(run.config, run.mesh))
        key = jax.random.key(_EVALUATION_SEED)
        arrays = draw(last.params, last.model_state, run.evaluation_batch, key)
    images = mixture.first_images(run.data, count=_NUM_CONTACT)
    files.write_arrays(
        run.workdir / "pictures" / "pretrain.npz",
        {
            **jax.device_get(arrays),
            "contact": np.stack([_square(image) for image, _ in images]),
            "contact_modality": np.array([modality for _, modality in images]),
        },
    )


def _square(image: np.ndarray) -> np.ndarray:
    """An RGB thumbnail of 96 pixels, zero-padded."""
    from PIL import Image

    picture = Image.fromarray(image.squeeze()).convert("RGB")
    picture.thumbnail((96, 96))
    out = np.zeros((96, 96, 3), np.uint8)
    out[: picture.height, : picture.width] = np.asarray(picture)
    return out
