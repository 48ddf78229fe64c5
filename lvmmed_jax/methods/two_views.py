"""What methods of two views share: a batch to views, feature maps and embeddings."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from lvmmed_jax import config as configs
from lvmmed_jax import metrics
from lvmmed_jax.matching import affinity
from lvmmed_jax.methods import encoding
from lvmmed_jax.models import projector
from lvmmed_jax.train import task


class Networks(NamedTuple):
    """The two Flax modules of matching and SimCLR."""

    encoder: Any
    projector: Any


class Forward(NamedTuple):
    """A batch of B images up to its embeddings."""

    views: jax.Array  # [B, 2, h, w, 3] in [0, 1]
    locations: jax.Array  # [B, 2, R, S, 2]
    feature_map: jax.Array  # [B, 2, R, S, D]
    embedding: jax.Array  # [B, 2, F], the projector's output


def make_networks(settings: configs.Model) -> Networks:
    """The modules that `settings` describes.

    Raises:
      ValueError: an encoder that does not exist.
    """
    return Networks(
        encoding.make_encoder(settings),
        projector.Projector(settings.projection_width, settings.projection_hidden),
    )


def init(networks: Networks, config: configs.Config, keys: jax.Array):
    """Two keys -> (params, model_state), each a dict with an entry a network."""
    params, model_state, feature_map = encoding.init(networks.encoder, config, keys[0])
    own, own_state = init_projector(networks, keys[1], feature_map)
    return {**params, **own}, {**model_state, **own_state}


def init_projector(networks: Networks, key: jax.Array, feature_map):
    """Key -> (params, model_state) of the projector; of a map [1, R, S, D]."""
    head = networks.projector.init(key, jnp.zeros(feature_map.shape))
    model_state = {}
    if "batch_stats" in head:
        model_state["projector_batch_stats"] = head["batch_stats"]
    return {"projector": head["params"]}, model_state


def forward(
    networks: Networks, config: configs.Config, params, model_state, batch, key
) -> tuple[Forward, Any]:
    """Steps 1 to 3 of Algorithm 1: views, feature maps, embeddings.

    Args:
      networks: of `make_networks`.
      config: the run's settings.
      params: {"encoder", "projector", ...}, see `encoding.encode`.
      model_state: {"batch_stats", ...}.
      batch: see `data_pipelines.mixture`.
      key: of the views.

    Returns:
      The forward pass, and `model_state` with new BatchNorm statistics.
    """
    encoded, model_state = encoding.encode(
        networks.encoder, config, params, model_state, batch, key
    )
    return project(networks, params, model_state, encoded.large)


def project(
    networks: Networks, params, model_state, large: encoding.Crops
) -> tuple[Forward, Any]:
    """Step 3 of Algorithm 1; BatchNorm's statistics are those of both views."""
    feature_map = large.feature_map
    folded = feature_map.reshape(-1, *feature_map.shape[2:])  # 2B R S D
    head = {"params": params["projector"]}
    if "projector_batch_stats" in model_state:
        head["batch_stats"] = model_state["projector_batch_stats"]
    embedding, updates = networks.projector.apply(head, folded, mutable=["batch_stats"])
    if "batch_stats" in updates:
        statistics = updates["batch_stats"]
        model_state = {**model_state, "projector_batch_stats": statistics}
    embedding = embedding.reshape(-1, 2, embedding.shape[-1])  # B 2 F
    return Forward(*large, embedding), model_state


def agreement(embedding: jax.Array, graph_size: int) -> task.Metrics:
    """Affinities, and `embedding_metrics`, of embeddings [B, 2, F]."""
    cosines = affinity.cosine(embedding[:, 0], embedding[:, 1])
    true, other = affinity.mean_affinities(cosines)
    return {
        "affinity_true": true,
        "affinity_other": other,
        **embedding_metrics(embedding, graph_size),
    }


def embedding_metrics(embedding: jax.Array, graph_size: int) -> task.Metrics:
    """Rank, spread and retrieval of embeddings [B, 2, F], whatever trained them."""
    flat = embedding.reshape(-1, embedding.shape[-1])
    groups = embedding.reshape(-1, graph_size, *embedding.shape[1:])  # G N 2 F
    cosines = jax.vmap(affinity.cosine)(groups[:, :, 0], groups[:, :, 1])
    return {
        "retrieval_accuracy": metrics.retrieval_accuracy(cosines),
        "embedding_rank": metrics.embedding_rank(flat),
        "embedding_std": metrics.embedding_std(flat),
    }
