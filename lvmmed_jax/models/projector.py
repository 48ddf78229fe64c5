"""The projector: feature maps to embeddings."""

import flax.linen as nn
import jax
import jax.numpy as jnp


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
            x = nn.Dense(
                self.hidden, use_bias=False, precision=jax.lax.Precision.HIGHEST
            )(x)
            x = nn.relu(nn.BatchNorm(use_running_average=False)(x))
        return nn.Dense(self.width, precision=jax.lax.Precision.HIGHEST)(x)
