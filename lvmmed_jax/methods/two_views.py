"""What methods of two views share: a batch to views, feature maps and embeddings."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from lvmmed_jax import config as configs
from lvmmed_jax import metrics, views
from lvmmed_jax.matching import affinity
from lvmmed_jax.models import encoder_table, low_rank, projector
from lvmmed_jax.train import task


class Networks(NamedTuple):
    """The two Flax modules that every method has."""

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
    row = encoder_table.find(settings.encoder)
    return Networks(
        row.make(
            settings.encoder,
            settings.width,
            jnp.dtype(settings.dtype),
            settings.remat,
        ),
        projector.Projector(settings.projection_width, settings.projection_hidden),
    )


def init(networks: Networks, config: configs.Config, keys: jax.Array):
    """Two keys -> (params, model_state), each a dict with an entry a network."""
    images = jnp.zeros((1, config.views.size, config.views.size, 3))
    encoder = networks.encoder.init(keys[0], images, train=False)
    feature_map = networks.encoder.apply(encoder, images, train=False)
    head = networks.projector.init(keys[1], feature_map)
    params = {"encoder": encoder["params"], "projector": head["params"]}
    if config.model.lora_rank:
        key = jax.random.fold_in(keys[0], 1)
        params["lora"] = low_rank.init(key, encoder["params"], config.model.lora_rank)
    model_state = {"batch_stats": encoder.get("batch_stats", {})}
    if "batch_stats" in head:
        model_state["projector_batch_stats"] = head["batch_stats"]
    return params, model_state


def encoder_params(params: dict[str, Any]) -> dict[str, Any]:
    """The parameters of a plain encoder: with additions of low rank, their sum."""
    if "lora" not in params:
        return params["encoder"]
    return low_rank.merge(jax.lax.stop_gradient(params["encoder"]), params["lora"])


def forward(
    networks: Networks, config: configs.Config, params, model_state, batch, key
) -> tuple[Forward, Any]:
    """Steps 1 to 3 of Algorithm 1: views, feature maps, embeddings.

    BatchNorm uses the statistics of the batch, both views together.

    Args:
      networks: of `make_networks`.
      config: the run's settings.
      params: {"encoder", "projector", ...}; with "lora", the encoder is not trained.
      model_state: {"batch_stats", ...}.
      batch: see `data_pipelines.mixture`.
      key: of the views.

    Returns:
      The forward pass, and `model_state` with new BatchNorm statistics.
    """
    size, encoder = config.views.size, encoder_params(params)
    grid = jax.eval_shape(
        functools.partial(networks.encoder.apply, train=False),
        {"params": encoder, "batch_stats": model_state["batch_stats"]},
        jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32),
    ).shape[1:3]
    cell_centres = encoder_table.find(config.model.encoder).cell_centres
    centres = tuple(cell_centres(num_cells, size) for num_cells in grid)
    two_views, locations = views.make_views(
        batch["image"], batch["size"], key, config.views, centres
    )
    inputs = views.normalise(two_views, config.data.mean, config.data.std)
    folded = inputs.reshape(-1, *inputs.shape[2:])  # 2B h w 3
    feature_map, updates = networks.encoder.apply(
        {"params": encoder, "batch_stats": model_state["batch_stats"]},
        folded,
        train=True,
        frozen=config.optimizer.frozen_stages,
        mutable=["batch_stats"],
    )
    model_state = {**model_state, "batch_stats": updates.get("batch_stats", {})}
    head = {"params": params["projector"]}
    if "projector_batch_stats" in model_state:
        head["batch_stats"] = model_state["projector_batch_stats"]
    embedding, updates = networks.projector.apply(
        head, feature_map, mutable=["batch_stats"]
    )
    if "batch_stats" in updates:
        model_state["projector_batch_stats"] = updates["batch_stats"]
    embedding = embedding.reshape(-1, 2, embedding.shape[-1])  # B 2 F
    feature_map = feature_map.reshape(-1, 2, *feature_map.shape[1:])
    return Forward(two_views, locations, feature_map, embedding), model_state


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
