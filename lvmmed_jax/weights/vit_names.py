"""Names of vision transformers' tensors: timm's, and those of other projects."""

import math
from typing import Any

import jax
import jax.numpy as jnp

from lvmmed_jax.models import vit_table
from lvmmed_jax.weights import layouts, vit_layouts, vit_transformers

_LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "relative_rows": "rel_pos_h",
    "relative_columns": "rel_pos_w",
}
_TOP = {
    "class_token": "cls_token",
    "positions": "pos_embed",
    "registers": "reg_token",
    "patch_embedding": "patch_embed.proj",
    "norm": "norm",
}
_INNER = {
    "attention": "attn",
    "projection": "proj",
    "hidden": "fc1",
    "output": "fc2",
}
_SCALES = {"layer_scale1": "ls1.gamma", "layer_scale2": "ls2.gamma"}
_FULL = 64  # `model.width` of the published sizes
_NECK = ("conv1", "norm1", "conv2", "norm2")  # SAM's, by torch's index
_NECK_WIDTH = 256  # channels (Kirillov et al. 2023, appendix A)
_DEEPEST = 200  # blocks
_DEFAULT_SIZE = 224  # pixels, where no table says another


def _name_of(path: tuple[str, ...], settings: dict[str, Any]) -> str:
    """(..., "Block_3", "attention", "qkv", "kernel") -> "blocks.3.attn.qkv.weight"."""
    del settings
    collection, *layers, leaf = path
    if collection == "neck":
        return f"neck.{_NECK.index(layers[0])}.{_LEAVES[leaf]}"
    if layers and layers[0].startswith("Block_"):
        block = layers[0].removeprefix("Block_")
        if layers[1] in _SCALES:
            return f"blocks.{block}.{_SCALES[layers[1]]}"
        inner = ".".join(_INNER.get(layer, layer) for layer in layers[1:])
        return f"blocks.{block}.{inner}.{_LEAVES.get(leaf, leaf)}"
    if layers:
        return f"{_TOP[layers[0]]}.{_LEAVES[leaf]}"
    return _TOP[leaf]


def _infer(
    shapes: layouts.Shapes, layout: layouts.Layout, variant: str | None
) -> dict[str, Any]:
    """The row of the table with this depth and width, and the most of the rest."""
    width = _width(shapes, layout)
    depth = _depth(shapes, layout)
    hidden = _side(shapes, layout, "blocks.0.mlp.fc2.weight", 1, 4 * width)
    if variant is not None:
        return {"encoder": variant, "width": _scale(variant, width)}
    seen = _features(shapes, layout, hidden)
    found = []
    for name, row in vit_table.VARIANTS.items():
        scale = _scale(name, width)
        if (row.depth, row.width * scale, row.mlp_width * scale) == (
            depth,
            width * _FULL,
            hidden * _FULL,
        ):
            differing = sum(a != b for a, b in zip(seen, _of_row(row), strict=True))
            found.append((differing, scale != _FULL, name))
    if not found:
        raise ValueError(
            f"no vision transformer here has {depth} blocks of {width} channels and "
            f"MLPs of {hidden}; known: {', '.join(vit_table.VARIANTS)}"
        )
    best = [name for *rank, name in found if rank == list(min(found)[:2])]
    if len(best) > 1:
        raise ValueError(f"it may be {' or '.join(best)}: say which by --encoder")
    return {"encoder": best[0], "width": _scale(best[0], width)}


def _features(shapes: layouts.Shapes, layout: layouts.Layout, hidden: int) -> tuple:
    """What tells rows of the same size apart; as `_of_row` has it."""

    def has(name):
        return _shape(shapes, layout, name) is not None

    return (
        _side(shapes, layout, "patch_embed.proj.weight", 3, 16),
        _side(shapes, layout, "blocks.0.mlp.fc1.weight", 0, hidden) == 2 * hidden,
        has("cls_token"),
        _side(shapes, layout, "reg_token", 1, 0),
        has("blocks.0.ls1.gamma") or has("blocks.0.ls2.gamma"),
        has("pos_embed"),
        has("blocks.0.attn.rel_pos_h") or has("blocks.0.attn.rel_pos_w"),
        has("norm.weight") or has("norm.bias"),
    )


def _of_row(row: vit_table.Variant) -> tuple:
    return (
        row.patch,
        row.gated,
        row.class_token,
        row.num_registers,
        row.layer_scale is not None,
        row.absolute is not None,
        row.relative,
        row.final_norm,
    )


def _scale(variant: str, width: int) -> int:
    """`model.width` of a variant with D = width."""
    return max(round(width * _FULL / vit_table.VARIANTS[variant].width), 1)


def _shape(
    shapes: layouts.Shapes, layout: layouts.Layout, name: str
) -> tuple[int, ...] | None:
    """Of the (first) tensor that timm's is here; None: it is not there."""
    return shapes.get(layout.rename(name)[0])


def _side(
    shapes: layouts.Shapes, layout: layouts.Layout, name: str, axis: int, default: int
) -> int:
    """One length of a tensor; the default where there is no such axis."""
    shape = _shape(shapes, layout, name) or ()
    return shape[axis] if len(shape) > axis else default


def _width(shapes: layouts.Shapes, layout: layouts.Layout) -> int:
    norm = _side(shapes, layout, "blocks.0.norm1.weight", 0, 0)
    return norm or _side(shapes, layout, "patch_embed.proj.weight", 0, 1)


def _depth(shapes: layouts.Shapes, layout: layouts.Layout) -> int:
    """How many blocks there are, each told by any of some of its tensors."""
    parts = ("norm1.weight", "norm2.weight", "attn.proj.weight", "mlp.fc2.bias")
    there = [
        index
        for index in range(_DEEPEST)
        if any(_shape(shapes, layout, f"blocks.{index}.{part}") for part in parts)
    ]
    return max(there, default=-1) + 1


def _channels(shapes: layouts.Shapes, layout: layouts.Layout) -> int:
    return _side(shapes, layout, "patch_embed.proj.weight", 1, 3)


def _image_size(
    shapes: layouts.Shapes, layout: layouts.Layout, settings: dict[str, Any]
) -> int:
    """Pixels a side that the tables of positions are for."""
    patch = _side(shapes, layout, "patch_embed.proj.weight", 3, 16)
    table = _shape(shapes, layout, "pos_embed") or ()
    if len(table) == 4:
        return table[1] * patch
    if len(table) == 3:
        first = _shape(shapes, layout, "cls_token") is not None
        return max(math.isqrt(max(table[1] - first, 1)), 1) * patch
    return _relative_cells(shapes, layout, settings) * patch or _DEFAULT_SIZE


def _relative_cells(
    shapes: layouts.Shapes, layout: layouts.Layout, settings: dict[str, Any]
) -> int:
    """Cells a side that global attention's tables are for; 0: there are none."""
    lengths = [
        _side(shapes, layout, f"blocks.{block}.attn.rel_pos_h", 0, 0)
        for block in vit_table.VARIANTS[settings["encoder"]].global_blocks
    ]
    return (max(lengths, default=0) + 1) // 2


def _extra(settings: dict[str, Any]) -> Any:
    row = vit_table.VARIANTS[settings["encoder"]]
    return {"neck": _neck(row.width, settings["width"])} if row.relative else {}


def _neck(width: int, scale: int) -> Any:
    """SAM's neck: 1x1 and 3x3 convolutions, each with a LayerNorm over channels."""
    width, out = (value * scale // _FULL for value in (width, _NECK_WIDTH))

    def array(*shape):
        return jax.ShapeDtypeStruct(shape, jnp.float32)

    norm = {"scale": array(out), "bias": array(out)}
    return {
        "conv1": {"kernel": array(1, 1, width, out)},
        "norm1": norm,
        "conv2": {"kernel": array(3, 3, out, out)},
        "norm2": norm,
    }


def _written(settings: dict[str, Any]) -> tuple[layouts.Written, ...]:
    row = vit_table.VARIANTS[settings["encoder"]]
    if row.relative:
        sam = layouts.Written(
            "sam",
            vit_layouts.SAM,
            "image_encoder.",
            lambda shapes: _positions(shapes, settings),
        )
        return (sam,) if row.absolute else (_LVMMED, sam)
    timm = layouts.Written("timm", vit_layouts.TIMM)
    if row.layer_scale is not None or row.num_registers or row.gated:
        return (timm,)
    return timm, layouts.Written("torchvision", vit_layouts.TORCHVISION)


def _positions(shapes: layouts.Shapes, settings: dict[str, Any]) -> layouts.Shapes:
    """SAM's table of absolute positions, which LVM-Med's encoder does without."""
    cells = _relative_cells(shapes, vit_layouts.SAM, settings)
    width = shapes["patch_embed.proj.weight"][0]
    return {"pos_embed": (1, cells, cells, width)}


_LVMMED = layouts.Written("lvmmed", vit_layouts.SAM)
FAMILY = layouts.Family(
    "vision transformer",
    tuple(vit_table.VARIANTS),
    (*vit_layouts.LAYOUTS, *vit_transformers.LAYOUTS),
    _written,
    _name_of,
    _infer,
    _channels,
    _image_size,
    _extra,
)
