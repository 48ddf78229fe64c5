"""An encoder as a function of a batch: pooled features or maps, of some layers."""

from collections.abc import Callable, Iterable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from lvmmed_jax import encoders

LAST = "features"  # name of the array where no layer is named

Apply = Callable[[np.ndarray], dict[str, jax.Array]]


def names(layers: Sequence[int]) -> list[str]:
    """Names of the arrays, a layer each."""
    return [f"layer_{layer}" for layer in layers] or [LAST]


def deepest(arrays: Iterable[str]) -> str:
    """The name of the last layer's array among these."""
    return max(arrays, key=lambda name: (len(name), name))  # layer_10 after layer_9


def make(encoder: encoders.Encoder, layers: Sequence[int], *, dense: bool) -> Apply:
    """The function of uint8 images [B, S, S, 3].

    Args:
      encoder: see there.
      layers: numbers of its stages; none: the last, named `LAST`.
      dense: whether the maps [B, R, S, D] are wanted, not their means [B, D].
    """

    @jax.jit
    def apply(variables, images):
        images = images.astype(jnp.float32) / 255
        if not layers:
            own = encoder.apply if dense else encoder.pool
            return {LAST: own(variables, images)}
        maps = encoder.apply(variables, images, tuple(layers))
        found = maps if dense else [jnp.mean(each, axis=(1, 2)) for each in maps]
        return dict(zip(names(layers), found, strict=True))

    return lambda images: apply(encoder.variables, images)


def shapes(apply: Apply, size: int) -> dict[str, list[int]]:
    """The shape of what `apply` gives for one image of this size, by name.

    Raises:
      ValueError: the encoder has no such layer, or takes no such images.
    """
    found = jax.eval_shape(apply, np.zeros((1, size, size, 3), np.uint8))
    return {name: list(each.shape[1:]) for name, each in found.items()}
