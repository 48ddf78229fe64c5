"""Message passing over graphs of images (Eq. 1)."""

import flax.linen as nn
import jax
import jax.numpy as jnp


class MessagePassing(nn.Module):
    """Graph convolutions H_l = act(P H_{l-1} W_{l-1}), P the normalised adjacency.

    ReLU between the layers, none after the last.

    Attributes:
      num_layers: 2 in the paper (appendix A).
      skip: whether the input is added to the output. The paper's form has no skip; from
        random weights it does not learn (README, "Differences from the paper").
    """

    num_layers: int
    skip: bool

    @nn.compact
    def __call__(self, nodes: jax.Array, propagation: jax.Array) -> jax.Array:
        """Nodes [G, N, F] and propagation operators [G, N, N] -> nodes [G, N, F]."""
        hidden = nodes
        for layer in range(self.num_layers):
            if layer:
                hidden = nn.relu(hidden)
            hidden = nn.Dense(
                nodes.shape[-1], use_bias=False, precision=jax.lax.Precision.HIGHEST
            )(hidden)
            hidden = jnp.matmul(
                propagation, hidden, precision=jax.lax.Precision.HIGHEST
            )
        return nodes + hidden if self.skip else hidden
