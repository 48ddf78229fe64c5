"""What a run is made of, from its config alone: nothing is read or written."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from data_pipelines import mixture
from lvmmed_jax import config as configs
from lvmmed_jax.methods import table
from lvmmed_jax.models import encoder_table, position, vit_table
from lvmmed_jax.train import optimizer, sharding, state, step, task

Factors = Callable[[tuple[str, ...]], float]


class Plan(NamedTuple):
    """A run before its data and its state.

    Attributes:
      config: its settings, those of pre-training or of fine-tuning.
      mesh: the devices.
      method: what is trained.
      tx: the optimiser.
      abstract: shapes and shardings of the state.
      step_fn: of `step.make_train_step`.
    """

    config: Any
    mesh: jax.sharding.Mesh
    method: task.Task
    tx: Any
    abstract: state.TrainState
    step_fn: step.StepFn


def make(
    config: configs.Config,
    mesh: jax.sharding.Mesh | None = None,
    tables: dict[str, list[int]] | None = None,
) -> Plan:
    """Checks the settings and builds what they describe.

    Args:
      config: of the run.
      mesh: the devices; None: all there are, as `train.fsdp` says.
      tables: shapes of position tables that are not those of the views' size, see
        `position.with_tables`.

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
    method = make_method(config, mesh, tables)
    return assemble(
        config,
        mesh,
        method,
        num_steps=config.train.steps,
        factor_of=rate_factors(settings, config.model),
    )


def assemble(
    config: Any,
    mesh: jax.sharding.Mesh,
    method: task.Task,
    *,
    num_steps: int,
    factor_of: Factors | None,
) -> Plan:
    """Optimiser, shapes of the state and step of a run, whatever it trains.

    Args:
      config: of the run, with the sections `optimizer` and `train`.
      mesh: the devices.
      method: what is trained.
      num_steps: of the whole run.
      factor_of: see `optimizer.with_factors`; None: all have the same rate.
    """
    settings = config.optimizer
    schedule = optimizer.make_schedule(
        settings.schedule,
        peak=settings.learning_rate,
        num_steps=num_steps,
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
    if factor_of is not None:
        tx = optimizer.with_factors(tx, factor_of)
    abstract = state.abstract(method.init, tx, key_of(config), mesh, averages(config))
    step_fn = step.make_train_step(
        method.loss_fn, tx, schedule, mesh, settings.ema_decay
    )
    return Plan(config, mesh, method, tx, abstract, step_fn)


def make_method(
    config: configs.Config,
    mesh: jax.sharding.Mesh,
    tables: dict[str, list[int]] | None = None,
) -> task.Task:
    """The method of a run; arguments as those of `make`.

    Raises:
      ValueError: an encoder or a method that does not exist, or not as it is asked for.
    """
    check_frozen(config.optimizer, config.model.encoder)
    method = table.make(config, mesh)
    if not tables:
        return method

    def init(key):
        params, model_state = method.init(key)
        encoder = position.with_tables(params["encoder"], tables)
        if "teacher" in model_state:  # whose weights follow the encoder's
            slow = {**model_state["teacher"], "encoder": encoder}
            model_state = {**model_state, "teacher": slow}
        return {**params, "encoder": encoder}, model_state

    return method._replace(init=init)


def check_frozen(settings: configs.Optimizer, encoder: str) -> None:
    """Refuses to freeze what an encoder does not have.

    Raises:
      ValueError: so, or an encoder that does not exist.
    """
    sizes = encoder_table.find(encoder).stage_sizes
    if settings.frozen_patches and encoder not in vit_table.VARIANTS:
        raise ValueError(
            f"optimizer.frozen_patches needs a vision transformer, which {encoder} is "
            "not"
        )
    if settings.frozen_stages > len(sizes):
        raise ValueError(
            f"optimizer.frozen_stages={settings.frozen_stages} must be at most "
            f"{len(sizes)}: {encoder} has no more"
        )


def rate_factors(settings: configs.Optimizer, model: configs.Model) -> Factors | None:
    """Keys of a parameter -> its share of the rate; None where all have the same.

    Args:
      settings: of the optimiser.
      model: of the encoder.
    """
    frozen = settings.frozen_stages or settings.frozen_patches or model.lora_rank
    if settings.layer_decay == 1 and not frozen:
        return None
    return functools.partial(_rate_factor, settings, model)


def _rate_factor(
    settings: configs.Optimizer, model: configs.Model, path: tuple[str, ...]
) -> float:
    """The share of the learning rate that a parameter has: 1 outside of the encoder.

    Layer l of the encoder has decay^(L - l), L the layer after its last block (Clark et
    al. 2020, ELECTRA; Bao et al. 2022, BEiT); 0: it is frozen.
    """
    network = path[0]
    if network not in ("encoder", "lora"):
        return 1.0
    if network == "encoder" and model.lora_rank:
        return 0.0
    if settings.frozen_patches and path[1] == "patch_embedding":
        return 0.0
    sizes = encoder_table.find(model.encoder).stage_sizes
    layer = encoder_table.layer_of(path[1], sizes)
    num_frozen = settings.frozen_stages
    if num_frozen and layer <= sum(sizes[:num_frozen]):
        return 0.0
    return settings.layer_decay ** (sum(sizes) + 1 - layer)


def first_state(plan: Plan) -> state.TrainState:
    """The state in which the run begins."""
    config = plan.config
    return state.create(
        plan.method.init, plan.tx, key_of(config), plan.mesh, averages(config)
    )


def key_of(config: Any) -> jax.Array:
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


def averages(config: Any) -> bool:
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
        "label": (lead, np.int32),
    }
    if jax.process_count() > 1:
        shapes[step.STOP] = (lead, bool)
    cut = sharding.over_parts(plan.mesh)
    return {
        name: jax.ShapeDtypeStruct(shape, dtype, sharding=cut)
        for name, (shape, dtype) in shapes.items()
    }
