"""The training state: arrays only, created straight into their sharding."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """All that changes from step to step.

    Attributes:
      step: [] int32, updates done; also the number of the next batch.
      params: what the optimiser updates.
      model_state: what changes without a gradient.
      opt_state: the optimiser's.
      key: typed random key of the run; step t uses `fold_in(key, t)`.
    """

    step: jax.Array
    params: Any
    model_state: Any
    opt_state: Any
    key: jax.Array


def create(
    init: Callable[[jax.Array], tuple[Any, Any]],
    tx: optax.GradientTransformation,
    key: jax.Array,
    sharding: jax.sharding.Sharding,
) -> TrainState:
    """Initialises parameters and optimiser on the devices.

    Args:
      init: key -> (params, model_state).
      tx: the optimiser.
      key: the run's key.
      sharding: of every array of the state.
    """
    return _jit_init(_creator(init, tx), sharding)(key)


def abstract(
    init: Callable[[jax.Array], tuple[Any, Any]],
    tx: optax.GradientTransformation,
    key: jax.Array,
    sharding: jax.sharding.Sharding,
) -> TrainState:
    """Shapes, dtypes and shardings of the state, without computing any of it."""
    shapes = jax.eval_shape(_creator(init, tx), key)
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), shapes
    )


def init_key(key: jax.Array) -> jax.Array:
    """The key of the initial weights, from the run's seed key."""
    return jax.random.fold_in(key, 0)


def _creator(init, tx):
    def create_state(key: jax.Array) -> TrainState:
        params, model_state = init(init_key(key))
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            model_state=model_state,
            opt_state=tx.init(params),
            key=jax.random.fold_in(key, 1),
        )

    return create_state


def _jit_init(function, sharding):
    """Compiles without optimisation on a CPU, where that takes most of a minute."""
    options = {}
    if jax.default_backend() == "cpu":
        options = {"xla_backend_optimization_level": 0}
    return jax.jit(function, out_shardings=sharding, compiler_options=options)
