"""Every encoder by name: how it is made, and where the cells of its map lie."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from lvmmed_jax.models import convnext, patches, resnet, vit, vit_table


class Row(NamedTuple):
    """An encoder.

    Attributes:
      make: (name, width, dtype, remat) -> a Flax module: (images [B, H, W, C], train,
        stages) -> feature map [B, R, S, D] float32, or a tuple of maps, a stage each.
      stride: pixels of an image a cell of the last map.
      cell_centres: (cells along a side, pixels along it) -> where they are centred,
        in [0, 1].
    """

    make: Callable[[str, int, Any, bool], Any]
    stride: int
    cell_centres: Callable[[int, int], np.ndarray]


def find(name: str) -> Row:
    """The row of that name.

    Raises:
      ValueError: none, with the names that there are.
    """
    if name not in ROWS:
        raise ValueError(f"unknown model.encoder {name!r}; known: {', '.join(ROWS)}")
    return ROWS[name]


def _of_tiles(make: Callable[[str, int, Any, bool], Any], stride: int) -> Row:
    return Row(make, stride, functools.partial(patches.cell_centres, patch=stride))


ROWS = {
    **{
        name: Row(resnet.ResNet, resnet.stride(row), resnet.cell_centres)
        for name, row in resnet.VARIANTS.items()
    },
    **{name: _of_tiles(vit.ViT, row.patch) for name, row in vit_table.VARIANTS.items()},
    **{
        name: _of_tiles(convnext.ConvNeXt, convnext.STRIDE)
        for name in convnext.VARIANTS
    },
}
