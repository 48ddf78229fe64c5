"""Self-attention of tokens, over all of them or in windows, with relative positions."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from lvmmed_jax.models import mlp, position


class Attention(nn.Module):
    """softmax(q k^T / sqrt(c) + positions) v, of several heads.

    With `relative`, positions are SAM's decomposed ones (Li et al. 2021, MViTv2,
    section 4.1): a row's and a column's table, each in a product with the unscaled
    query. Tables of other sizes than the grid's are resized.

    Attributes:
      num_heads: each of D / num_heads = c channels.
      relative: whether there are relative positions.
      dtype: of the activations; the softmax is float32.
    """

    num_heads: int
    relative: bool
    dtype: Any

    @nn.compact
    def __call__(self, tokens: jax.Array, grid: tuple[int, int]) -> jax.Array:
        """[B, L, D] -> [B, L, D]; with `relative`, L = R S of the grid (R, S)."""
        batch, length, width = tokens.shape
        size = width // self.num_heads
        dense = {"dtype": self.dtype, "kernel_init": mlp.INITIALIZER}
        packed = nn.Dense(3 * width, name="qkv", **dense)(tokens)
        packed = packed.reshape(batch, length, 3, self.num_heads, size)
        query, key, value = jnp.moveaxis(packed, (2, 3), (0, 2))  # B h L c
        logits = jnp.einsum(
            "bhqc,bhkc->bhqk",
            query * size**-0.5,
            key,
            preferred_element_type=jnp.float32,
        )
        if self.relative:
            logits = logits + self._relative_logits(query, grid)
        # divided by their sum after the product: c channels instead of L keys
        largest = jax.lax.stop_gradient(logits.max(-1, keepdims=True))
        weights = jnp.exp(logits - largest)
        mixed = jnp.einsum("bhqk,bhkc->bhqc", weights.astype(self.dtype), value)
        mixed = mixed / weights.sum(-1, keepdims=True).astype(self.dtype)
        mixed = mixed.swapaxes(1, 2).reshape(batch, length, width)
        return nn.Dense(width, name="projection", **dense)(mixed)

    def _relative_logits(self, query: jax.Array, grid: tuple[int, int]) -> jax.Array:
        """[B, h, L, c] -> [B, h, L, L]."""
        size = query.shape[-1]
        per_axis = []
        for name, side in zip(("rows", "columns"), grid, strict=True):
            length = 2 * side - 1
            table = position.parameter(
                self, f"relative_{name}", nn.initializers.zeros, (length, size)
            )
            table = position.resize(table, (length,), position.LINEAR)
            per_axis.append(table[position.relative_matrix(side)].astype(self.dtype))
        query = query.reshape(*query.shape[:2], *grid, size)  # B h R S c
        f32 = jnp.float32
        rows = jnp.einsum(
            "bhrsc,rkc->bhrsk", query, per_axis[0], preferred_element_type=f32
        )
        columns = jnp.einsum(
            "bhrsc,skc->bhrsk", query, per_axis[1], preferred_element_type=f32
        )
        total = rows[..., :, None] + columns[..., None, :]  # B h R S R S
        cells = grid[0] * grid[1]
        return total.reshape(*query.shape[:2], cells, cells)


def to_windows(
    tokens: jax.Array, grid: tuple[int, int], window: int
) -> tuple[jax.Array, tuple[int, int]]:
    """Cuts a grid of tokens into squares, with zeros below and to the right.

    Args:
      tokens: [B, R S, D].
      grid: (R, S).
      window: w, cells a side.

    Returns:
      [B n, w w, D] of n windows, and the grid of windows.
    """
    batch, _, width = tokens.shape
    counts = tuple(-(-side // window) for side in grid)
    missing = [(0, n * window - side) for n, side in zip(counts, grid, strict=True)]
    tokens = jnp.pad(tokens.reshape(batch, *grid, width), ((0, 0), *missing, (0, 0)))
    tokens = tokens.reshape(batch, counts[0], window, counts[1], window, width)
    tokens = tokens.swapaxes(2, 3)  # B rows columns w w D
    return tokens.reshape(-1, window * window, width), counts


def from_windows(
    tokens: jax.Array, grid: tuple[int, int], counts: tuple[int, int]
) -> jax.Array:
    """The inverse of `to_windows`: [B n, w w, D] -> [B, R S, D]."""
    window, width = round(tokens.shape[1] ** 0.5), tokens.shape[-1]
    tokens = tokens.reshape(-1, *counts, window, window, width).swapaxes(2, 3)
    tokens = tokens.reshape(-1, counts[0] * window, counts[1] * window, width)
    return tokens[:, : grid[0], : grid[1]].reshape(-1, grid[0] * grid[1], width)
