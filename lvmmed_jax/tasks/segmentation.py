"""Classes of pixels, by U-Nets or one linear layer on an encoder's maps."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from lvmmed_jax import augmentation, finetune_config
from lvmmed_jax.methods import two_views
from lvmmed_jax.models import conv_unet, encoder_table, resnet, unet, vit, vit_table
from lvmmed_jax.tasks import losses, stem


def make_task(
    config: finetune_config.Finetune, origin: stem.Origin, target: stem.Target
) -> stem.Task:
    """Builds the task.

    Args:
      config: the run's settings.
      origin: of the encoder.
      target: the classes, background first.

    Raises:
      ValueError: a head that does not fit the encoder.
    """
    encoder = stem.make(config, origin)
    head, through = _make_head(config, encoder, len(target.class_names))

    def init(key):
        keys = jax.random.split(key)
        size = config.data.size
        params, model_state = stem.init(encoder, keys[0], size)
        inputs = through(params, model_state, jnp.zeros((1, size, size, 3)), False)[0]
        made = head.init(keys[1], *inputs, train=False)
        return {**params, "head": made["params"]}, {
            **model_state,
            "head_batch_stats": made.get("batch_stats", {}),
        }

    def scores(params, model_state, images, train):
        images = stem.normalise(encoder, images)
        inputs, statistics = through(params, model_state, images, train)
        variables = {
            "params": params["head"],
            "batch_stats": model_state["head_batch_stats"],
        }
        logits, updates = head.apply(
            variables, *inputs, train=train, mutable=["batch_stats"]
        )
        return logits, {
            "batch_stats": statistics,
            "head_batch_stats": updates.get("batch_stats", {}),
        }

    def loss_fn(params, model_state, batch, key):
        changed = augmentation.augment(batch, key, config.augmentation)
        logits, model_state = scores(params, model_state, changed["image"], train=True)
        counts = inside(batch["inner"], batch["mask"].shape[1])
        entropy = losses.cross_entropy(
            logits, changed["mask"], counts=counts, focal=config.loss.focal
        )
        dice = losses.soft_dice(logits, changed["mask"], counts)
        found = {"cross_entropy": entropy, "soft_dice": 1 - dice}
        return entropy + config.loss.dice * dice, (model_state, found)

    def predict(params, model_state, images):
        images = augmentation.plain(images)
        logits, _ = scores(params, model_state, images, train=False)
        return jax.nn.softmax(logits)

    return stem.Task(init, loss_fn, predict)


def inside(inner: jax.Array, side: int) -> jax.Array:
    """float32 [B, side, side]: 1 where a square is image, see `labels/batches.py`."""
    at = jnp.arange(side)
    rows, columns = (at[None] < inner[:, axis, None] for axis in (0, 1))
    return (rows[:, :, None] & columns[:, None, :]).astype(jnp.float32)


def _make_head(
    config: finetune_config.Finetune, encoder: stem.Stem, num_classes: int
) -> tuple[Any, Callable]:
    """The head, and what leads to it.

    Returns:
      A Flax module, and (params, model_state, normalised images, train) -> (what the
      module is called with, the encoder's new statistics).
    """
    name, kind = config.model.head, encoder.origin.encoder
    if name == "conv_unet":
        return _around_blocks(encoder, num_classes)
    stages = ()
    if name == "unet":
        if kind in vit_table.VARIANTS:
            raise ValueError(
                f"model.head=unet needs maps of several sizes, {kind} has one: use "
                "model.head=conv_unet or linear"
            )
        count = len(encoder_table.find(kind).stage_sizes)
        stages = tuple(range(0 if kind in resnet.VARIANTS else 1, count + 1))
        head = unet.UNet(num_classes, config.model.decoder_width)
    else:
        head = unet.LinearDense(num_classes)

    def through(params, model_state, images, train):
        maps, statistics = stem.apply(
            encoder, params, model_state, images, train=train, stages=stages
        )
        return (maps, images.shape[1:3]), statistics

    return head, through


def _around_blocks(encoder: stem.Stem, num_classes: int) -> tuple[Any, Callable]:
    """As `_make_head`, of the U-Net that has the encoder's blocks within."""
    kind, settings = encoder.origin.encoder, encoder.settings
    if kind not in vit_table.VARIANTS:
        raise ValueError(
            f"model.head=conv_unet has a vision transformer's blocks within; {kind} is "
            "none: use model.head=unet or linear"
        )
    width = vit_table.scaled(kind, settings.width).width

    def through(params, model_state, images, train):
        del train

        def blocks(feature_map):
            return vit.apply_blocks(
                kind,
                settings.width,
                jnp.dtype(settings.dtype),
                settings.remat,
                two_views.encoder_params(params),
                feature_map,
                encoder.frozen_stages,
            )

        return (images, blocks), model_state["batch_stats"]

    return conv_unet.ConvUNet(num_classes, width), through
