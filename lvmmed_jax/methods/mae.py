"""MAE (He et al. 2022): pixels of hidden patches from those that are visible.

Both views of the pair are taken, each by itself; the paper has one, cropped and flipped
only (`views.jitter_probability=0 views.blur_probability=0`). The decoder does not see
the encoder's class token.
"""

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from lvmmed_jax import config as configs
from lvmmed_jax import views
from lvmmed_jax.methods import encoding, objective
from lvmmed_jax.models import mae_decoder, vit_table
from lvmmed_jax.train import task

_EPSILON = 1e-6  # of a patch's variance


def make_task(config: configs.Config, mesh: Mesh) -> task.Task:
    """Builds the method for the training loop.

    Raises:
      ValueError: an encoder that cannot leave patches out, or views that are not whole
        patches.
    """
    settings, name = config.mae, config.model.encoder
    row = vit_table.VARIANTS.get(name)
    if row is None or row.window or row.relative:
        raise ValueError(
            f"train.method='mae' needs a plain ViT, which model.encoder={name!r} is "
            "not: one with neither windows nor relative positions"
        )
    if config.views.size % row.patch:
        raise ValueError(
            f"views.size={config.views.size} must be a multiple of {name}'s patches "
            f"of {row.patch} pixels with train.method='mae'"
        )
    encoder = encoding.make_encoder(config.model)
    decoder = mae_decoder.Decoder(
        row.patch,
        settings.decoder_width,
        settings.decoder_depth,
        settings.decoder_heads,
    )
    side = config.views.size // row.patch
    num_visible = max(round(side**2 * (1 - settings.masked)), 1)

    def init(key, weights, feature_map):
        del weights
        visible = jnp.zeros((1, num_visible, feature_map.shape[-1]))
        places = jnp.zeros((1, num_visible), jnp.int32)
        own = decoder.init(key, visible, places, (side, side))
        return {"decoder": own["params"]}, {}

    def apply(params, model_state, encoded, batch, key):
        del batch  # XLA leaves out the whole images' feature maps: nothing reads them
        made = encoded.large.views
        inputs = views.normalise(made, config.data.mean, config.data.std)
        inputs = inputs.reshape(-1, *inputs.shape[2:])  # 2B h w 3
        hidden, visible = split(key, len(inputs), side**2, num_visible)
        tokens = encoder.apply(
            {"params": encoding.encoder_params(params)},
            inputs,
            train=True,
            frozen=config.optimizer.frozen_stages,
            visible=visible,
        )
        told = decoder.apply(
            {"params": params["decoder"]}, tokens, visible, (side, side)
        )
        loss = reconstruction(
            told, patches_of(inputs, row.patch), hidden, settings.normalise
        )
        embedding = jnp.mean(tokens, axis=1).reshape(*made.shape[:2], -1)
        return objective.Found(loss, embedding, model_state, {})

    return objective.make_task(config, mesh, objective.Objective(init, apply))


def split(
    key: Array, count: int, num_patches: int, num_visible: int
) -> tuple[Int[Array, "B H"], Int[Array, "B L"]]:
    """Numbers of hidden and of visible patches, drawn for each image by its number."""

    def one(index):
        return jax.random.permutation(jax.random.fold_in(key, index), num_patches)

    order = jax.vmap(one)(jnp.arange(count))
    return order[:, num_visible:], order[:, :num_visible]


def patches_of(images: Float[Array, "B H W C"], patch: int) -> Float[Array, "B L P"]:
    """Patches row by row, each its pixels row by row, P = patch patch C."""
    batch, height, width, channels = images.shape
    rows, columns = height // patch, width // patch
    tiles = images.reshape(batch, rows, patch, columns, patch, channels)
    return tiles.swapaxes(2, 3).reshape(batch, rows * columns, -1)


def reconstruction(
    told: Float[Array, "B L P"],
    true: Float[Array, "B L P"],
    hidden: Int[Array, "B H"],
    normalise: bool,
) -> Float[Array, ""]:
    """Mean squared error over the pixels of hidden patches.

    With `normalise`, true patches have mean 0 and deviation 1 (section 4.1).
    """
    if normalise:
        mean = jnp.mean(true, axis=-1, keepdims=True)
        variance = jnp.var(true, axis=-1, keepdims=True, ddof=1)
        true = (true - mean) / jnp.sqrt(variance + _EPSILON)
    errors = jnp.mean((told - true) ** 2, axis=-1)
    return jnp.mean(jnp.take_along_axis(errors, hidden, axis=1))
