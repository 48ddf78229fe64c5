"""The contract between the training loop and whatever is trained."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

PyTree = Any
Metrics = dict[str, jax.Array]


class Task(NamedTuple):
    """What the loop needs of a method or a downstream task.

    `model_state` is one pytree of all that changes without a gradient: BatchNorm
    statistics, and what a method carries (queue, EMA teacher, prototypes).

    Attributes:
      init: key -> (params, model_state).
      loss_fn: (params, model_state, batch, key) -> (loss, (model_state, metrics)).
      evaluate: (params, model_state, batch, key) -> metrics; changes nothing.
    """

    init: Callable[[jax.Array], tuple[PyTree, PyTree]]
    loss_fn: Callable[..., tuple[jax.Array, tuple[PyTree, Metrics]]]
    evaluate: Callable[..., Metrics]
