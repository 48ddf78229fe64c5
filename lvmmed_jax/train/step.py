"""One jitted, sharded update."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from lvmmed_jax.train import sharding, state, task

StepFn = Callable[
    [state.TrainState, dict[str, jax.Array]], tuple[state.TrainState, task.Metrics]
]

STOP = "stop"  # of a batch: bool [B], whether a process was told to stop; and a metric


def make_train_step(
    loss_fn: Callable[..., tuple],
    tx: optax.GradientTransformation,
    schedule: optax.Schedule,
    mesh: Mesh,
    ema_decay: float | None = None,
) -> StepFn:
    """Builds `step(state, batch) -> (state, metrics)`; the old state is donated.

    The batch comes in parts (`sharding.put_parts`): their gradients are accumulated in
    turn and their mean makes one update. Each part is cut over the mesh; XLA adds the
    gradient's all-reduce. A state that is cut over devices (`sharding.of_state`) is
    gathered at the beginning, and each device updates its own part.

    A step whose loss, gradient or new model state is not finite changes nothing but
    `step`, `skipped` and `held`; while the state is held, nothing changes at all.

    Args:
      loss_fn: see `task.Task`.
      tx: the optimiser.
      schedule: update -> learning rate, to be logged.
      mesh: the devices.
      ema_decay: of the moving averages; None: none are kept.

    Returns:
      The jitted step; its metrics are those of `loss_fn`, `loss`, `gradient_norm`,
      `learning_rate`, `skipped_steps`, `skipped`, 1 where this step was, and `STOP`,
      1 where any process was told so, if the batch has it.
    """

    def step(old: state.TrainState, batch: dict[str, jax.Array]):
        told = {name: jnp.any(batch[name]) for name in batch if name == STOP}
        batch = {name: x for name, x in batch.items() if name != STOP}
        key = jax.random.fold_in(old.key, old.step)
        loss, metrics, model_state, gradient = accumulate(
            loss_fn, *sharding.gather((old.params, old.model_state), mesh), batch, key
        )
        gradient = sharding.spread(gradient, mesh)
        norm = optax.tree.norm(gradient)
        finite = jnp.isfinite(loss) & jnp.isfinite(norm) & _all_finite(model_state)
        updates, opt_state = tx.update(gradient, old.opt_state, old.params)
        params = optax.apply_updates(old.params, updates)
        num_updates = old.step - old.skipped
        averaged = old.averaged
        if ema_decay is not None:
            model = {"params": params, "model_state": model_state}
            averaged = state.average(averaged, model, ema_decay, num_updates)
        changed = dataclasses.replace(
            old,
            params=params,
            model_state=model_state,
            opt_state=opt_state,
            averaged=averaged,
        )
        kept = _where(finite & ~old.held, changed, old)
        skipped = ~finite & ~old.held
        new = dataclasses.replace(
            kept,
            step=old.step + ~old.held,
            skipped=old.skipped + skipped,
            held=old.held | skipped,
        )
        return sharding.spread(new, mesh), {
            **told,
            **metrics,
            "loss": loss,
            "gradient_norm": norm,
            "learning_rate": schedule(num_updates),
            "skipped_steps": new.skipped,
            "skipped": skipped,
        }

    return jax.jit(
        step,
        in_shardings=(None, sharding.over_parts(mesh)),
        out_shardings=(None, sharding.replicated(mesh)),
        donate_argnums=0,
    )


def accumulate(
    loss_fn: Callable[..., tuple], params: Any, model_state: Any, batch: Any, key: Any
) -> tuple[jax.Array, task.Metrics, Any, Any]:
    """The means of loss, metrics and gradient over the parts of a batch.

    Only one part's activations are alive at a time. `model_state` goes from part to
    part: BatchNorm sees one part, and its running statistics move once a part.

    Args:
      loss_fn: see `task.Task`.
      params: what the gradient is taken of.
      model_state: before the first part.
      batch: leaves [A, B / A, ...], A parts.
      key: of the step; with several parts, part a uses `fold_in(key, a)`.

    Returns:
      Loss, metrics, the `model_state` after the last part, gradient.
    """
    gradient_fn = jax.value_and_grad(loss_fn, has_aux=True)
    num_parts = jax.tree.leaves(batch)[0].shape[0]

    def of_part(model_state, part, key):
        (loss, (model_state, metrics)), gradient = gradient_fn(
            params, model_state, part, key
        )
        return model_state, (loss, metrics, gradient)

    if num_parts == 1:
        whole = jax.tree.map(lambda x: x[0], batch)
        model_state, (loss, metrics, gradient) = of_part(model_state, whole, key)
        return loss, metrics, model_state, gradient

    def add_part(carry, numbered):
        model_state, total = carry
        index, part = numbered
        model_state, found = of_part(model_state, part, jax.random.fold_in(key, index))
        return (model_state, jax.tree.map(jnp.add, total, found)), None

    first = jax.tree.map(lambda x: x[0], batch)
    _, like = jax.eval_shape(of_part, model_state, first, key)
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), like)
    (model_state, total), _ = jax.lax.scan(
        add_part, (model_state, zeros), (jnp.arange(num_parts), batch)
    )
    loss, metrics, gradient = jax.tree.map(lambda x: x / num_parts, total)
    return loss, metrics, model_state, gradient


def compile_step(
    step_fn: StepFn, old: state.TrainState, batch: Any
) -> tuple[StepFn, float]:
    """Compiles a step once, for good.

    Args:
      step_fn: of `make_train_step`.
      old: a state, or its shapes with shardings.
      batch: likewise.

    Returns:
      The compiled step, and the floating-point operations of one call on all devices,
      as XLA counts them: loops count once (the matching's searches, and the parts of an
      accumulated batch, which are multiplied here), recomputation counts.
    """
    lowered = step_fn.lower(old, batch)
    counted = lowered.cost_analysis() or {}
    num_parts = jax.tree.leaves(batch)[0].shape[0]
    return lowered.compile(), counted.get("flops", 0.0) * num_parts


def make_evaluate(
    evaluate: Callable[..., task.Metrics], mesh: Mesh
) -> Callable[..., task.Metrics]:
    """Builds the jitted (params, model_state, batch, key) -> metrics of a method.

    Adds `parameter_norm`, the L2 norm of all parameters.
    """

    def measure(params, model_state, batch, key):
        params, model_state = sharding.gather((params, model_state), mesh)
        found = evaluate(params, model_state, batch, key)
        return {**found, "parameter_norm": optax.tree.norm(params)}

    return jax.jit(measure, out_shardings=sharding.replicated(mesh))


def _all_finite(tree: Any) -> jax.Array:
    """[] whether every floating leaf is; an overflowing BatchNorm would spoil all."""
    floating = [
        jnp.all(jnp.isfinite(leaf))
        for leaf in jax.tree.leaves(tree)
        if jnp.issubdtype(leaf.dtype, jnp.floating)
    ]
    return jnp.all(jnp.stack(floating)) if floating else jnp.array(True)


def _where(condition: jax.Array, yes: Any, no: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)
