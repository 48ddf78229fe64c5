"""MoCo-v3 (Chen et al. 2021): a slow teacher and a predictor; no queue.

The paper's for ViTs; every encoder does. The paper freezes a ViT's projection of
patches (section 4.2), which is the optimiser's: `optimizer.frozen_patches`.
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
    settings = config.moco_v3
    encoder = encoding.make_encoder(config.model)
    head, predictor = (
        projector.MLP((settings.hidden,) * depth + (settings.width,), last_norm=True)
        for depth in (2, 1)
    )

    def init(key, weights, feature_map):
        keys = jax.random.split(key)
        vector = jnp.zeros((1, feature_map.shape[-1]))
        own = head.init(keys[0], vector)["params"]
        predicts = predictor.init(keys[1], jnp.zeros((1, settings.width)))["params"]
        return {"head": own, "predictor": predicts}, {
            "teacher": {"encoder": weights, "head": own},
            "calls": jnp.zeros((), jnp.int32),
        }

    def apply(params, model_state, encoded, batch, key):
        del batch, key
        student = {"encoder": encoding.encoder_params(params), "head": params["head"]}
        calls = model_state["calls"]
        decay = teacher.rising(config, settings.decay, calls)
        slow = teacher.follow(config, model_state["teacher"], student, decay, calls)
        statistics, made = model_state["batch_stats"], encoded.large.views
        maps, _ = encoding.apply(encoder, config, slow["encoder"], statistics, made)
        keys = jax.lax.stop_gradient(_project(slow, maps))
        embedding = _project(student, encoded.large.feature_map)
        queries = predictor.apply({"params": params["predictor"]}, embedding)
        loss = sum(
            contrast(queries[:, a], keys[:, b], settings.temperature)
            for a, b in ((0, 1), (1, 0))
        )
        model_state = {**model_state, "teacher": slow, "calls": calls + 1}
        return objective.Found(loss, embedding, model_state, {})

    def _project(weights, feature_map):
        pooled = jnp.mean(feature_map, axis=(2, 3))
        return head.apply({"params": weights["head"]}, pooled)

    return objective.make_task(config, mesh, objective.Objective(init, apply))


def contrast(
    queries: Float[Array, "B F"], keys: Float[Array, "B F"], temperature: float
) -> Float[Array, ""]:
    """Algorithm 1's `ctr`: each query finds its own image's key among the batch's.

    2 t times the mean of -log softmax of cosines over t = `temperature`.
    """
    logits = affinity.cosine(queries, keys) / temperature
    chances = jax.nn.log_softmax(logits, axis=1)
    return -2 * temperature * jnp.mean(jnp.diagonal(chances))
