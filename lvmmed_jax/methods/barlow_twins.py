"""Barlow Twins (Zbontar et al. 2021): two views correlate, their features do not."""

import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Float

from lvmmed_jax import config as configs
from lvmmed_jax.methods import objective
from lvmmed_jax.models import projector
from lvmmed_jax.train import task

_EPSILON = 1e-5  # of the BatchNorm without scale and offset that ends the projector


def make_task(config: configs.Config, mesh: Mesh) -> task.Task:
    """Builds the method for the training loop."""
    settings = config.barlow_twins
    head = projector.MLP((settings.hidden, settings.hidden, settings.width))

    def loss_of(embedding):
        return redundancy(embedding[:, 0], embedding[:, 1], settings.redundancy)

    return objective.make_task(config, mesh, objective.of_head(head, loss_of))


def redundancy(
    first: Float[Array, "B F"], second: Float[Array, "B F"], weight: float
) -> Float[Array, ""]:
    """Eq. 1 of the paper, on C of Eq. 2, the cross-correlation of two views' features.

    sum_i (1 - C_ii)^2 + `weight` * sum_{i != j} C_ij^2; a feature's offset and positive
    factor change nothing.
    """
    correlation = _standardised(first).T @ _standardised(second) / len(first)
    diagonal = jnp.diagonal(correlation)
    off = jnp.sum(correlation**2) - jnp.sum(diagonal**2)
    return jnp.sum((1 - diagonal) ** 2) + weight * off


def _standardised(x):
    x = x - jnp.mean(x, axis=0, keepdims=True)
    return x / jnp.sqrt(jnp.mean(x**2, axis=0, keepdims=True) + _EPSILON)
