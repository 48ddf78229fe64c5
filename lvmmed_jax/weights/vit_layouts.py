"""Layouts of vision transformers: what timm's names are called elsewhere."""

import math

import numpy as np

from lvmmed_jax.weights import layouts

BLOCK = r"blocks\.(\d+)\."
_PATCHES = ("patch_embed.proj.weight", "patch_embed.proj.bias")


def _without_class_row(tensors: layouts.Tensors) -> layouts.Tensors:
    """timm keeps no position of the class token where there are registers."""
    if "reg_token" not in tensors:
        return tensors
    table = tensors["pos_embed"]
    row = table[:, :1]
    # a zero that is added could still turn a -0.0
    token = tensors["cls_token"] + row if row.any() else tensors["cls_token"]
    return {**tensors, "cls_token": token, "pos_embed": table[:, 1:]}


def _with_class_row(tensors: layouts.Tensors) -> layouts.Tensors:
    table = tensors.get("pos_embed")
    if "reg_token" not in tensors or table is None or table.ndim != 3:
        return tensors
    if math.isqrt(table.shape[1]) ** 2 != table.shape[1]:
        return tensors
    return {**tensors, "pos_embed": np.pad(table, ((0, 0), (1, 0), (0, 0)))}


def block_rules(block: str, *pairs: tuple[str, str]) -> list[tuple[str, str]]:
    """Rules for the tensors of a block.

    Args:
      block: template of what their names begin with.
      *pairs: timm's layer, a regular expression; the layers it is elsewhere, by spaces.
    """
    rules = []
    for layer, others in pairs:
        new = " ".join(rf"{block}{other}.\2" for other in others.split())
        rules.append((rf"{BLOCK}{layer}\.(\w+)", new))
    return rules


# Meta's DINO, DINOv2 without registers, MoCo v3 and MAE have timm's names
TIMM = layouts.Layout(
    "timm",
    (("blocks.0.mlp.fc1.weight", "blocks.0.mlp.fc2.weight"), _PATCHES),
    layouts.renaming([]),
    without=("register_tokens",),
    enter=_with_class_row,
    leave=_without_class_row,
)
DINOV2 = layouts.Layout(
    "dinov2",
    (("register_tokens",), _PATCHES),
    layouts.renaming([("reg_token", "register_tokens")]),
    without=("blocks.0.mlp.w12.weight", "blocks.0.mlp.w3.weight"),
)
DINOV2_GATED = layouts.Layout(
    "dinov2",
    (("blocks.0.mlp.w12.weight", "blocks.0.mlp.w3.weight"), _PATCHES),
    layouts.renaming(
        [
            ("reg_token", "register_tokens"),
            (BLOCK + r"mlp\.fc1\.(\w+)", r"blocks.\1.mlp.w12.\2"),
            (BLOCK + r"mlp\.fc2\.(\w+)", r"blocks.\1.mlp.w3.\2"),
        ]
    ),
)
# its blocks and its image encoder's neck (Kirillov et al. 2023)
SAM = layouts.Layout(
    "sam",
    (("blocks.0.mlp.lin1.weight", "blocks.0.mlp.lin2.weight"), _PATCHES),
    layouts.renaming([(BLOCK + r"mlp\.fc(\d)\.(\w+)", r"blocks.\1.mlp.lin\2.\3")]),
)


def _torchvision(name: str, first: str, second: str) -> layouts.Layout:
    block = r"encoder.layers.encoder_layer_\1."
    rules = [
        ("cls_token", "class_token"),
        ("pos_embed", "encoder.pos_embedding"),
        (r"patch_embed\.proj\.(\w+)", r"conv_proj.\1"),
        (BLOCK + r"attn\.qkv\.(\w+)", rf"{block}self_attention.in_proj_\2"),
        *block_rules(
            block,
            (r"norm1", "ln_1"),
            (r"norm2", "ln_2"),
            (r"attn\.proj", "self_attention.out_proj"),
            (r"mlp\.fc1", first),
            (r"mlp\.fc2", second),
        ),
        (r"norm\.(\w+)", r"encoder.ln.\1"),
    ]
    group = tuple(
        f"encoder.layers.encoder_layer_0.{layer}.weight" for layer in (first, second)
    )
    return layouts.Layout(name, (group,), layouts.renaming(rules))


TORCHVISION = _torchvision("torchvision", "mlp.0", "mlp.3")
# the second is that of the published files
LAYOUTS = (
    TIMM,
    DINOV2,
    DINOV2_GATED,
    SAM,
    TORCHVISION,
    _torchvision("torchvision", "mlp.linear_1", "mlp.linear_2"),
)
