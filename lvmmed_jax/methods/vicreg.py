"""VICReg (Bardes et al. 2022): views agree, features vary and do not correlate."""

import dataclasses

import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Float

from lvmmed_jax import config as configs
from lvmmed_jax import method_config
from lvmmed_jax.methods import objective
from lvmmed_jax.models import projector
from lvmmed_jax.train import task

_EPSILON = 1e-4  # of a variance under its root


def make_task(config: configs.Config, mesh: Mesh) -> task.Task:
    """Builds the method for the training loop."""
    settings = config.vicreg
    head = make_head(settings)

    def loss_of(embedding):
        return loss_of_views(embedding, of_two(settings))

    return objective.make_task(config, mesh, objective.of_head(head, loss_of))


def make_head(settings: method_config.VICReg) -> projector.MLP:
    """The paper's expander."""
    return projector.MLP((settings.hidden, settings.hidden, settings.width))


def pairs(num_views: int) -> list[tuple[int, int]]:
    """Each large view (0 and 1) with every other; (0, 1) stands there twice."""
    return [(a, b) for a in (0, 1) for b in range(num_views) if a != b]


def loss_of_views(
    embedding: Float[Array, "B V F"], weights: method_config.VICReg
) -> Float[Array, ""]:
    """lambda s + mu v + nu c: means over `pairs` of views, views, and views."""
    views = jnp.swapaxes(embedding, 0, 1)  # V B F
    first, second = (jnp.array(side) for side in zip(*pairs(len(views)), strict=True))
    return (
        weights.invariance * jnp.mean((views[first] - views[second]) ** 2)
        + weights.variance * variance_term(views)
        + weights.covariance * covariance_term(views)
    )


def of_two(weights: method_config.VICReg) -> method_config.VICReg:
    """Eq. 6's weights for `loss_of_views`: it adds both views' covariance terms.

    It adds both variance terms too, but the official code takes their mean.
    """
    return dataclasses.replace(weights, covariance=2 * weights.covariance)


def variance_term(x: Float[Array, "*L B F"]) -> Float[Array, ""]:
    """Eq. 1 and 2: how far features' standard deviations stay below 1, their mean."""
    deviation = jnp.sqrt(jnp.var(x, axis=-2, ddof=1) + _EPSILON)
    return jnp.mean(jnp.maximum(0.0, 1.0 - deviation))


def covariance_term(x: Float[Array, "*L B F"]) -> Float[Array, ""]:
    """Eq. 3 and 4: squared covariances of different features, their sum over F."""
    count, width = x.shape[-2:]
    x = x - jnp.mean(x, axis=-2, keepdims=True)
    covariance = jnp.einsum("...bf,...bg->...fg", x, x) / (count - 1)
    own = jnp.einsum("...ff->...f", covariance)
    off = jnp.sum(covariance**2, axis=(-1, -2)) - jnp.sum(own**2, axis=-1)
    return jnp.mean(off / width)
