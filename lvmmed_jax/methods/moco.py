"""MoCo-v2 (Chen et al. 2020): a slow teacher, and a queue of its embeddings.

Both views are queries, each against the other's key (as in MoCo-v3): the official code
takes the first as query only. BatchNorm's statistics are those of the whole batch on
all devices, so that there is nothing to shuffle.
"""

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Float

from lvmmed_jax import config as configs
from lvmmed_jax.matching import affinity
from lvmmed_jax.methods import encoding, objective, teacher
from lvmmed_jax.models import projector
from lvmmed_jax.train import task


def make_task(config: configs.Config, mesh: Mesh) -> task.Task:
    """Builds the method for the training loop."""
    settings = config.moco
    encoder = encoding.make_encoder(config.model)
    head = projector.MLP((settings.hidden, settings.width), norm=False)

    def init(key, weights, feature_map):
        keys = jax.random.split(key)
        own = head.init(keys[0], jnp.zeros((1, feature_map.shape[-1])))["params"]
        queue = jax.random.normal(keys[1], (settings.queue_size, settings.width))
        return {"head": own}, {
            "teacher": {"encoder": weights, "head": own},
            "queue": affinity.normalise(queue),
            "calls": jnp.zeros((), jnp.int32),
        }

    def apply(params, model_state, encoded, batch, key):
        del batch, key
        student = {"encoder": encoding.encoder_params(params), "head": params["head"]}
        calls = model_state["calls"]
        slow = teacher.follow(
            config, model_state["teacher"], student, settings.decay, calls
        )
        keys = jax.lax.stop_gradient(_embed(slow, _encode(slow, model_state, encoded)))
        queries = _embed(student, encoded.large.feature_map)
        loss = sum(
            info_nce(queries[:, a], keys[:, b], model_state["queue"], temperature)
            for a, b in ((0, 1), (1, 0))
        )
        newest = jnp.concatenate([keys[:, 0], keys[:, 1], model_state["queue"]])
        model_state = {
            **model_state,
            "teacher": slow,
            "queue": newest[: settings.queue_size],
            "calls": calls + 1,
        }
        return objective.Found(loss / 2, queries, model_state, {})

    def _encode(weights, model_state, encoded):
        statistics, made = model_state["batch_stats"], encoded.large.views
        return encoding.apply(encoder, config, weights["encoder"], statistics, made)[0]

    def _embed(weights, feature_map):
        pooled = jnp.mean(feature_map, axis=(2, 3))
        return affinity.normalise(head.apply({"params": weights["head"]}, pooled))

    temperature = settings.temperature
    return objective.make_task(config, mesh, objective.Objective(init, apply))


def info_nce(
    queries: Float[Array, "B F"],
    keys: Float[Array, "B F"],
    queue: Float[Array, "Q F"],
    temperature: float,
) -> Float[Array, ""]:
    """Eq. 1 of MoCo (He et al. 2020): each query finds its key among those queued.

    The mean over the batch of -log softmax of cosines over `temperature`.

    Args:
      queries: of length one; the gradient is theirs.
      keys: of length one, each of the same image as the query in its row.
      queue: embeddings of other images.
      temperature: above 0.
    """
    true = jnp.sum(queries * keys, axis=1, keepdims=True)
    other = affinity.cosine(queries, queue)
    logits = jnp.concatenate([true, other], axis=1) / temperature
    return -jnp.mean(jax.nn.log_softmax(logits, axis=1)[:, 0])
