"""What a run is made of, from its config alone: nothing is read or written."""

from typing import Any, NamedTuple

import jax
import numpy as np

from data_pipelines import mixture
from lvmmed_jax import config as configs
from lvmmed_jax.methods import table
from lvmmed_jax.train import optimizer, sharding, state, step, task


class Plan(NamedTuple):
    """A run before its data and its state.

    Attributes:
      config: its settings.
      mesh: the devices.
      method: what is trained.
      tx: the optimiser.
      abstract: shapes and shardings of the state.
      step_fn: of `step.make_train_step`.
    """

    config: configs.Config
    mesh: jax.sharding.Mesh
    method: task.Task
    tx: Any
    abstract: state.TrainState
    step_fn: step.StepFn


def make(config: configs.Config, mesh: jax.sharding.Mesh | None = None) -> Plan:
    """Checks the settings and builds what they describe.

    Args:
      config: of the run.
      mesh: the devices; None: all there are, as `train.fsdp` says.

    Raises:
      ValueError: a value outside its range, or a batch that does not cut into graphs.
    """
    configs.validate(config)
    settings = config.optimizer
    mesh = mesh or sharding.make_mesh(fsdp=config.train.fsdp)
    for name, count, num_parts in (
        ("data.global_batch", config.data.global_batch, settings.accumulate),
        ("train.num_evaluation_images", config.train.num_evaluation_images, 1),
    ):
        size = config.matching.graph_size
        sharding.check_batch(name, count, size, mesh.size, num_parts)
    method = table.find(config.train.method).make_task(config, mesh)
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
    abstract = state.abstract(method.init, tx, key_of(config), mesh, averages(config))
    step_fn = step.make_train_step(
        method.loss_fn, tx, schedule, mesh, settings.ema_decay
    )
    return Plan(config, mesh, method, tx, abstract, step_fn)


def first_state(plan: Plan) -> state.TrainState:
    """The state in which the run begins."""
    config = plan.config
    return state.create(
        plan.method.init, plan.tx, key_of(config), plan.mesh, averages(config)
    )


def key_of(config: configs.Config) -> jax.Array:
    """The run's random key."""
    return jax.random.key(config.train.seed)


def mix(config: configs.Config) -> mixture.Mix:
    """What an epoch of a run holds, and how large its graphs are."""
    data = config.data
    return mixture.Mix(
        balance=data.balance,
        weights=data.weights,
        most_repeats=data.most_repeats,
        graph_size=config.matching.graph_size,
    )


def averages(config: configs.Config) -> bool:
    """Whether moving averages of the weights are kept."""
    return config.optimizer.ema_decay is not None


def abstract_batch(plan: Plan, manifest: dict[str, Any]) -> dict[str, Any]:
    """Shapes of a batch of such data in its parts, on the devices."""
    parts = plan.config.optimizer.accumulate
    size, lead = manifest["size"], (parts, plan.config.data.global_batch // parts)
    shapes = {
        "image": ((*lead, size, size, manifest["channels"]), np.uint8),
        "size": ((*lead, 2), np.int32),
        "index": (lead, jax.dtypes.canonicalize_dtype(np.int64)),
        "group": (lead, np.int32),
    }
    if jax.process_count() > 1:
        shapes[step.STOP] = (lead, bool)
    cut = sharding.over_parts(plan.mesh)
    return {
        name: jax.ShapeDtypeStruct(shape, dtype, sharding=cut)
        for name, (shape, dtype) in shapes.items()
    }
