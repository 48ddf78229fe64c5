"""Encoders that compile in no time: a convolution with BatchNorm, and a ViT block."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from lvmmed_jax.models import encoder_table, patches, vit, vit_table

_PATCH = 8


class Tiles(nn.Module):
    """Tiles of 8 pixels to cells, as a ResNet is called; frozen parts are ignored."""

    width: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images, train, stages=(), frozen=0):
        x = nn.Conv(self.width, (_PATCH, _PATCH), _PATCH, use_bias=False)(images)
        x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)
        return nn.Dense(self.width)(jax.nn.relu(x)).astype(jnp.float32)


def _row(make) -> encoder_table.Row:
    centres = functools.partial(patches.cell_centres, patch=_PATCH)
    return encoder_table.Row(make, _PATCH, centres, (1,))


@pytest.fixture(scope="module", autouse=True)
def tiny_encoders():
    """Adds "tiles" and "tiny_vit" to the encoders that there are."""
    with pytest.MonkeyPatch.context() as patch:
        variant = vit_table.Variant(16, 1, 2, _PATCH, 16)
        patch.setitem(vit_table.VARIANTS, "tiny_vit", variant)
        tiles = _row(lambda name, width, dtype, remat: Tiles(width, dtype))
        patch.setitem(encoder_table.ROWS, "tiles", tiles)
        patch.setitem(encoder_table.ROWS, "tiny_vit", _row(vit.ViT))
        yield
