"""Names of ResNet's tensors: torchvision's, and those of other projects."""

import re
from typing import Any

from lvmmed_jax.models import resnet
from lvmmed_jax.weights import layouts

LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}
_STAGES = {  # layout -> the numbers of a block's stage and of the block in it
    "torchvision": r"layer(\d+)\.(\d+)\.",
    "transformers": r"encoder\.stages\.(\d+)\.layers\.(\d+)\.",
    "lightly": r"(\d+)\.(\d+)\.",
}


def torchvision_layer(layers: list[str], variant: str) -> str:
    """["Block_3", "Conv_0"] -> "layer2.1.conv1" in ResNet-18."""
    *block, name = layers
    if name.startswith("projection"):
        name = "downsample.1" if name.endswith("norm") else "downsample.0"
    else:
        kind = "conv" if name.startswith("Conv") else "bn"
        name = f"{kind}{_number(name) + 1}"
    if not block:
        return name
    place = _number(block[0])
    for stage, num_blocks in enumerate(resnet.VARIANTS[variant].stage_sizes):
        if place < num_blocks:
            return f"layer{stage + 1}.{place}.{name}"
        place -= num_blocks
    raise ValueError(f"{variant} has no {block[0]}")


def _name_of(path: tuple[str, ...], settings: dict[str, Any]) -> str:
    _, *layers, leaf = path
    layer = torchvision_layer(layers, settings["encoder"])
    return f"{layer}.{LEAVES[leaf]}"


def _infer(
    shapes: layouts.Shapes, layout: layouts.Layout, variant: str | None
) -> dict[str, Any]:
    """The variant by its blocks and stem, the width by the first block."""
    anchor = next(anchor for anchor in layout.anchors[0] if anchor in shapes)
    width = max(_four(shapes[anchor])[0], 1)
    if variant is not None:
        return {"encoder": variant, "width": width}
    blocks = {}
    for name in shapes:
        found = re.match(_STAGES[layout.name], name)
        if found:
            stage, block = map(int, found.groups())
            blocks.setdefault(stage, set()).add(block)
    sizes = tuple(len(blocks[stage]) for stage in sorted(blocks))
    (third,) = layout.rename("layer1.0.conv3.weight")
    stem = _four(shapes.get(layout.rename("conv1.weight")[0], ()))
    found = resnet.Variant(sizes, third in shapes, pool=stem[-1] != 3)
    for name, known in resnet.VARIANTS.items():
        if known == found:
            return {"encoder": name, "width": width}
    form = "bottlenecks" if found.bottleneck else "basic blocks"
    raise ValueError(
        f"no ResNet here has stages of {sizes} {form}; known: "
        f"{', '.join(resnet.VARIANTS)}; --encoder says which is meant"
    )


def _channels(shapes: layouts.Shapes, layout: layouts.Layout) -> int:
    return _four(shapes.get(layout.rename("conv1.weight")[0], ()))[1]


def _four(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a kernel; of what is none, that of ResNet's stem."""
    return shape if len(shape) == 4 else (64, 3, 7, 7)


def _unchanged(name: str) -> tuple[str, ...]:
    return (name,)


def _transformers(name: str) -> tuple[str, ...]:
    """As `ResNetModel` has them: numbers begin at 0, `bn` is `normalization`."""
    name = re.sub(
        r"^layer(\d)\.(\d+)\.",
        lambda found: f"encoder.stages.{int(found[1]) - 1}.layers.{found[2]}.",
        name,
    )
    for index, part in enumerate(("convolution", "normalization")):
        kind = ("conv", "bn")[index]
        name = re.sub(rf"^{kind}1\.", f"embedder.embedder.{part}.", name)
        name = name.replace(f".downsample.{index}.", f".shortcut.{part}.")
        name = re.sub(
            rf"\.{kind}(\d)\.",
            lambda found, part=part: f".layer.{int(found[1]) - 1}.{part}.",
            name,
        )
    return (name,)


def _lightly(name: str) -> tuple[str, ...]:
    """As a torch `Sequential` of ResNet's children: convolution, norm, ReLU, pool."""
    name = re.sub(r"^conv1\.", "0.", name)
    name = re.sub(r"^bn1\.", "1.", name)
    return (re.sub(r"^layer(\d)\.", lambda found: f"{int(found[1]) + 3}.", name),)


def _number(name: str) -> int:
    return int(name.rpartition("_")[2])


_TORCHVISION = layouts.Layout(
    "torchvision", (("layer1.0.conv1.weight", "layer1.0.conv2.weight"),), _unchanged
)
_TRANSFORMERS = layouts.Layout(
    "transformers",
    (
        (
            "encoder.stages.0.layers.0.layer.0.convolution.weight",
            "encoder.stages.0.layers.0.layer.1.convolution.weight",
        ),
    ),
    _transformers,
)
_LIGHTLY = layouts.Layout(
    "lightly", (("4.0.conv1.weight", "4.0.conv2.weight"),), _lightly
)
# timm and the official LVM-Med release have torchvision's names
_WRITTEN = tuple(
    layouts.Written(name, _TORCHVISION) for name in ("torchvision", "timm", "lvmmed")
)
FAMILY = layouts.Family(
    "ResNet",
    tuple(resnet.VARIANTS),
    (_TORCHVISION, _TRANSFORMERS, _LIGHTLY),
    lambda settings: _WRITTEN,
    _name_of,
    _infer,
    _channels,
    lambda shapes, layout, settings: 224,  # pixels; He et al. 2015, section 3.4
)
