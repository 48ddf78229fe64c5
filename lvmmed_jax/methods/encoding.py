"""A batch to views and their feature maps: what every method begins with."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from lvmmed_jax import config as configs
from lvmmed_jax import views
from lvmmed_jax.models import encoder_table, low_rank


class Crops(NamedTuple):
    """Views of one size, V of each image."""

    views: jax.Array  # [B, V, h, w, 3] in [0, 1]
    locations: jax.Array  # [B, V, R, S, 2]
    feature_map: jax.Array  # [B, V, R, S, D]


class Encoded(NamedTuple):
    """A batch of B images up to its feature maps."""

    large: Crops  # two views
    small: Crops | None  # `views.small_crops` further ones


def make_encoder(settings: configs.Model) -> Any:
    """The Flax module that `settings` describes.

    Raises:
      ValueError: an encoder that does not exist.
    """
    row = encoder_table.find(settings.encoder)
    return row.make(
        settings.encoder, settings.width, jnp.dtype(settings.dtype), settings.remat
    )


def init(encoder: Any, config: configs.Config, key: jax.Array):
    """Key -> (params, model_state, [1, R, S, D] the shape of a large view's map)."""
    images = jnp.zeros((1, config.views.size, config.views.size, 3))
    variables = encoder.init(key, images, train=False)
    params = {"encoder": variables["params"]}
    if config.model.lora_rank:
        params["lora"] = low_rank.init(
            jax.random.fold_in(key, 1), variables["params"], config.model.lora_rank
        )
    feature_map = jax.eval_shape(
        functools.partial(encoder.apply, train=False), variables, images
    )
    return params, {"batch_stats": variables.get("batch_stats", {})}, feature_map


def encoder_params(params: dict[str, Any]) -> dict[str, Any]:
    """The parameters of a plain encoder: with additions of low rank, their sum."""
    if "lora" not in params:
        return params["encoder"]
    return low_rank.merge(jax.lax.stop_gradient(params["encoder"]), params["lora"])


def encode(
    encoder: Any, config: configs.Config, params, model_state, batch, key
) -> tuple[Encoded, Any]:
    """Steps 1 and 2 of Algorithm 1: views and feature maps.

    BatchNorm uses the statistics of the batch, all views of one size together.

    Args:
      encoder: of `make_encoder`.
      config: the run's settings.
      params: {"encoder", ...}; with "lora", the encoder is not trained.
      model_state: {"batch_stats", ...}.
      batch: see `data_pipelines.mixture`.
      key: of the views.

    Returns:
      What was found, and `model_state` with new BatchNorm statistics.
    """
    weights, settings = encoder_params(params), config.views
    found, statistics = [], model_state["batch_stats"]
    for make, size, count in (
        (views.make_views, settings.size, 2),
        (views.make_small_views, settings.small_size, settings.small_crops),
    ):
        if not count:
            found.append(None)
            continue
        variables = {"params": weights, "batch_stats": statistics}
        centres = _centres(encoder, config.model.encoder, variables, size)
        made, locations = make(batch["image"], batch["size"], key, settings, centres)
        feature_map, statistics = apply(encoder, config, weights, statistics, made)
        found.append(Crops(made, locations, feature_map))
    return Encoded(*found), {**model_state, "batch_stats": statistics}


def apply(encoder: Any, config: configs.Config, weights, statistics, made):
    """Views [B, V, h, w, 3] in [0, 1] -> (maps [B, V, R, S, D], new statistics)."""
    inputs = views.normalise(made, config.data.mean, config.data.std)
    folded = inputs.reshape(-1, *inputs.shape[2:])  # BV h w 3
    feature_map, updates = encoder.apply(
        {"params": weights, "batch_stats": statistics},
        folded,
        train=True,
        frozen=config.optimizer.frozen_stages,
        mutable=["batch_stats"],
    )
    feature_map = feature_map.reshape(*made.shape[:2], *feature_map.shape[1:])
    return feature_map, updates.get("batch_stats", {})


def pooled(encoded: Encoded) -> jax.Array:
    """[B, V, D] mean features of all views, the two large ones first."""
    maps = [each.feature_map for each in encoded if each is not None]
    return jnp.concatenate([jnp.mean(each, axis=(2, 3)) for each in maps], axis=1)


def _centres(encoder, name, variables, size):
    """Where the rows and columns of the feature map of a view lie in it."""
    grid = jax.eval_shape(
        functools.partial(encoder.apply, train=False),
        variables,
        jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32),
    ).shape[1:3]
    cell_centres = encoder_table.find(name).cell_centres
    return tuple(cell_centres(num_cells, size) for num_cells in grid)
