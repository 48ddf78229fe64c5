"""What transformers and ConvNeXt share: LayerNorm, MLP, learnt scales of a branch."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

INITIALIZER = nn.initializers.truncated_normal(0.02)  # timm's, torchvision's
_EPSILON = 1e-6  # timm's, DINOv2's, SAM's, torchvision's


class MLP(nn.Module):
    """Two linear layers along the last axis, between them GELU or SwiGLU.

    Attributes:
      hidden: channels between them.
      gated: SwiGLU (Shazeer 2020): the first layer has the gate's channels, then as
        many values.
      dtype: of the activations.
    """

    hidden: int
    gated: bool
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[..., D] -> [..., D]."""
        dense = {"dtype": self.dtype, "kernel_init": INITIALIZER}
        num_first = self.hidden * 2 if self.gated else self.hidden
        y = nn.Dense(num_first, name="hidden", **dense)(x)
        if self.gated:
            gate, value = jnp.split(y, 2, -1)
            y = nn.silu(gate) * value
        else:
            y = gelu(y)
        return nn.Dense(x.shape[-1], name="output", **dense)(y)


class Scale(nn.Module):
    """LayerScale (Touvron et al. 2021, CaiT): a learnt factor a channel.

    Attributes:
      first: the value that training starts from.
      dtype: of the activations.
    """

    first: float
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[..., D] -> [..., D]."""
        initializer = nn.initializers.constant(self.first)
        scale = self.param("scale", initializer, x.shape[-1:])
        return x * scale.astype(self.dtype).reshape((1,) * (x.ndim - 1) + (-1,))


def norm(dtype: Any, name: str) -> nn.LayerNorm:
    """LayerNorm over channels, with statistics in float32."""
    # E[x^2] - E[x]^2 loses digits on the large outliers of deep transformers
    return nn.LayerNorm(
        epsilon=_EPSILON, dtype=dtype, use_fast_variance=False, name=name
    )


def gelu(x: jax.Array) -> jax.Array:
    """x Phi(x), exact; jax.nn.gelu takes erfc, which costs several times more."""
    return 0.5 * x * (1 + jax.lax.erf(x * 0.5**0.5))
