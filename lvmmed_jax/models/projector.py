"""The projector: feature maps to embeddings."""

import flax.linen as nn
import jax
import jax.numpy as jnp


class Projector(nn.Module):
    """z = h(Avg(y)) (section 3.2.1); h is one linear layer (appendix A).

    Attributes:
      width: F, the length of an embedding.
    """

    width: int

    @nn.compact
    def __call__(self, feature_map: jax.Array) -> jax.Array:
        """[B, R, S, D] -> [B, F]."""
        pooled = jnp.mean(feature_map, axis=(1, 2))
        return nn.Dense(self.width, precision=jax.lax.Precision.HIGHEST)(pooled)
