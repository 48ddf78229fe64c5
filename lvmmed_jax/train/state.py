"""The training state: arrays only, created straight into their sharding."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from lvmmed_jax.train import sharding

_RAMP = 10  # updates after which an average over n of them has a decay of n / (n + 10)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """All that changes from step to step.

    Attributes:
      step: [] int32, batches seen; also the number of the next batch.
      params: what the optimiser updates.
      model_state: what changes without a gradient.
      opt_state: the optimiser's.
      key: typed random key of the run; step t uses `fold_in(key, t)`.
      averaged: exponential moving averages {"params", "model_state"}; None: not kept.
      skipped: [] int32, steps that changed nothing, their loss or gradient not finite.
      held: [] bool, whether the last step was such a one: until `release`, no step
        changes anything, so that what led to it can still be saved.
    """

    step: jax.Array
    params: Any
    model_state: Any
    opt_state: Any
    key: jax.Array
    averaged: Any
    skipped: jax.Array
    held: jax.Array

    @property
    def model(self) -> dict[str, Any]:
        """What is evaluated: the averages where they are kept."""
        if self.averaged is not None:
            return self.averaged
        return {"params": self.params, "model_state": self.model_state}


def create(
    init: Callable[[jax.Array], tuple[Any, Any]],
    tx: optax.GradientTransformation,
    key: jax.Array,
    mesh: jax.sharding.Mesh,
    averages: bool = False,
) -> TrainState:
    """Initialises parameters and optimiser on the devices.

    Args:
      init: key -> (params, model_state).
      tx: the optimiser.
      key: the run's key.
      mesh: the devices; see `sharding.of_state`.
      averages: whether moving averages are kept.
    """
    places = jax.tree.map(lambda x: x.sharding, abstract(init, tx, key, mesh, averages))
    return _jit_init(_creator(init, tx, averages), places)(key)


def abstract(
    init: Callable[[jax.Array], tuple[Any, Any]],
    tx: optax.GradientTransformation,
    key: jax.Array,
    mesh: jax.sharding.Mesh,
    averages: bool = False,
) -> TrainState:
    """Shapes, dtypes and shardings of the state, without computing any of it."""
    return shapes(_creator(init, tx, averages), key, mesh)


def shapes(function: Callable, key: jax.Array, mesh: jax.sharding.Mesh) -> Any:
    """Of what `function(key)` returns: shapes, dtypes and shardings as a state's."""
    place = sharding.of_state(mesh)
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place(x)),
        jax.eval_shape(function, key),
    )


def init_key(key: jax.Array) -> jax.Array:
    """The key of the initial weights, from the run's seed key."""
    return jax.random.fold_in(key, 0)


def release(held: TrainState) -> TrainState:
    """The state that goes on after a step that was not finite."""
    return dataclasses.replace(held, held=jnp.zeros_like(held.held))


def before_skipped(held: TrainState) -> TrainState:
    """The state with which the step began that was not finite."""
    return dataclasses.replace(
        release(held), step=held.step - 1, skipped=held.skipped - 1
    )


def average(old: Any, new: Any, decay: float, step: jax.Array) -> Any:
    """Exponential moving averages of all floating leaves; others are taken over.

    The decay of update n is at most (1 + n) / (10 + n), so that the random start is
    forgotten soon.

    Args:
      old: the averages so far.
      new: what is averaged.
      decay: in [0, 1).
      step: [] updates done before this one.
    """
    kept = jnp.minimum(decay, (1.0 + step) / (_RAMP + step))

    def mix(a, b):
        if not jnp.issubdtype(b.dtype, jnp.floating):
            return b
        return (kept * a + (1 - kept) * b).astype(b.dtype)

    return jax.tree.map(mix, old, new)


def _creator(init, tx, averages):
    def create_state(key: jax.Array) -> TrainState:
        params, model_state = init(init_key(key))
        model = {"params": params, "model_state": model_state}
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            model_state=model_state,
            opt_state=tx.init(params),
            key=jax.random.fold_in(key, 1),
            averaged=model if averages else None,
            skipped=jnp.zeros((), jnp.int32),
            held=jnp.zeros((), bool),
        )

    return create_state


def _jit_init(function, places):
    """Compiles without optimisation on a CPU, where that takes most of a minute."""
    options = {}
    if jax.default_backend() == "cpu":
        options = {"xla_backend_optimization_level": 0}
    return jax.jit(function, out_shardings=places, compiler_options=options)
