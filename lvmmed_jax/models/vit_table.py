"""The vision transformers that are known: plain, DINOv2's, SAM's, LVM-Med's."""

import math
from typing import NamedTuple

from lvmmed_jax.models import position


class Variant(NamedTuple):
    """A row of the table below.

    Attributes:
      width: D.
      depth: number of blocks.
      num_heads: of attention.
      patch: pixels a side.
      mlp_width: hidden channels of a block's MLP.
      gated: SwiGLU instead of GELU in the MLP.
      class_token: whether a learnt token stands before the patches; it has a row in
        the position table, and is no cell of the feature map.
      num_registers: more such tokens, without positions.
      layer_scale: first value of the learnt scales of a block's two branches; None: no
        scales.
      absolute: how the table of absolute positions is resized; None: there is none.
      window: cells a side of attention's windows; 0: all attention is global.
      global_blocks: those whose attention is global nevertheless.
      relative: whether attention has relative positions.
      final_norm: whether a LayerNorm follows the last block.
    """

    width: int
    depth: int
    num_heads: int
    patch: int
    mlp_width: int
    gated: bool = False
    class_token: bool = True
    num_registers: int = 0
    layer_scale: float | None = None
    absolute: position.Resampling | None = position.TIMM
    window: int = 0
    global_blocks: tuple[int, ...] = ()
    relative: bool = False
    final_norm: bool = True


_S = Variant(384, 12, 6, 16, 1536)
_B = Variant(768, 12, 12, 16, 3072)
_L = Variant(1024, 24, 16, 16, 4096)
_H = Variant(1280, 32, 16, 14, 5120)
_G = Variant(1536, 40, 24, 14, 4096, gated=True)  # DINOv2's, table 16


def _dinov2(size: Variant, num_registers: int = 0) -> Variant:
    absolute = position.DINOV2_REGISTERS if num_registers else position.DINOV2
    return size._replace(
        patch=14, num_registers=num_registers, layer_scale=1e-5, absolute=absolute
    )


def _sam(size: Variant, global_blocks: tuple[int, ...]) -> Variant:
    return size._replace(
        patch=16,
        class_token=False,
        window=14,
        global_blocks=global_blocks,
        relative=True,
        final_norm=False,
    )


_SAM_B = _sam(_B, (2, 5, 8, 11))
_SAM_L = _sam(_L, (5, 11, 17, 23))
_SAM_H = _sam(_H, (7, 15, 23, 31))

VARIANTS = {
    # Dosovitskiy et al. 2021, table 1; S: Touvron et al. 2021 (DeiT), table 1
    "vit_s16": _S,
    "vit_b16": _B,
    "vit_l16": _L,
    "vit_h14": _H,
    # Oquab et al. 2023, table 16; with registers: Darcet et al. 2024
    "dinov2_s14": _dinov2(_S),
    "dinov2_b14": _dinov2(_B),
    "dinov2_l14": _dinov2(_L),
    "dinov2_g14": _dinov2(_G),
    "dinov2_s14_reg": _dinov2(_S, 4),
    "dinov2_b14_reg": _dinov2(_B, 4),
    "dinov2_l14_reg": _dinov2(_L, 4),
    "dinov2_g14_reg": _dinov2(_G, 4),
    # Kirillov et al. 2023, appendix A
    "sam_b16": _SAM_B,
    "sam_l16": _SAM_L,
    "sam_h16": _SAM_H,
    # SAM's without absolute positions: the released lvmmed_vit.pth
    "lvmmed_b16": _SAM_B._replace(absolute=None),
    "lvmmed_h16": _SAM_H._replace(absolute=None),
}


def scaled(name: str, width: int) -> Variant:
    """The row, every width times width / 64.

    Raises:
      ValueError: a width that the heads do not divide.
    """
    row = VARIANTS[name]
    channels, hidden = row.width * width / 64, row.mlp_width * width / 64
    if channels % row.num_heads or hidden % 1:
        raise ValueError(
            f"model.width={width} does not suit {name}: 64 gives its {row.num_heads} "
            f"heads {row.width // row.num_heads} channels each; take a multiple of "
            f"{64 // math.gcd(64, row.width // row.num_heads)}"
        )
    return row._replace(width=int(channels), mlp_width=int(hidden))
