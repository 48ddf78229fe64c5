"""Supervised pre-training: cross-entropy on labels, the plain reference.

A linear classifier on the mean of each view's feature map. Images without a label
(-1) take no part.
"""

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from lvmmed_jax import config as configs
from lvmmed_jax.methods import encoding, objective
from lvmmed_jax.models import projector
from lvmmed_jax.train import task


def make_task(config: configs.Config, mesh: Mesh) -> task.Task:
    """Builds the method for the training loop."""
    classifier = projector.MLP((config.supervised.num_classes,))

    def init(key, weights, feature_map):
        del weights
        own = classifier.init(key, jnp.zeros((1, feature_map.shape[-1])))
        return {"head": own["params"]}, {}

    def apply(params, model_state, encoded, batch, key):
        del key
        pooled = encoding.pooled(encoded)
        scores = classifier.apply({"params": params["head"]}, pooled)
        loss, accuracy = cross_entropy(scores, batch["label"])
        metrics = {"label_accuracy": accuracy}
        return objective.Found(loss, pooled[:, :2], model_state, metrics)

    return objective.make_task(config, mesh, objective.Objective(init, apply))


def cross_entropy(
    scores: Float[Array, "B V K"], labels: Int[Array, "B"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """-log softmax of the label's score, and accuracy: means over labelled views.

    Where no image has a label (all are -1), both are 0.
    """
    known = (labels >= 0)[:, None].astype(scores.dtype)
    chances = jax.nn.log_softmax(scores, axis=-1)
    true = jnp.maximum(labels, 0)[:, None, None]
    chances = jnp.take_along_axis(chances, true, axis=-1)[..., 0]  # B V
    right = jnp.argmax(scores, axis=-1) == labels[:, None]
    total = jnp.maximum(jnp.sum(known) * scores.shape[1], 1.0)
    return -jnp.sum(known * chances) / total, jnp.sum(known * right) / total
