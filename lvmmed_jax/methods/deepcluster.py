"""DeepCluster-v2 (Caron et al. 2020, appendix): views tell their image's cluster.

Each image has a place in a bank, its record's number modulo `bank_size`, where the
embeddings of its two large views and its number are kept. The bank is clustered after
each `cluster_every` of the run, a head for itself, and until the next time a view's
target is the cluster that its image's embedding had then. With no more records than
places that is the official method (which clusters once an epoch, 1/400 of its run);
with more, an image whose place another one has taken meanwhile gets the nearest
centroid of its own present view. It all happens inside the step. Until the first
clustering the loss is 0 and the step only fills the bank, as the official code does
before its first epoch.
"""

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from lvmmed_jax import config as configs
from lvmmed_jax.matching import affinity
from lvmmed_jax.methods import encoding, objective, spherical_kmeans, swav
from lvmmed_jax.models import projector
from lvmmed_jax.train import task

_NOBODY = -1


def make_task(config: configs.Config, mesh: Mesh) -> task.Task:
    """Builds the method for the training loop."""
    settings = config.deepcluster
    head = projector.MLP((settings.hidden, settings.width))
    size, num_heads = settings.bank_size, settings.num_heads
    every = max(1, round(settings.cluster_every * config.train.steps))
    every *= config.optimizer.accumulate

    def init(key, weights, feature_map):
        del weights
        own = head.init(key, jnp.zeros((1, feature_map.shape[-1])))["params"]
        shape = (num_heads, settings.num_prototypes, settings.width)
        return {"head": own}, {
            "bank": jnp.zeros((2, size, settings.width)),
            "owners": jnp.full(size, _NOBODY, jnp.int32),
            "clustered_owners": jnp.full(size, _NOBODY, jnp.int32),
            "assigned": jnp.zeros((num_heads, size), jnp.int32),
            "centroids": jnp.zeros(shape),
            "calls": jnp.zeros((), jnp.int32),
        }

    def apply(params, model_state, encoded, batch, key):
        pooled = encoding.pooled(encoded)
        embedding = affinity.normalise(head.apply({"params": params["head"]}, pooled))
        own = jax.lax.stop_gradient(embedding[:, :2])
        state = model_state
        if "index" in batch:
            due = (model_state["calls"] % every == 0) & (model_state["calls"] > 0)
            state = jax.lax.cond(due, _cluster, lambda state, _: state, state, key)
        targets = _targets(state, own, batch.get("index"))
        scores = jnp.einsum("bvf,hkf->hbvk", embedding, state["centroids"])
        loss = cluster_loss(scores, targets, settings.temperature)
        loss = jnp.where(jnp.any(state["clustered_owners"] != _NOBODY), loss, 0.0)
        if "index" in batch:
            state = _keep(state, own, batch["index"])
        metrics = {"prototypes_used": swav.used(targets[0], settings.num_prototypes)}
        return objective.Found(loss, embedding[:, :2], state, metrics)

    def _cluster(state, key):
        """Head h clusters the embeddings of large view h % 2."""
        found = [
            spherical_kmeans.fit(
                state["bank"][number % 2],
                state["owners"] != _NOBODY,
                settings.num_prototypes,
                settings.num_iterations,
                jax.random.fold_in(key, number),
            )
            for number in range(num_heads)
        ]
        return {
            **state,
            "centroids": jnp.stack([each.centroids for each in found]),
            "assigned": jnp.stack([each.assigned for each in found]),
            "clustered_owners": state["owners"],
        }

    def _targets(state, own, index):
        """[H, B] clusters of the batch's images; own: [B, 2, F]."""
        present = jnp.stack(
            [
                spherical_kmeans.nearest(own[:, number % 2], state["centroids"][number])
                for number in range(num_heads)
            ]
        )
        if index is None:
            return present
        places = index % size
        kept = (state["clustered_owners"][places] == index)[None]
        return jnp.where(kept, state["assigned"][:, places], present)

    def _keep(state, own, index):
        """Writes a batch's embeddings [B, 2, F] to their places in the bank."""
        places = index % size
        places = jnp.where(_is_last(places), places, size)  # beyond the end: dropped
        embeddings = jnp.swapaxes(own, 0, 1)
        owners = index.astype(jnp.int32)
        return {
            **state,
            "bank": state["bank"].at[:, places].set(embeddings, mode="drop"),
            "owners": state["owners"].at[places].set(owners, mode="drop"),
            "calls": state["calls"] + 1,
        }

    return objective.make_task(config, mesh, objective.Objective(init, apply))


def _is_last(places):
    """[B] whether no later image of the batch has the same place."""
    same = places[:, None] == places[None]
    return ~jnp.any(jnp.triu(same, 1), axis=1)


def cluster_loss(
    scores: Float[Array, "H B V K"], targets: Int[Array, "H B"], temperature: float
) -> Float[Array, ""]:
    """Cross-entropy of every view with its image's cluster, the mean over H heads."""
    chances = jax.nn.log_softmax(scores / temperature, axis=-1)
    return -jnp.mean(jnp.take_along_axis(chances, targets[:, :, None, None], axis=-1))
