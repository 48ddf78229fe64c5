"""Images as tiles without overlap: their embedding, their padding, their centres."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def conv(
    x: jax.Array,
    kernel: jax.Array,
    strides: tuple[int, int],
    padding: Any,
    **unused: Any,
) -> jax.Array:
    """For `nn.Conv(conv_general_dilated=conv)`: tiles as large as the kernel.

    It is the convolution whose stride is its kernel's side, as one product: many times
    faster on a CPU, in its gradients above all.

    Args:
      x: [B, R p, S p, C]; what does not fill a tile is left out, as torch does.
      kernel: [p, p, C, D].
      strides: p, p.
      padding: none.
      **unused: what `nn.Conv` passes besides, all at its default.

    Returns:
      [B, R, S, D].
    """
    del strides, padding, unused
    patch, _, channels, width = kernel.shape
    rows, columns = x.shape[1] // patch, x.shape[2] // patch
    x = x[:, : rows * patch, : columns * patch]
    tiles = x.reshape(-1, rows, patch, columns, patch, channels)
    tiles = tiles.swapaxes(2, 3).reshape(-1, rows, columns, patch * patch * channels)
    return tiles @ kernel.reshape(-1, width)


def pad(images: jax.Array, patch: int) -> jax.Array:
    """[B, H, W, C] with zeros below and to the right, up to whole tiles.

    Zeros are the mean colour of normalised images (timm's dynamic_img_pad).
    """
    missing = [(0, -side % patch) for side in images.shape[1:3]]
    if any(more for _, more in missing):
        images = jnp.pad(images, ((0, 0), *missing, (0, 0)))
    return images


def cell_centres(num_cells: int, size: int, patch: int) -> np.ndarray:
    """[R] where tiles are centred along a side of the image.

    Args:
      num_cells: R, tiles along the side.
      size: pixels along the side.
      patch: pixels of a tile.

    Returns:
      Positions in [0, 1]; of a padded tile, the middle of what lies in the image.
    """
    edges = np.minimum(np.arange(num_cells + 1) * patch, size)
    return (edges[:-1] + edges[1:]) / 2 / size
