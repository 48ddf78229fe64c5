"""The teacher of self-distillation: weights that follow the student's as an average."""

from typing import Any

import jax
import jax.numpy as jnp

from lvmmed_jax import config as configs
from lvmmed_jax.methods import objective


def follow(
    config: configs.Config, teacher: Any, student: Any, decay: Any, calls: jax.Array
) -> Any:
    """decay * teacher + (1 - decay) * student; no gradient passes.

    The first time it is the student itself, whose start may have come from a file.

    Args:
      config: the run's settings.
      teacher: weights.
      student: likewise, after the last update of the optimiser.
      decay: of a whole batch; its parts share it.
      calls: [] times that the teacher followed before.
    """
    decay = jnp.where(calls == 0, 0.0, decay ** (1 / config.optimizer.accumulate))
    return jax.tree.map(
        lambda old, new: decay * old + (1 - decay) * new,
        jax.lax.stop_gradient(teacher),
        jax.lax.stop_gradient(student),
    )


def rising(config: configs.Config, decay: float, calls: jax.Array) -> jax.Array:
    """A decay that rises to 1 as a cosine (Grill et al. 2020, section 3.2)."""
    done = objective.progress(config, calls)
    return 1 - (1 - decay) * (jnp.cos(jnp.pi * done) + 1) / 2
