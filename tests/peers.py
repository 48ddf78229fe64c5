"""Encoders of torch packages with our weights, and the maps that they compute.

Needs torch; a package that is not there raises ModuleNotFoundError when it is made.
"""

import functools
import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from lvmmed_jax.weights import families, mapping


class Peer(NamedTuple):
    """An encoder beside one of ours.

    Attributes:
      encoder: ours.
      width: ours.
      layout: whose names its tensors have.
      make: number of input channels -> the torch module.
      stages: number of a stage of ours -> the submodule that gives its map.
      size: pixels a side that its position tables are for.
      norm: the submodule that follows; "": none.
      axes: of what the submodules give: "B D R S", "B R S D", or "B L D".
      num_first: tokens before the patches.
    """

    encoder: str
    width: int
    layout: str
    make: Callable[[int], Any]
    stages: dict[int, str]
    size: int = 64
    norm: str = ""
    axes: str = "B D R S"
    num_first: int = 0


def _torchvision(name):
    models = functools.partial(importlib.import_module, "torchvision.models")
    return lambda channels: models().get_model(name, weights=None)


def _timm(name, **settings):
    timm = functools.partial(importlib.import_module, "timm")
    return lambda channels: timm().create_model(
        name, num_classes=0, in_chans=channels, **settings
    )


def _transformers(name, **settings):
    def make(channels):
        package = importlib.import_module("transformers")
        config = getattr(package, f"{name}Config")(num_channels=channels, **settings)
        return getattr(package, f"{name}Model")(config)

    return make


def _sam(width, size, absolute):
    def make(channels):
        return importlib.import_module("segment_anything.modeling").ImageEncoderViT(
            in_chans=channels,
            img_size=size,
            depth=12,
            embed_dim=width,
            num_heads=12,
            global_attn_indexes=(2, 5, 8, 11),
            window_size=14,
            use_rel_pos=True,
            use_abs_pos=absolute,
            out_chans=width // 3,
            norm_layer=functools.partial(torch.nn.LayerNorm, eps=1e-6),
        )

    return make


def _numbered(template, first=1):
    return {stage: template.format(stage - first) for stage in (1, 2, 3, 4)}


def _blocks(template="blocks.{}", depth=12):
    chosen = (1, depth // 2, depth - 1, depth)
    return {stage: template.format(stage - 1) for stage in chosen}


def _resnet(encoder, depths, kind):
    factor = 4 if kind == "bottleneck" else 1
    make = _transformers(
        "ResNet",
        embedding_size=4,
        hidden_sizes=[factor * 4 * 2**stage for stage in range(4)],
        depths=depths,
        layer_type=kind,
    )
    stages = {0: "embedder.embedder", **_numbered("encoder.stages.{}")}
    return Peer(encoder, 4, "transformers", make, stages)


def _timm_vit(encoder, name, size, num_first, width=4, num_heads=6, depth=12, **more):
    make = _timm(
        name,
        img_size=size,
        embed_dim=24,
        num_heads=num_heads,
        dynamic_img_size=True,
        dynamic_img_pad=True,
        **more,
    )
    stages = _blocks(depth=depth)
    return Peer(encoder, width, "timm", make, stages, size, "norm", "B L D", num_first)


def _transformers_vit(encoder, name, size, num_first, template, **more):
    make = _transformers(
        name, hidden_size=24, num_attention_heads=6, image_size=size, **more
    )
    stages = _blocks(template)
    return Peer(
        encoder,
        4,
        "transformers",
        make,
        stages,
        size,
        "layernorm",
        "B L D",
        num_first,
    )


def _sam_peer(encoder, width, size):
    make = _sam(12 * width, size, absolute=encoder.startswith("sam"))
    return Peer(encoder, width, "sam", make, _blocks(), size, axes="B R S D")


_HF_BLOCKS = "encoder.layer.{}"
SMALL = {
    "transformers resnet18": _resnet("resnet18", [2, 2, 2, 2], "basic"),
    "transformers resnet50": _resnet("resnet50", [3, 4, 6, 3], "bottleneck"),
    "timm vit_s16": _timm_vit("vit_s16", "vit_small_patch16_224", 64, 1),
    "transformers vit_s16": _transformers_vit(
        "vit_s16", "ViT", 64, 1, "layers.{}", intermediate_size=96, layer_norm_eps=1e-6
    ),
    "timm dinov2_s14": _timm_vit("dinov2_s14", "vit_small_patch14_dinov2", 56, 1),
    "transformers dinov2_s14": _transformers_vit(
        "dinov2_s14", "Dinov2", 56, 1, _HF_BLOCKS, patch_size=14
    ),
    "timm dinov2_s14_reg": _timm_vit(
        "dinov2_s14_reg", "vit_small_patch14_reg4_dinov2", 56, 5
    ),
    "transformers dinov2_s14_reg": _transformers_vit(
        "dinov2_s14_reg", "Dinov2WithRegisters", 56, 5, _HF_BLOCKS, patch_size=14
    ),
    "timm dinov2_g14": _timm_vit(
        "dinov2_g14",
        "vit_giant_patch14_dinov2",
        *(56, 1, 1, 24, 40),
        mlp_ratio=16 / 3,
    ),
    "segment_anything sam_b16": _sam_peer("sam_b16", 2, 320),
    "segment_anything lvmmed_b16": _sam_peer("lvmmed_b16", 2, 320),
    "timm convnext_t": Peer(
        "convnext_t",
        4,
        "timm",
        _timm("convnext_tiny", dims=(6, 12, 24, 48)),
        _numbered("stages.{}"),
    ),
}
PUBLISHED = {
    **{
        f"torchvision {name}": Peer(
            name,
            64,
            "torchvision",
            _torchvision(name),
            {0: "relu", **_numbered("layer{}", first=0)},
        )
        for name in ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
    },
    "timm vit_b16": Peer(
        "vit_b16",
        64,
        "timm",
        _timm("vit_base_patch16_224"),
        _blocks(),
        224,
        "norm",
        "B L D",
        1,
    ),
    "torchvision convnext_t": Peer(
        "convnext_t",
        64,
        "torchvision",
        _torchvision("convnext_tiny"),
        {stage: f"features.{2 * stage - 1}" for stage in (1, 2, 3, 4)},
    ),
    "segment_anything lvmmed_b16": _sam_peer("lvmmed_b16", 64, 1024),
}
# what an encoder of theirs has besides
_BESIDE = ("fc.", "classifier.", "head.", "neck.", "embeddings.mask_token", "pooler.")


def make(peer, variables, channels=3):
    """(the torch model with our weights, what brings our trees into its names)."""
    model = peer.make(channels)
    theirs = model.state_dict()
    family = families.of_encoder(peer.encoder)
    settings = {"encoder": peer.encoder, "width": peer.width}
    for layout in family.layouts:  # a project may have several
        entries = mapping.plan(family, layout, settings, variables)
        tensors = layout.leave(mapping.to_torch(variables, entries, None))
        if layout.name == peer.layout and tensors.keys() <= theirs.keys():
            break
    else:
        raise ValueError(f"{peer.encoder} does not have the names of {peer.layout}")
    left = theirs.keys() - tensors.keys()
    assert all(name.startswith(_BESIDE) for name in left), sorted(left)
    tensors = {name: torch.tensor(array) for name, array in tensors.items()}
    model.load_state_dict(tensors, strict=False)

    def rename(tree):
        chosen = [entry for entry in entries if entry.path[0] in tree]
        return mapping.to_torch(tree, chosen, None)

    return model, rename


def maps(peer, model, images, grid):
    """{stage: [B, R, S, D]} of images [B, H, W, C]; `grid` is the last one's (R, S)."""
    found, hooks = {}, []
    for stage, name in peer.stages.items():

        def keep(module, inputs, output, stage=stage):
            found[stage] = output[0] if isinstance(output, tuple) else output

        hooks.append(model.get_submodule(name).register_forward_hook(keep))
    model(torch.as_tensor(images).permute(0, 3, 1, 2))
    for hook in hooks:
        hook.remove()
    if peer.norm:
        norm = model.get_submodule(peer.norm)
        found = {stage: norm(x) for stage, x in found.items()}
    if peer.axes == "B L D":
        return {s: x[:, peer.num_first :].unflatten(1, grid) for s, x in found.items()}
    if peer.axes == "B D R S":
        return {stage: x.permute(0, 2, 3, 1) for stage, x in found.items()}
    return found
