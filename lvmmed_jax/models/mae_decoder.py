"""MAE's decoder: what the encoder says of visible patches, to the pixels of all."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from lvmmed_jax.models import mlp, vit, vit_table

_LONGEST = 10_000.0  # wavelength of positions, over 2 pi (Vaswani et al. 2017)


class Decoder(nn.Module):
    """A small plain ViT (He et al. 2022, section 3), without a class token.

    Attributes:
      patch: pixels a side.
      width, depth, num_heads: of its blocks.
    """

    patch: int
    width: int
    depth: int
    num_heads: int

    @nn.compact
    def __call__(
        self, visible: jax.Array, places: jax.Array, grid: tuple[int, int]
    ) -> jax.Array:
        """Pixels of every patch.

        Args:
          visible: [B, L, D], the encoder's tokens of patches that it saw.
          places: int [B, L], which ones.
          grid: R and S, patches along the sides of the image.

        Returns:
          [B, R S, patch patch 3].
        """
        tokens = nn.Dense(self.width, kernel_init=mlp.INITIALIZER, name="embed")(
            visible
        )
        hidden = self.param("hidden", mlp.INITIALIZER, (1, 1, self.width))
        shape = (len(visible), grid[0] * grid[1], self.width)
        rows = jnp.arange(len(visible))[:, None]
        tokens = jnp.broadcast_to(hidden, shape).at[rows, places].set(tokens)
        tokens = tokens + positions(grid, self.width)[None]
        row = vit_table.Variant(
            self.width, self.depth, self.num_heads, self.patch, 4 * self.width
        )
        for index in range(self.depth):
            tokens = vit.Block(row, 0, jnp.float32, name=f"Block_{index}")(tokens, grid)
        tokens = mlp.norm(jnp.float32, "norm")(tokens)
        return nn.Dense(self.patch**2 * 3, kernel_init=mlp.INITIALIZER, name="pixels")(
            tokens
        )


def positions(grid: tuple[int, int], width: int) -> np.ndarray:
    """[R S, D] sines and cosines, a half of the channels of the row, one of the column.

    Raises:
      ValueError: a width that is no multiple of 4.
    """
    if width % 4:
        raise ValueError(f"mae.decoder_width={width} must be a multiple of 4")
    rates = _LONGEST ** -(np.arange(width // 4) / (width // 4))
    axes = np.meshgrid(*map(np.arange, grid), indexing="ij")
    angles = [axis.reshape(-1, 1) * rates for axis in axes]
    parts = [wave(angle) for angle in angles for wave in (np.sin, np.cos)]
    return np.concatenate(parts, axis=1).astype(np.float32)
