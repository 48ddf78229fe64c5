"""A U-Net around the blocks of a vision transformer, with a stem of convolutions.

What the paper fine-tunes a ViT end to end with (its code's `unet_vit`, after Chen et
al. 2021, TransUNet): a map at 1/16 of the image takes the place of the embedded tiles,
so that only the encoder's blocks are used.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from lvmmed_jax.models import unet

_STEM = (8, 4, 2, 1)  # D over these: channels at 1/2, 1/4, 1/8 and 1/16 of the image
_NECK = 2
_DECODER = (64, 16, 8, 4)  # likewise, from the image's size down to 1/8


class Bottleneck(nn.Module):
    """A residual block that halves the map: 1x1, 3x3, 1x1 beside a 1x1 projection.

    Attributes:
      width: channels.
    """

    width: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """[B, R, S, C] -> [B, ceil(R / 2), ceil(S / 2), width]."""
        y = x
        for index, (size, stride) in enumerate(((1, 1), (3, 2), (1, 1))):
            y = unet.norm(train)(unet.conv(self.width, size, stride)(y))
            y = y if index == 2 else nn.relu(y)
        x = unet.conv(self.width, 1, 2, name="projection")(x)
        return nn.relu(y + unet.norm(train, "projection_norm")(x))


class ConvUNet(nn.Module):
    """Images to scores, a transformer's blocks at the coarsest level.

    Attributes:
      num_classes: K.
      width: D of the transformer.
    """

    num_classes: int
    width: int

    @nn.compact
    def __call__(
        self,
        images: jax.Array,
        blocks: Callable[[jax.Array], jax.Array],
        train: bool,
    ) -> jax.Array:
        """Normalised images to scores.

        Args:
          images: [B, H, W, 3].
          blocks: [B, R, S, D] -> [B, R, S, D], the transformer's.
          train: BatchNorm takes the statistics of the batch.

        Returns:
          [B, H, W, K] float32.
        """
        stem, neck, decoder = (
            [max(self.width // part, 1) for part in parts]
            for parts in (_STEM, (_NECK,), _DECODER)
        )
        x = nn.relu(unet.norm(train)(unet.conv(stem[0], 7, 2)(images)))
        maps = [images, x]  # the image gives its size, its pixels are not put beside
        for width in stem[1:]:
            maps.append(Bottleneck(width)(maps[-1], train))
        x = unet.conv(neck[0], 3)(blocks(maps.pop()))
        x = nn.relu(unet.norm(train)(x))
        for level in reversed(range(len(decoder))):
            x = _enlarge(x, maps[level].shape[1:3])
            if level:
                x = jnp.concatenate([x, maps[level]], axis=-1)
            x = unet.DoubleConv(decoder[level], name=f"up_{level}")(x, train)
        return unet.conv(self.num_classes, 1, bias=True, name="scores")(x)


def _enlarge(x: jax.Array, size: tuple[int, int]) -> jax.Array:
    """[B, R, S, C] -> [B, *size, C], linear, corners on corners."""
    for axis, count in ((1, size[0]), (2, size[1])):
        weights = _corner_matrix(x.shape[axis], count)
        x = jnp.moveaxis(jnp.tensordot(weights, x, (1, axis)), 0, axis)
    return x


def _corner_matrix(num_in: int, num_out: int) -> np.ndarray:
    """float32 [num_out, num_in]; torch's align_corners=True."""
    places = np.linspace(0, num_in - 1, num_out)
    away = np.abs(places[:, None] - np.arange(num_in))
    return np.maximum(1 - away, 0).astype(np.float32)
