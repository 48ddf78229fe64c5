"""ResNet encoders (He et al. 2015; v1.5 strides, as torchvision) to feature maps."""

import functools
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from lvmmed_jax.models import feature_stages, layers

MOMENTUM = 0.9  # of BatchNorm's running statistics, flax's convention (torch: 0.1)


class Variant(NamedTuple):
    """A row of the table below.

    `pool`: a 7x7 stem and max pooling before the first stage (He et al. 2015, table 1);
    else a 3x3 stem, and the first stage halves the map itself: a third of the time.
    """

    stage_sizes: tuple[int, ...]
    bottleneck: bool
    pool: bool


VARIANTS = {
    # three stages of one block (He et al. 2015, section 4.2, n = 1): for laptops
    "resnet8": Variant((1, 1, 1), bottleneck=False, pool=False),
    "resnet18": Variant((2, 2, 2, 2), bottleneck=False, pool=True),
    "resnet34": Variant((3, 4, 6, 3), bottleneck=False, pool=True),
    "resnet50": Variant((3, 4, 6, 3), bottleneck=True, pool=True),
    "resnet101": Variant((3, 4, 23, 3), bottleneck=True, pool=True),
    "resnet152": Variant((3, 8, 36, 3), bottleneck=True, pool=True),
}


class Block(nn.Module):
    """A residual block: two 3x3 convolutions, or 1x1, 3x3, 1x1 with 4 times the width.

    Attributes:
      width: channels of the 3x3 convolutions.
      stride: of the (first) 3x3 convolution.
      bottleneck: which of the two forms.
      dtype: of the activations; parameters and statistics stay float32.
    """

    width: int
    stride: int
    bottleneck: bool
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """[B, R, S, D] -> [B, R / stride, S / stride, D']."""
        conv = functools.partial(_conv, dtype=self.dtype)
        norm = functools.partial(_norm, train=train, dtype=self.dtype)
        if self.bottleneck:
            plan = [(1, 1, 1), (3, self.stride, 1), (1, 1, 4)]
        else:
            plan = [(3, self.stride, 1), (3, 1, 1)]
        y = x
        for index, (kernel, stride, expansion) in enumerate(plan):
            y = conv(self.width * expansion, kernel, stride)(y)
            y = norm()(y)
            if index < len(plan) - 1:
                y = nn.relu(y)
        if x.shape != y.shape:
            x = conv(y.shape[-1], 1, self.stride, name="projection")(x)
            x = norm(name="projection_norm")(x)
        return nn.relu(x + y)


class ResNet(nn.Module):
    """Images to a feature map.

    Attributes:
      variant: name of a row of `VARIANTS`.
      width: channels of the first stage, doubled in each further one; the paper: 64.
      dtype: of the activations.
      remat: keep only the blocks' inputs for the backward pass and compute the rest of
        each block anew: less memory for about a third more time.
    """

    variant: str
    width: int
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
          images: of any size and number of channels.
          train: BatchNorm takes the statistics of the batch.
          stages: 0 the stem before its pooling, 1 to 4 (torchvision's layer1 to layer4;
            the small variant has 3).
          frozen: how many first stages, and the stem before them, pass no gradient on
            and keep their BatchNorm's statistics; 0: not even the stem.

        Returns:
          [B, R, S, D] float32, R = H / 32 with four stages and H / 16 with three,
          rounded up; with `stages`, a tuple of the maps after them.
        """
        stage_sizes, bottleneck, pool = VARIANTS[self.variant]
        wanted = feature_stages.check(stages, len(stage_sizes), first=0)
        x = _conv(self.width, 7 if pool else 3, 2, self.dtype)(images)
        x = nn.relu(_norm(train and not frozen, self.dtype)(x))
        maps = {0: x}
        if pool:
            x = layers.max_pool(x)
        block_class = nn.remat(Block, static_argnums=(2,)) if self.remat else Block
        num_before = 0
        for stage, num_blocks in enumerate(stage_sizes):
            for block in range(num_blocks):
                halves = block == 0 and (stage > 0 or not pool)
                stride = 2 if halves else 1
                width = self.width * 2**stage
                name = f"Block_{num_before + block}"  # the same with remat
                x = block_class(width, stride, bottleneck, self.dtype, name=name)(
                    x, train and stage >= frozen
                )
            if stage + 1 == frozen:
                x = jax.lax.stop_gradient(x)
            num_before += num_blocks
            maps[stage + 1] = x
        found = tuple(maps[stage].astype(jnp.float32) for stage in wanted)
        return found if stages else found[0]


def stride(row: Variant) -> int:
    """Pixels a cell of the last map."""
    return 2 ** (len(row.stage_sizes) + 1)


def cell_centres(num_cells: int, size: int) -> np.ndarray:
    """[R] where the cells of a feature map are centred along a side of the image.

    Convolutions of stride 2 with symmetric padding centre output c on input 2 c, so
    cell c lies at pixel c * stride: half a cell before the middle of the c-th tile.

    Args:
      num_cells: R, cells along the side.
      size: pixels along the side.

    Returns:
      Positions in [0, 1].
    """
    return (np.arange(num_cells) * (size // num_cells) + 0.5) / size


def _conv(features, kernel, stride, dtype, name=None):
    pad = kernel // 2
    return nn.Conv(
        features,
        (kernel, kernel),
        strides=stride,
        padding=((pad, pad), (pad, pad)),
        use_bias=False,
        dtype=dtype,
        kernel_init=nn.initializers.variance_scaling(2.0, "fan_out", "normal"),
        conv_general_dilated=layers.conv,
        name=name,
    )


def _norm(train, dtype, name=None):
    return nn.BatchNorm(
        use_running_average=not train, momentum=MOMENTUM, dtype=dtype, name=name
    )
