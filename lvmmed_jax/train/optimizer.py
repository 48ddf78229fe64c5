"""Learning-rate schedules and optimisers by name, all of them optax's."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

SCHEDULES = ("halved", "cosine", "constant")
OPTIMIZERS = ("adam", "adamw", "sgd", "lars", "lamb")


def make_schedule(
    name: str,
    *,
    peak: float,
    num_steps: int,
    halve_at: tuple[float, ...] = (),
    warmup: float = 0.0,
) -> optax.Schedule:
    """Builds step -> learning rate.

    Args:
      name: "halved" halves the rate at shares of the run (section 4.1 of the paper:
        "halved four times"), "cosine" lets it fall to 0, "constant" does neither.
      peak: the rate after the warm-up.
      num_steps: updates of the whole run.
      halve_at: shares of the run, for "halved".
      warmup: share of the run in which the rate rises linearly to `peak`.

    Raises:
      ValueError: a name that is not in `SCHEDULES`.
    """
    rising = round(warmup * num_steps)
    if name == "halved":
        boundaries = {round(share * num_steps) - rising: 0.5 for share in halve_at}
        schedule = optax.piecewise_constant_schedule(peak, boundaries)
    elif name == "cosine":
        schedule = optax.cosine_decay_schedule(peak, max(num_steps - rising, 1))
    elif name == "constant":
        schedule = optax.constant_schedule(peak)
    else:
        raise ValueError(f"unknown schedule {name!r}; known: {', '.join(SCHEDULES)}")
    if not rising:
        return schedule
    first = optax.linear_schedule(peak / (rising + 1), peak, rising)
    return optax.join_schedules([first, schedule], [rising])


def make_optimizer(
    name: str,
    schedule: optax.Schedule,
    *,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    clip_norm: float | None = None,
) -> optax.GradientTransformation:
    """Builds the optimiser.

    Args:
      name: a row of `OPTIMIZERS`.
      schedule: step -> learning rate.
      momentum: of "sgd" and "lars".
      weight_decay: of all but "adam", on kernels and prototypes only: biases, scales of
        normalisations and learnt tokens have none, nor LARS's trust ratio (You et al.
        2017; Grill et al. 2020, appendix F.3).
      clip_norm: gradients of a larger global norm are scaled down to it; None: never.

    Raises:
      ValueError: a name that is not in `OPTIMIZERS`, or "adam" with weight decay.
    """
    if name == "adam":
        if weight_decay:
            raise ValueError("adam has no weight decay: use adamw")
        tx = optax.adam(schedule)
    elif name == "adamw":
        tx = optax.adamw(schedule, weight_decay=weight_decay, mask=_kernels)
    elif name == "sgd":
        decay = optax.add_decayed_weights(weight_decay, _kernels)
        tx = optax.chain(decay, optax.sgd(schedule, momentum))
    elif name == "lars":
        tx = optax.lars(
            schedule,
            weight_decay,
            weight_decay_mask=_kernels,
            trust_ratio_mask=_kernels,
            momentum=momentum,
        )
    elif name == "lamb":
        tx = optax.lamb(schedule, weight_decay=weight_decay, mask=_kernels)
    else:
        raise ValueError(f"unknown optimiser {name!r}; known: {', '.join(OPTIMIZERS)}")
    if clip_norm is None:
        return tx
    return optax.chain(optax.clip_by_global_norm(clip_norm), tx)


def with_factors(
    tx: optax.GradientTransformation, factor_of: Callable[[tuple[str, ...]], float]
) -> optax.GradientTransformation:
    """Gives each parameter its share of the learning rate.

    Where the share is 0 a parameter stays as it is: no update, no decay, no place in
    the optimiser's state, no part in the norm that is clipped.

    Args:
      tx: an optimiser whose updates are proportional to its rate.
      factor_of: keys that lead to a parameter -> its share, from 0 to 1.
    """

    def factors(params):
        return jax.tree_util.tree_map_with_path(
            lambda path, _: factor_of(tuple(key.key for key in path)), params
        )

    def moves(params):
        return jax.tree.map(lambda factor: factor > 0, factors(params))

    def scaled(update, factor):
        return update * factor if factor else jnp.zeros_like(update)

    def scale(updates, params):
        del params
        return jax.tree.map(scaled, updates, factors(updates))

    return optax.chain(optax.masked(tx, moves), optax.stateless(scale))


def _kernels(params: Any) -> Any:
    """True for kernels and prototypes (of a last layer), else False.

    Biases, scales, tokens and position tables are none.
    """
    return jax.tree_util.tree_map_with_path(
        lambda path, _: getattr(path[-1], "key", None) in ("kernel", "prototypes"),
        params,
    )
