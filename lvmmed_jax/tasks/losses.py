"""Losses of downstream tasks: cross-entropy with its variants, soft Dice."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

_SMOOTH = 1e-6  # the paper's code


def cross_entropy(
    logits: Float[Array, "*N K"],
    labels: Int[Array, "*N"],
    *,
    counts: Float[Array, "*N"] | None = None,
    class_weights: tuple[float, ...] = (),
    focal: float = 0.0,
) -> Float[Array, ""]:
    """The mean of -w_y (1 - p_y)^focal log p_y, p the softmax.

    Divided by the sum of `counts` times w_y (torch's weighted mean).

    Args:
      logits: any numbers whose softmax is p.
      labels: y, from 0.
      counts: how much each entry counts; None: 1.
      class_weights: w; empty: 1 each.
      focal: 0 is plain cross-entropy (Lin et al. 2017, Eq. 4).
    """
    chances = jax.nn.log_softmax(logits)
    own = jnp.take_along_axis(chances, labels[..., None], axis=-1)[..., 0]
    losses = -own * _modulation(jnp.exp(own), focal)
    weights = jnp.ones_like(own) if counts is None else counts
    if class_weights:
        weights = weights * jnp.asarray(class_weights, own.dtype)[labels]
    return jnp.sum(weights * losses) / jnp.maximum(jnp.sum(weights), _SMOOTH)


def binary_cross_entropy(
    logits: Float[Array, "B K"],
    labels: Float[Array, "B K"],
    *,
    positive_weights: tuple[float, ...] = (),
    focal: float = 0.0,
) -> Float[Array, ""]:
    """The mean over images and labels, each label for itself; as `cross_entropy`.

    Args:
      logits: of sigmoids.
      labels: 0 or 1.
      positive_weights: of the label where it is there (torch's pos_weight); empty: 1.
      focal: see `cross_entropy`.
    """
    there, absent = jax.nn.log_sigmoid(logits), jax.nn.log_sigmoid(-logits)
    weights = jnp.ones_like(logits)
    if positive_weights:
        weights = weights * jnp.asarray(positive_weights, logits.dtype)[None]
    positive = -weights * there * _modulation(jnp.exp(there), focal)
    negative = -absent * _modulation(jnp.exp(absent), focal)
    return jnp.mean(labels * positive + (1 - labels) * negative)


def soft_dice(
    logits: Float[Array, "B H W K"],
    labels: Int[Array, "B H W"],
    counts: Float[Array, "B H W"],
) -> Float[Array, ""]:
    """1 - the mean over classes of (2 I + s) / (P + T + s), the batch as one image.

    I, P and T are the sums of p t, p and t over all pixels, p the softmax and t the
    truth as 0 and 1; background is a class (the paper's code).

    Args:
      logits: of the softmax.
      labels: from 0.
      counts: 0 for pixels that are beside the image, else 1.
    """
    chances = jax.nn.softmax(logits) * counts[..., None]
    truth = jax.nn.one_hot(labels, logits.shape[-1]) * counts[..., None]
    axes = tuple(range(logits.ndim - 1))
    both = jnp.sum(chances * truth, axes)
    total = jnp.sum(chances, axes) + jnp.sum(truth, axes)
    return 1 - jnp.mean((2 * both + _SMOOTH) / (total + _SMOOTH))


def _modulation(chance: jax.Array, focal: float) -> jax.Array | float:
    """What makes a focal loss of one; at a chance of 1 its gradient is finite."""
    return jnp.maximum(1 - chance, 1e-6) ** focal if focal else 1.0
