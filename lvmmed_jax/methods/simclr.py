"""SimCLR (Chen et al. 2020): the plain baseline, on the same views and networks."""

import functools

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Float

from lvmmed_jax import config as configs
from lvmmed_jax.matching import affinity
from lvmmed_jax.methods import two_views
from lvmmed_jax.train import task


def make_task(config: configs.Config, mesh: Mesh) -> task.Task:
    """Builds the method for the training loop.

    Args:
      config: the run's settings.
      mesh: the devices; embeddings of the whole batch are each other's negatives.
    """
    del mesh  # XLA gathers the embeddings
    networks = two_views.make_networks(config.model)
    forward = functools.partial(two_views.forward, networks, config)
    temperature = config.simclr.temperature

    def loss_fn(params, model_state, batch, key):
        view_key, _ = jax.random.split(key)
        result, model_state = forward(params, model_state, batch, view_key)
        return nt_xent(result.embedding, temperature), (model_state, {})

    def evaluate(params, model_state, batch, key):
        result, _ = forward(params, model_state, batch, key)
        return {
            "loss_no_noise": nt_xent(result.embedding, temperature),
            **two_views.agreement(result.embedding, config.matching.graph_size),
        }

    def init(key):
        return two_views.init(networks, config, jax.random.split(key, 3))

    return task.Task(init, loss_fn, evaluate)


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
