"""A loss on encoded views, and the training task made of one or of a sum of them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from lvmmed_jax import config as configs
from lvmmed_jax.methods import encoding, graph_matching, two_views
from lvmmed_jax.train import task


class Found(NamedTuple):
    """What a loss makes of a batch.

    Attributes:
      loss: [].
      embedding: [B, 2, F], of the two large views.
      model_state: after the step.
      metrics: of the training step.
    """

    loss: jax.Array
    embedding: jax.Array
    model_state: Any
    metrics: task.Metrics


class Objective(NamedTuple):
    """A loss with the networks and the state that belong to it and not to the encoder.

    Attributes:
      init: (key, the encoder's parameters, shape of its map [1, R, S, D]) ->
        (params, model_state), dicts whose keys no other objective has.
      apply: (params, model_state, encoding.Encoded, batch, key) -> Found; the batch has
        no "index" where its images are not those that are trained on.
    """

    init: Callable[..., tuple[Any, Any]]
    apply: Callable[..., Found]


def make_task(config: configs.Config, mesh: Mesh, objective: Objective) -> task.Task:
    """Builds a method for the training loop.

    Args:
      config: the run's settings; with `matching.beside`, the matching loss is added.
      mesh: the devices.
      objective: what is minimised.
    """
    encoder = encoding.make_encoder(config.model)
    if config.matching.beside:
        objective = add(objective, matching(config, mesh), config.matching.beside)

    def init(key):
        keys = jax.random.split(key, 3)
        params, model_state, feature_map = encoding.init(encoder, config, keys[0])
        own, own_state = objective.init(keys[1], params["encoder"], feature_map)
        return {**params, **own}, {**model_state, **own_state}

    def loss_fn(params, model_state, batch, key):
        view_key, noise_key = jax.random.split(key)
        encoded, model_state = encoding.encode(
            encoder, config, params, model_state, batch, view_key
        )
        found = objective.apply(params, model_state, encoded, batch, noise_key)
        return found.loss, (found.model_state, found.metrics)

    def evaluate(params, model_state, batch, key):
        encoded, model_state = encoding.encode(
            encoder, config, params, model_state, batch, key
        )
        others = {name: x for name, x in batch.items() if name != "index"}
        # not the views' keys: those too are the key and an index
        noise_key = jax.random.fold_in(key, graph_matching.NOISE)
        found = objective.apply(params, model_state, encoded, others, noise_key)
        return {
            "loss_no_noise": found.loss,
            **two_views.agreement(found.embedding, config.matching.graph_size),
        }

    return task.Task(init, loss_fn, evaluate)


def of_head(head: Any, loss_of: Callable[[jax.Array], jax.Array]) -> Objective:
    """A loss of projected mean features alone, which carries nothing.

    Args:
      head: a Flax module, [B, V, D] -> [B, V, F].
      loss_of: embeddings [B, V, F], the two large views first -> [].
    """

    def init(key, weights, feature_map):
        del weights
        own = head.init(key, jnp.zeros((1, feature_map.shape[-1])))
        return {"head": own["params"]}, {}

    def apply(params, model_state, encoded, batch, key):
        del batch, key
        pooled = encoding.pooled(encoded)
        embedding = head.apply({"params": params["head"]}, pooled)
        return Found(loss_of(embedding), embedding[:, :2], model_state, {})

    return Objective(init, apply)


def add(first: Objective, second: Objective, weight: float) -> Objective:
    """The loss of `first` and `weight` times that of `second`, on the same views."""

    def init(key, encoder, feature_map):
        params, model_state = first.init(key, encoder, feature_map)
        more, more_state = second.init(jax.random.fold_in(key, 1), encoder, feature_map)
        return {**params, **more}, {**model_state, **more_state}

    def apply(params, model_state, encoded, batch, key):
        found = first.apply(params, model_state, encoded, batch, key)
        also = second.apply(params, found.model_state, encoded, batch, key)
        return Found(
            found.loss + weight * also.loss,
            found.embedding,
            also.model_state,
            {**found.metrics, **also.metrics},
        )

    return Objective(init, apply)


def matching(config: configs.Config, mesh: Mesh) -> Objective:
    """Steps 3 to 12 of the paper's Algorithm 1."""
    networks = two_views.make_networks(config.model)
    loss_of = graph_matching.make_loss(config, mesh)

    def init(key, encoder, feature_map):
        del encoder
        params, model_state = two_views.init_projector(networks, key, feature_map)
        layers = graph_matching.init_layers(config, jax.random.fold_in(key, 1))
        return {**params, "message_passing": layers}, model_state

    def apply(params, model_state, encoded, batch, key):
        del batch
        pair, model_state = two_views.project(
            networks, params, model_state, encoded.large
        )
        loss, metrics = loss_of(params, pair, key)
        found = {"matching_loss": loss, **metrics}
        return Found(loss, pair.embedding, model_state, found)

    return Objective(init, apply)


def progress(config: configs.Config, calls: jax.Array) -> jax.Array:
    """The share of the run that is done, in [0, 1].

    Args:
      config: the run's settings.
      calls: [] of `Objective.apply` before this one; a part of a batch has its own.
    """
    total = config.train.steps * config.optimizer.accumulate
    return jnp.minimum(calls / total, 1.0)
