"""Names of ConvNeXt's tensors: timm's, and those of other projects."""

import re
from typing import Any

from lvmmed_jax.models import convnext
from lvmmed_jax.weights import layouts

_LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias"}
_INNER = {
    ("depthwise",): "conv_dw",
    ("norm",): "norm",
    ("mlp", "hidden"): "mlp.fc1",
    ("mlp", "output"): "mlp.fc2",
}
_FULL = 64  # `model.width` of the published sizes
_NUM_STAGES, _DEEPEST = 4, 200
_PARTS = ("conv_dw.weight", "norm.weight", "mlp.fc2.weight")  # any tells a block
_SIZE = 224  # pixels; Liu et al. 2022, section 2.1


def _name_of(path: tuple[str, ...], settings: dict[str, Any]) -> str:
    """(..., "Block_3", "norm", "scale") -> "stages.1.blocks.0.norm.weight"."""
    _, first, *inner, leaf = path
    if first.startswith("Block_"):
        stage, block = _place(int(first.removeprefix("Block_")), settings["encoder"])
        name = f"stages.{stage}.blocks.{block}"
        if inner == ["layer_scale"]:
            return f"{name}.gamma"
        return f"{name}.{_INNER[tuple(inner)]}.{_LEAVES[leaf]}"
    if first.startswith("stem"):
        return f"stem.{int(first.endswith('norm'))}.{_LEAVES[leaf]}"
    place = int("norm" not in first)  # of a stage's LayerNorm and convolution
    return f"stages.{first[-1]}.downsample.{place}.{_LEAVES[leaf]}"


def _place(index: int, variant: str) -> tuple[int, int]:
    """The stage and the block in it of the block of an index."""
    for stage, num_blocks in enumerate(convnext.VARIANTS[variant].stage_sizes):
        if index < num_blocks:
            return stage, index
        index -= num_blocks
    raise ValueError(f"{variant} has no block of index {index}")


def _infer(
    shapes: layouts.Shapes, layout: layouts.Layout, variant: str | None
) -> dict[str, Any]:
    """The variant by its blocks and the width of its first stage."""

    def shape(name):
        return shapes.get(layout.rename(name)[0], ())

    first = ("stages.0.blocks.0.conv_dw.weight", "stages.0.blocks.0.norm.weight")
    width = next((shape(name)[0] for name in first if shape(name)), 1)
    if variant is not None:
        scale = width * _FULL // convnext.VARIANTS[variant].width
        return {"encoder": variant, "width": max(scale, 1)}
    sizes = tuple(
        sum(
            any(shape(f"stages.{stage}.blocks.{block}.{part}") for part in _PARTS)
            for block in range(_DEEPEST)
        )
        for stage in range(_NUM_STAGES)
    )
    fitting = {
        name: width * _FULL // row.width
        for name, row in convnext.VARIANTS.items()
        if row.stage_sizes == sizes and width * _FULL % row.width == 0
    }
    if not fitting:
        raise ValueError(
            f"no ConvNeXt here has stages of {sizes} blocks and {width} channels; "
            f"known: {', '.join(convnext.VARIANTS)}"
        )
    names = [name for name, scale in fitting.items() if scale == _FULL] or [*fitting]
    if len(names) > 1:
        raise ValueError(f"it may be {' or '.join(names)}: say which by --encoder")
    return {"encoder": names[0], "width": fitting[names[0]]}


def _channels(shapes: layouts.Shapes, layout: layouts.Layout) -> int:
    stem = shapes.get(layout.rename("stem.0.weight")[0], ())
    return stem[1] if len(stem) == 4 else 3


def _torchvision(name: str) -> tuple[str, ...]:
    """Stage s is features 2 s + 1, and what halves the map before it 2 s."""
    name = re.sub(r"^stem\.", "features.0.", name)
    name = re.sub(
        r"^stages\.(\d)\.downsample\.",
        lambda found: f"features.{2 * int(found[1])}.",
        name,
    )
    name = re.sub(
        r"^stages\.(\d)\.blocks\.(\d+)\.",
        lambda found: f"features.{2 * int(found[1]) + 1}.{found[2]}.block.",
        name,
    )
    for ours, theirs in (
        ("block.conv_dw", "block.0"),
        ("block.norm", "block.2"),
        ("block.mlp.fc1", "block.3"),
        ("block.mlp.fc2", "block.5"),
        ("block.gamma", "layer_scale"),
    ):
        name = name.replace(ours, theirs)
    return (name,)


def _flat_scales(tensors: layouts.Tensors) -> layouts.Tensors:
    """torchvision's learnt scales are [D, 1, 1]."""
    return {
        name: array.reshape(-1)
        if name.endswith(".layer_scale") and array.shape[1:] == (1, 1)
        else array
        for name, array in tensors.items()
    }


def _mapped_scales(tensors: layouts.Tensors) -> layouts.Tensors:
    return {
        name: array.reshape(-1, 1, 1) if name.endswith(".layer_scale") else array
        for name, array in tensors.items()
    }


_BLOCK = r"stages\.(\d)\.blocks\.(\d+)\."
_TIMM = layouts.Layout(
    "timm",
    (("stages.0.blocks.0.conv_dw.weight", "stages.0.blocks.0.conv_dw.bias"),),
    layouts.renaming([]),
)
_TORCHVISION = layouts.Layout(
    "torchvision",
    (
        ("features.1.0.layer_scale",),
        ("features.1.0.block.0.weight", "features.1.0.block.0.bias"),
    ),
    _torchvision,
    enter=_flat_scales,
    leave=_mapped_scales,
)
# the authors' files; after the pooling comes one more LayerNorm, `norm`
_AUTHORS = layouts.Layout(
    "convnext",
    (("stages.0.0.dwconv.weight", "stages.0.0.dwconv.bias"),),
    layouts.renaming(
        [
            (r"stem\.(.*)", r"downsample_layers.0.\1"),
            (r"stages\.(\d)\.downsample\.(.*)", r"downsample_layers.\1.\2"),
            (_BLOCK + r"conv_dw\.(\w+)", r"stages.\1.\2.dwconv.\3"),
            (_BLOCK + r"mlp\.fc(\d)\.(\w+)", r"stages.\1.\2.pwconv\3.\4"),
            (_BLOCK + r"(.*)", r"stages.\1.\2.\3"),
        ]
    ),
    dropped=("norm",),
)
_THEIRS = r"encoder.stages.\1.layers.\2."
_TRANSFORMERS = layouts.Layout(
    "transformers",
    (tuple(f"encoder.stages.0.layers.0.dwconv.{leaf}" for leaf in ("weight", "bias")),),
    layouts.renaming(
        [
            (r"stem\.0\.(.*)", r"embeddings.patch_embeddings.\1"),
            (r"stem\.1\.(.*)", r"embeddings.layernorm.\1"),
            (
                r"stages\.(\d)\.downsample\.(.*)",
                r"encoder.stages.\1.downsampling_layer.\2",
            ),
            (_BLOCK + r"conv_dw\.(\w+)", _THEIRS + r"dwconv.\3"),
            (_BLOCK + r"norm\.(\w+)", _THEIRS + r"layernorm.\3"),
            (_BLOCK + r"mlp\.fc(\d)\.(\w+)", _THEIRS + r"pwconv\3.\4"),
            (_BLOCK + r"gamma", _THEIRS + r"layer_scale_parameter"),
        ]
    ),
    dropped=("layernorm",),
)
FAMILY = layouts.Family(
    "ConvNeXt",
    tuple(convnext.VARIANTS),
    (_TIMM, _TORCHVISION, _AUTHORS, _TRANSFORMERS),
    lambda settings: (
        layouts.Written("timm", _TIMM),
        layouts.Written("torchvision", _TORCHVISION),
    ),
    _name_of,
    _infer,
    _channels,
    lambda shapes, layout, settings: _SIZE,
)
