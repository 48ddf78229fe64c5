"""ConvNeXt encoders (Liu et al. 2022, as torchvision and timm) to feature maps."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from lvmmed_jax.models import depthwise, feature_stages, mlp, patches

STRIDE = 32  # pixels of a cell's tile
_STEM = 4  # pixels a side of the first tiles; each further stage takes 2 x 2 of them
_LAYER_SCALE = 1e-6


class Variant(NamedTuple):
    """A row of the table below: blocks of each stage, channels of the first."""

    stage_sizes: tuple[int, ...]
    width: int


# Liu et al. 2022, section 3 (2.6)
VARIANTS = {
    "convnext_t": Variant((3, 3, 9, 3), 96),
    "convnext_s": Variant((3, 3, 27, 3), 96),
    "convnext_b": Variant((3, 3, 27, 3), 128),
    "convnext_l": Variant((3, 3, 27, 3), 192),
}


class Block(nn.Module):
    """A depthwise 7x7 convolution, LayerNorm and an MLP, scaled, added to the input.

    Attributes:
      dtype: of the activations; parameters stay float32.
    """

    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, R, S, D] -> [B, R, S, D]."""
        width = x.shape[-1]
        y = nn.Conv(
            width,
            (7, 7),
            padding=3,
            feature_group_count=width,
            dtype=self.dtype,
            kernel_init=mlp.INITIALIZER,
            conv_general_dilated=depthwise.conv,
            name="depthwise",
        )(x)
        y = mlp.norm(self.dtype, "norm")(y)
        y = mlp.MLP(4 * width, False, self.dtype, name="mlp")(y)
        return x + mlp.Scale(_LAYER_SCALE, self.dtype, name="layer_scale")(y)


class ConvNeXt(nn.Module):
    """Images to a feature map; there is no stochastic depth.

    Attributes:
      variant: name of a row of `VARIANTS`.
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
        """Normalised images [B, H, W, C] to feature maps.

        Args:
          images: at least 32 x 32; what does not fill a tile of 4, 8, 16 and 32 pixels
            is left out, as torch does.
          train: changes nothing.
          stages: from 1 to 4, whose cells are 4, 8, 16 and 32 pixels wide.
          frozen: how many first stages, and the stem, pass no gradient on.

        Returns:
          [B, H / 32, W / 32, D] float32; with `stages`, a tuple of the maps after them.

        Raises:
          ValueError: images too small, or a width that is no whole number.
        """
        del train
        row = VARIANTS[self.variant]
        width = self._first_width(row)
        if min(images.shape[1:3]) < STRIDE:
            raise ValueError(
                f"{self.variant} needs images of at least {STRIDE} x {STRIDE} pixels, "
                f"not {images.shape[1]} x {images.shape[2]}"
            )
        wanted = feature_stages.check(stages, len(row.stage_sizes))
        block_class = nn.remat(Block) if self.remat else Block
        x, maps, num_before = images, {}, 0
        for stage in range(max(wanted)):
            if stage:
                x = mlp.norm(self.dtype, f"downsample_norm{stage}")(x)
                x = self._tiles(width * 2**stage, 2, f"downsample{stage}")(x)
            else:
                x = self._tiles(width, _STEM, "stem")(x)
                x = mlp.norm(self.dtype, "stem_norm")(x)
            for block in range(row.stage_sizes[stage]):
                name = f"Block_{num_before + block}"  # the same with remat
                # else XLA computes the sums of earlier blocks anew in each later one
                x = jax.lax.optimization_barrier(block_class(self.dtype, name=name)(x))
            if stage + 1 == frozen:
                x = jax.lax.stop_gradient(x)
            num_before += row.stage_sizes[stage]
            maps[stage + 1] = x.astype(jnp.float32)
        return (
            tuple(maps[stage] for stage in wanted)
            if stages
            else maps[len(row.stage_sizes)]
        )

    def _first_width(self, row: Variant) -> int:
        if row.width * self.width % 64:
            raise ValueError(
                f"model.width={self.width} does not suit {self.variant}: 64 gives its "
                f"first stage {row.width} channels, another scales them; take a "
                "multiple of 2"
            )
        return row.width * self.width // 64

    def _tiles(self, width: int, side: int, name: str) -> nn.Conv:
        return nn.Conv(
            width,
            (side, side),
            strides=side,
            padding="VALID",
            dtype=self.dtype,
            kernel_init=mlp.INITIALIZER,
            conv_general_dilated=patches.conv,
            name=name,
        )
