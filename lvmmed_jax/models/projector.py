"""What stands on an encoder in pre-training only: projectors, classifiers."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

_HIGHEST = jax.lax.Precision.HIGHEST
_EPSILON = 1e-5


class Projector(nn.Module):
    """z = h(Avg(y)) (section 3.2.1); h is one linear layer (appendix A).

    Attributes:
      width: F, the length of an embedding.
      hidden: width of a layer before it, with BatchNorm over the batch and ReLU (as
        VICReg and SimCLR have it); 0: none, the paper's.
    """

    width: int
    hidden: int = 0

    @nn.compact
    def __call__(self, feature_map: jax.Array) -> jax.Array:
        """[B, R, S, D] -> [B, F]."""
        x = jnp.mean(feature_map, axis=(1, 2))
        if self.hidden:
            x = nn.Dense(self.hidden, use_bias=False, precision=_HIGHEST)(x)
            x = nn.relu(nn.BatchNorm(use_running_average=False)(x))
        return nn.Dense(self.width, precision=_HIGHEST)(x)


class MLP(nn.Module):
    """Linear layers of vectors; those of the literature's heads differ in the rest.

    Attributes:
      widths: of the layers, one after another.
      norm: whether BatchNorm follows every layer but the last.
      last_norm: whether it follows the last too, without a scale and an offset.
      activation: after every layer but the last.
    """

    widths: tuple[int, ...]
    norm: bool = True
    last_norm: bool = False
    activation: Callable[[jax.Array], jax.Array] = nn.relu

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[..., D] -> [..., F]."""
        for width in self.widths[:-1]:
            x = nn.Dense(width, use_bias=not self.norm, precision=_HIGHEST)(x)
            if self.norm:
                x = BatchNorm()(x)
            x = self.activation(x)
        width = self.widths[-1]
        x = nn.Dense(width, use_bias=not self.last_norm, precision=_HIGHEST)(x)
        return BatchNorm(affine=False)(x) if self.last_norm else x


class BatchNorm(nn.Module):
    """BatchNorm over all axes but the last, always with the batch's own statistics.

    There are no running ones: what it stands in is thrown away after training.

    Attributes:
      affine: whether there are a scale and an offset.
    """

    affine: bool = True

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[..., D] -> [..., D]."""
        axes = tuple(range(x.ndim - 1))
        x = x - jnp.mean(x, axis=axes, keepdims=True)
        x = x * jax.lax.rsqrt(jnp.mean(x**2, axis=axes, keepdims=True) + _EPSILON)
        if not self.affine:
            return x
        shape = (1,) * (x.ndim - 1) + x.shape[-1:]
        scale = self.param("scale", nn.initializers.ones, x.shape[-1:])
        bias = self.param("bias", nn.initializers.zeros, x.shape[-1:])
        return x * scale.reshape(shape) + bias.reshape(shape)
