"""Every encoder by name: how it is made, its layers, and where its map's cells lie."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from lvmmed_jax.models import convnext, patches, resnet, vit, vit_table


class Row(NamedTuple):
    """An encoder.

    Attributes:
      make: (name, width, dtype, remat) -> a Flax module: (images [B, H, W, C], train,
        stages, frozen) -> feature map [B, R, S, D] float32, or a tuple of maps, a stage
        each; `frozen` first stages are not trained.
      stride: pixels of an image a cell of the last map.
      cell_centres: (cells along a side, pixels along it) -> where they are centred,
        in [0, 1].
      stage_sizes: blocks of each stage; a transformer's blocks are stages themselves.
    """

    make: Callable[[str, int, Any, bool], Any]
    stride: int
    cell_centres: Callable[[int, int], np.ndarray]
    stage_sizes: tuple[int, ...]


def find(name: str) -> Row:
    """The row of that name.

    Raises:
      ValueError: none, with the names that there are.
    """
    if name not in ROWS:
        raise ValueError(f"unknown model.encoder {name!r}; known: {', '.join(ROWS)}")
    return ROWS[name]


def layer_of(name: str, stage_sizes: tuple[int, ...]) -> int:
    """How deep a part of an encoder lies.

    Args:
      name: of the part, the first key of its parameters, e.g. "Block_3".
      stage_sizes: of the encoder's row.

    Returns:
      0 for what stands before the first block (stem, embedding, tokens, positions),
      i + 1 for block i and what leads into its stage, and one more than there are
      blocks for what follows the last.
    """
    kind = name.rstrip("0123456789")
    number = int(name[len(kind) :] or 0)
    if kind == "Block_":
        return number + 1
    if kind.startswith("downsample"):  # ConvNeXt's, before the stage of that number
        return sum(stage_sizes[:number]) + 1
    return sum(stage_sizes) + 1 if name == "norm" else 0


def _of_tiles(make: Callable[[str, int, Any, bool], Any], stride: int, sizes) -> Row:
    centres = functools.partial(patches.cell_centres, patch=stride)
    return Row(make, stride, centres, sizes)


ROWS = {
    **{
        name: Row(
            resnet.ResNet, resnet.stride(row), resnet.cell_centres, row.stage_sizes
        )
        for name, row in resnet.VARIANTS.items()
    },
    **{
        name: _of_tiles(vit.ViT, row.patch, (1,) * row.depth)
        for name, row in vit_table.VARIANTS.items()
    },
    **{
        name: _of_tiles(convnext.ConvNeXt, convnext.STRIDE, row.stage_sizes)
        for name, row in convnext.VARIANTS.items()
    },
}
