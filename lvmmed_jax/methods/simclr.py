"""SimCLR (Chen et al. 2020): the plain baseline, on the same views and networks."""

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Float

from lvmmed_jax import config as configs
from lvmmed_jax.matching import affinity
from lvmmed_jax.methods import objective
from lvmmed_jax.models import projector
from lvmmed_jax.train import task


def make_task(config: configs.Config, mesh: Mesh) -> task.Task:
    """Builds the method for the training loop.

    Args:
      config: the run's settings.
      mesh: the devices; embeddings of the whole batch are each other's negatives.
    """
    settings = config.simclr
    head = projector.MLP((settings.hidden, settings.width), norm=False)

    def loss_of(embedding):
        return nt_xent(embedding, settings.temperature)

    return objective.make_task(config, mesh, objective.of_head(head, loss_of))


def nt_xent(embedding: Float[Array, "B 2 F"], temperature: float) -> Float[Array, ""]:
    """Eq. 1 of the paper: each view finds its partner among the 2 B - 1 others.

    The mean over all 2 B views of -log softmax of the cosine over `temperature`.
    """
    count = embedding.shape[0]
    views = jnp.swapaxes(embedding, 0, 1).reshape(2 * count, -1)  # 2B F
    logits = affinity.cosine(views, views) / temperature
    logits = jnp.where(jnp.eye(2 * count, dtype=bool), -jnp.inf, logits)
    partners = (jnp.arange(2 * count) + count) % (2 * count)
    chances = jax.nn.log_softmax(logits, axis=1)
    return -jnp.mean(jnp.take_along_axis(chances, partners[:, None], axis=1))
