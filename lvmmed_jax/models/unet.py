"""Decoders of feature maps to scores a pixel: U-Net's, and one linear layer."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from lvmmed_jax.models import layers

_KAIMING = nn.initializers.variance_scaling(2.0, "fan_in", "uniform")
_XAVIER = nn.initializers.xavier_uniform()


class DoubleConv(nn.Module):
    """Twice a 3x3 convolution, BatchNorm and ReLU.

    Attributes:
      width: channels.
    """

    width: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """[B, R, S, C] -> [B, R, S, width]."""
        for _ in range(2):
            x = nn.relu(norm(train)(conv(self.width, 3)(x)))
        return x


class UNet(nn.Module):
    """U-Net (Ronneberger et al. 2015) on an encoder's maps, as the paper's code has it.

    From the coarsest map on, twice as fine each time (nearest), the encoder's map of
    that size beside it where there is one, and `DoubleConv`; at last a 3x3 convolution.
    The code behind the paper has channels 256, 128, 64, 32, 16: `width` 16.

    Attributes:
      num_classes: K.
      width: channels at the image's size, doubled with each halving.
    """

    num_classes: int
    width: int = 16

    @nn.compact
    def __call__(
        self, maps: Sequence[jax.Array], size: tuple[int, int], train: bool
    ) -> jax.Array:
        """Maps to scores.

        Args:
          maps: [B, R, S, D] each, of halving size, the coarsest last.
          size: (H, W) of the image; map i is ceil(H / 2^j), and no j twice.
          train: BatchNorm takes the statistics of the batch.

        Returns:
          [B, H, W, K] float32.
        """
        by_size = {each.shape[1:3]: each for each in maps[:-1]}
        sizes = halvings(size, maps[-1].shape[1:3])
        missing = set(by_size) - set(sizes)
        if missing:
            raise ValueError(f"a map of {missing.pop()} is no halving of {size}")
        x = maps[-1]
        for index, target in reversed(list(enumerate(sizes))):
            x = jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
            x = x[:, : target[0], : target[1]]
            if target in by_size:
                x = jnp.concatenate([x, by_size[target]], axis=-1)
            x = DoubleConv(self.width * 2**index, name=f"up_{index}")(x, train)
        return conv(self.num_classes, 3, bias=True, init=_XAVIER, name="scores")(x)


class LinearDense(nn.Module):
    """One linear layer a cell, enlarged to the image: what the features say as is.

    Attributes:
      num_classes: K.
    """

    num_classes: int

    @nn.compact
    def __call__(
        self, maps: Sequence[jax.Array], size: tuple[int, int], train: bool
    ) -> jax.Array:
        """As `UNet`; only the last map counts."""
        del train
        scores = conv(self.num_classes, 1, bias=True, init=_XAVIER)(maps[-1])
        shape = (scores.shape[0], *size, self.num_classes)
        return jax.image.resize(scores, shape, "bilinear")


def halvings(
    size: tuple[int, int], last: tuple[int, int]
) -> tuple[tuple[int, int], ...]:
    """The sizes from an image's to that before `last`, each half the one before.

    Raises:
      ValueError: `last` is none of them.
    """
    found = [size]
    while found[-1] != last:
        if max(found[-1]) <= 1:
            raise ValueError(f"a map of {last} is no halving of an image of {size}")
        found.append(tuple(-(-side // 2) for side in found[-1]))
    return tuple(found[:-1])


def conv(
    width: int,
    size: int,
    stride: int = 1,
    *,
    bias: bool = False,
    init: Any = _KAIMING,
    name: str | None = None,
) -> nn.Conv:
    """A convolution of `size` x `size` that keeps the map's size, or halves it."""
    pad = size // 2
    return nn.Conv(
        width,
        (size, size),
        strides=stride,
        padding=((pad, pad), (pad, pad)),
        use_bias=bias,
        kernel_init=init,
        conv_general_dilated=layers.conv,
        name=name,
    )


def norm(train: bool, name: str | None = None) -> nn.BatchNorm:
    """BatchNorm; running statistics as torch's default keeps them."""
    return nn.BatchNorm(use_running_average=not train, momentum=0.9, name=name)
