"""SwAV (Caron et al. 2020): each view tells the other's place among prototypes.

Prototypes start at length one and are divided by their length wherever they are used;
the official code divides the parameters after each update.
"""

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float

from lvmmed_jax import config as configs
from lvmmed_jax.matching import affinity
from lvmmed_jax.methods import encoding, objective
from lvmmed_jax.models import projector
from lvmmed_jax.train import task

_NEVER = -1e30  # log of the weight of a row that does not count


def make_task(config: configs.Config, mesh: Mesh) -> task.Task:
    """Builds the method for the training loop."""
    settings = config.swav
    head = projector.MLP((settings.hidden, settings.width))

    def init(key, weights, feature_map):
        del weights
        keys = jax.random.split(key)
        shape = (settings.num_prototypes, settings.width)
        return {
            "head": head.init(keys[0], jnp.zeros((1, feature_map.shape[-1])))["params"],
            "prototypes": affinity.normalise(jax.random.normal(keys[1], shape)),
        }, {
            "queue": jnp.zeros((2, settings.queue_size, settings.width)),
            "queued": jnp.zeros((), jnp.int32),
            "calls": jnp.zeros((), jnp.int32),
        }

    def apply(params, model_state, encoded, batch, key):
        del batch, key
        calls, queued = model_state["calls"], model_state["queued"]
        done = objective.progress(config, calls)
        prototypes = affinity.normalise(params["prototypes"])
        prototypes = jnp.where(
            done < settings.frozen, jax.lax.stop_gradient(prototypes), prototypes
        )
        pooled = encoding.pooled(encoded)
        embedding = affinity.normalise(head.apply({"params": params["head"]}, pooled))
        queue_counts = (queued >= settings.queue_size) & (done >= settings.queue_from)
        loss, assigned = swapped_loss(
            embedding @ prototypes.T,
            model_state["queue"] @ prototypes.T,
            queue_counts,
            settings.temperature,
            settings.epsilon,
            settings.num_iterations,
        )
        newest = jax.lax.stop_gradient(jnp.swapaxes(embedding[:, :2], 0, 1))  # 2 B F
        queue = jnp.concatenate([newest, model_state["queue"]], axis=1)
        model_state = {
            **model_state,
            "queue": queue[:, : settings.queue_size],
            "queued": jnp.minimum(queued + len(pooled), settings.queue_size),
            "calls": calls + 1,
        }
        metrics = {"prototypes_used": used(jnp.argmax(assigned, -1), len(prototypes))}
        return objective.Found(loss, embedding[:, :2], model_state, metrics)

    return objective.make_task(config, mesh, objective.Objective(init, apply))


def swapped_loss(
    scores: Float[Array, "B V K"],
    queue_scores: Float[Array, "2 Q K"],
    queue_counts: Bool[Array, ""],
    temperature: float,
    epsilon: float,
    num_iterations: int,
) -> tuple[Float[Array, ""], Float[Array, "B 2 K"]]:
    """Eq. 1 and 2: every view tells where each large view is assigned, but its own.

    Args:
      scores: cosines of the views' embeddings with K prototypes; two large views first.
      queue_scores: of embeddings of earlier large views.
      queue_counts: whether these take part in the assignment.
      temperature: of the prediction.
      epsilon: see `sinkhorn`.
      num_iterations: likewise.

    Returns:
      The loss, and the assignments of the large views.
    """
    count, num_views = scores.shape[:2]
    chances = jax.nn.log_softmax(scores / temperature, axis=-1)
    counts = jnp.concatenate(
        [jnp.ones(count, bool), jnp.broadcast_to(queue_counts, queue_scores.shape[1:2])]
    )
    assigned = [
        sinkhorn(
            jnp.concatenate([scores[:, view], queue_scores[view]]),
            epsilon,
            num_iterations,
            counts,
        )[:count]
        for view in (0, 1)
    ]
    assigned = jax.lax.stop_gradient(jnp.stack(assigned, axis=1))  # B 2 K
    told = jnp.einsum("btk,bvk->tv", assigned, chances) / count
    told = jnp.where(jnp.eye(2, num_views, dtype=bool), 0.0, told)
    return -jnp.sum(told) / (2 * (num_views - 1)), assigned


def sinkhorn(
    scores: Float[Array, "B K"],
    epsilon: float,
    num_iterations: int,
    counts: Bool[Array, "B"] | None = None,
) -> Float[Array, "B K"]:
    """Eq. 3 and 4: soft assignments that use all prototypes about equally.

    exp(scores / epsilon), whose columns and then rows are divided by their sums, time
    after time; in logarithms, so that nothing overflows. Rows sum to 1.

    Args:
      scores: cosines.
      epsilon: smoothness, above 0.
      num_iterations: at least 1.
      counts: rows that take part; None: all. What is found for others means nothing.
    """
    logs = scores / epsilon
    for _ in range(num_iterations):
        if counts is not None:
            logs = jnp.where(counts[:, None], logs, _NEVER)
        logs -= jax.nn.logsumexp(logs, axis=0, keepdims=True)
        logs -= jax.nn.logsumexp(logs, axis=1, keepdims=True)
    return jnp.exp(logs)


def used(assigned, num_prototypes: int) -> Float[Array, ""]:
    """The share of prototypes that some view is assigned to; int of any shape."""
    hits = jnp.zeros(num_prototypes).at[assigned.reshape(-1)].max(1.0)
    return jnp.mean(hits)
