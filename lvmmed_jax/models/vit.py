"""Vision transformers to feature maps: plain, DINOv2's and SAM's, one definition.

Dosovitskiy et al. 2021 (plain), Oquab et al. 2023 and Darcet et al. 2024 (DINOv2, its
registers), Li et al. 2022 and Kirillov et al. 2023 (windows, relative positions: SAM).
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from lvmmed_jax.models import (
    attention,
    feature_stages,
    mlp,
    patches,
    position,
    vit_table,
)


class Block(nn.Module):
    """Attention and an MLP, each after a LayerNorm and added to its input.

    Attributes:
      variant: a row of `vit_table.VARIANTS`, at its real width.
      window: cells a side of attention's windows; 0: none.
      dtype: of the activations; parameters stay float32.
    """

    variant: vit_table.Variant
    window: int
    dtype: Any

    @nn.compact
    def __call__(self, tokens: jax.Array, grid: tuple[int, int]) -> jax.Array:
        """[B, L, D] -> [B, L, D]; the grid (R, S) of those that are patches."""
        row = self.variant
        attend = attention.Attention(
            row.num_heads, row.relative, self.dtype, name="attention"
        )
        y = mlp.norm(self.dtype, "norm1")(tokens)
        if self.window:
            y, counts = attention.to_windows(y, grid, self.window)
            y = attend(y, (self.window, self.window))
            y = attention.from_windows(y, grid, counts)
        else:
            y = attend(y, grid)
        tokens = tokens + self._scaled(y, "layer_scale1")
        y = mlp.norm(self.dtype, "norm2")(tokens)
        y = mlp.MLP(row.mlp_width, row.gated, self.dtype, name="mlp")(y)
        return tokens + self._scaled(y, "layer_scale2")

    def _scaled(self, y: jax.Array, name: str) -> jax.Array:
        if self.variant.layer_scale is None:
            return y
        return mlp.Scale(self.variant.layer_scale, self.dtype, name=name)(y)


class ViT(nn.Module):
    """Images to a feature map; there is no dropout.

    Position tables are made for the size of the images of `init`, which are square, and
    resized to any other. Block i's parameters are `Block_i`: they are not stacked.

    Attributes:
      variant: name of a row of `vit_table.VARIANTS`.
      width: 64 is the published size; another scales every width by width / 64.
      dtype: of the activations; parameters stay float32.
      remat: keep only the blocks' inputs for the backward pass and compute the rest of
        each block anew.
    """

    variant: str
    width: int = 64
    dtype: Any = jnp.float32
    remat: bool = False

    @nn.compact
    def __call__(
        self,
        images: jax.Array,
        train: bool,
        stages: tuple[int, ...] = (),
        frozen: int = 0,
    ):
        """Normalised images [B, H, W, C] of any size to feature maps.

        Args:
          images: with zeros below and to the right where tiles are not filled.
          train: changes nothing.
          stages: numbers of blocks, from 1 on.
          frozen: how many first blocks, and all before them, pass no gradient on.

        Returns:
          [B, ceil(H / patch), ceil(W / patch), D] float32 after the final norm; with
          `stages`, a tuple of the maps after these blocks, each normed the same.
        """
        row = vit_table.scaled(self.variant, self.width)
        wanted = feature_stages.check(stages, row.depth)
        x = _embed(row, self.dtype)(patches.pad(images, row.patch))
        grid = x.shape[1:3]
        tokens = self._with_positions(row, x)
        num_extra = tokens.shape[1] - grid[0] * grid[1]
        final_norm = mlp.norm(self.dtype, "norm") if row.final_norm else lambda x: x
        block_class = nn.remat(Block, static_argnums=(2,)) if self.remat else Block
        maps = {}
        for index in range(max(wanted)):
            window = 0 if index in row.global_blocks else row.window
            block = block_class(row, window, self.dtype, name=f"Block_{index}")
            # else XLA computes the sums of earlier blocks anew in each later one: with
            # 32 of them it compiles a gradient for 150 seconds instead of 6
            tokens = jax.lax.optimization_barrier(block(tokens, grid))
            if index + 1 == frozen:
                tokens = jax.lax.stop_gradient(tokens)
            if index + 1 in wanted:
                cells = final_norm(tokens[:, num_extra:]).astype(jnp.float32)
                maps[index + 1] = cells.reshape(-1, *grid, row.width)
        return tuple(maps[stage] for stage in wanted) if stages else maps[row.depth]

    def _with_positions(self, row: vit_table.Variant, x: jax.Array) -> jax.Array:
        """[B, R, S, D] -> [B, L, D]: class token, registers, patches."""
        grid, width = x.shape[1:3], x.shape[3]
        x = x.reshape(x.shape[0], -1, width)
        learnt = []
        if row.class_token:
            shape = (1, 1, width)
            learnt = [self.param("class_token", mlp.INITIALIZER, shape)]
        if row.absolute is not None:
            of_class, of_cells = self._positions(row, grid, width)
            learnt = [token + of_class for token in learnt]
            x = x + of_cells.astype(x.dtype)
        if row.num_registers:
            shape = (1, row.num_registers, width)
            learnt.append(self.param("registers", mlp.INITIALIZER, shape))
        learnt = [
            jnp.broadcast_to(token, (x.shape[0], *token.shape[1:])).astype(x.dtype)
            for token in learnt
        ]
        return jnp.concatenate([*learnt, x], 1)

    def _positions(
        self, row: vit_table.Variant, grid: tuple[int, int], width: int
    ) -> tuple[jax.Array, jax.Array]:
        """Positions of the class token [1, 0 or 1, D], and of the cells [1, R S, D].

        The table is timm's: [1, 1 + N N, D]; without a class token SAM's, [1, R, S, D].
        """
        if not row.class_token:
            table = self._table((1, *grid, width))
            cells = position.resize(table[0], grid, row.absolute)
            return table[0, :0], cells.reshape(1, -1, width)
        table = self._table((1, 1 + grid[0] * grid[1], width))
        side = round((table.shape[1] - 1) ** 0.5)
        if side * side != table.shape[1] - 1:
            raise ValueError(
                f"{self.variant} must be initialised with square images: its table of "
                f"{grid[0]} x {grid[1]} positions does not tell rows from columns"
            )
        cells = table[0, 1:].reshape(side, side, width)
        cells = position.resize(cells, grid, row.absolute)
        return table[:, :1], cells.reshape(1, -1, width)

    def _table(self, shape: tuple[int, ...]) -> jax.Array:
        return position.parameter(self, "positions", mlp.INITIALIZER, shape)


class Neck(nn.Module):
    """SAM's neck: the encoder's channels to those of its decoder.

    Attributes:
      width: of the output; 256 in SAM.
      dtype: of the activations.
    """

    width: int = 256
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, feature_map: jax.Array) -> jax.Array:
        """[B, R, S, D] -> [B, R, S, width] float32."""
        x = feature_map
        for index, side in enumerate((1, 3)):
            x = nn.Conv(
                self.width,
                (side, side),
                padding=side // 2,
                use_bias=False,
                dtype=self.dtype,
                kernel_init=mlp.INITIALIZER,
                name=f"conv{index + 1}",
            )(x)
            x = mlp.norm(self.dtype, f"norm{index + 1}")(x)
        return x.astype(jnp.float32)


def apply_blocks(
    variant: str,
    width: int,
    dtype: Any,
    remat: bool,
    params: dict[str, Any],
    feature_map: jax.Array,
    frozen: int = 0,
) -> jax.Array:
    """The blocks alone: [B, R, S, D] -> [B, R, S, D], without positions or tokens.

    Args:
      variant: as those of `ViT`; likewise `width`, `dtype` and `remat`.
      width: see there.
      dtype: see there.
      remat: see there.
      params: of a `ViT`, with `Block_i`.
      feature_map: in the place of embedded tiles.
      frozen: how many first blocks are not trained; what is before them still is.
    """
    row = vit_table.scaled(variant, width)
    grid = feature_map.shape[1:3]
    tokens = feature_map.astype(dtype).reshape(len(feature_map), -1, row.width)
    block_class = nn.remat(Block, static_argnums=(2,)) if remat else Block
    for index in range(row.depth):
        window = 0 if index in row.global_blocks else row.window
        own = params[f"Block_{index}"]
        if index < frozen:
            own = jax.lax.stop_gradient(own)
        block = block_class(row, window, dtype)
        tokens = jax.lax.optimization_barrier(
            block.apply({"params": own}, tokens, grid)
        )
    return tokens.astype(jnp.float32).reshape(feature_map.shape)


def _embed(row: vit_table.Variant, dtype: Any) -> nn.Conv:
    return nn.Conv(
        row.width,
        (row.patch, row.patch),
        strides=row.patch,
        padding="VALID",
        dtype=dtype,
        kernel_init=mlp.INITIALIZER,
        conv_general_dilated=patches.conv,
        name="patch_embedding",
    )
