"""Our encoders under the names of timm and torchvision, and how those load them."""

from typing import Any, NamedTuple

_FULL = 64  # `model.width` of the published sizes


class Peer(NamedTuple):
    """An encoder elsewhere; None: not there."""

    timm: str | None
    torchvision: str | None = None


PEERS = {
    **{name: Peer(name, name) for name in ("resnet18", "resnet34", "resnet50")},
    **{name: Peer(name, name) for name in ("resnet101", "resnet152")},
    "vit_s16": Peer("vit_small_patch16_224"),
    "vit_b16": Peer("vit_base_patch16_224", "vit_b_16"),
    "vit_l16": Peer("vit_large_patch16_224", "vit_l_16"),
    "vit_h14": Peer("vit_huge_patch14_224", "vit_h_14"),
    "dinov2_s14": Peer("vit_small_patch14_dinov2"),
    "dinov2_b14": Peer("vit_base_patch14_dinov2"),
    "dinov2_l14": Peer("vit_large_patch14_dinov2"),
    "dinov2_g14": Peer("vit_giant_patch14_dinov2"),
    "dinov2_s14_reg": Peer("vit_small_patch14_reg4_dinov2"),
    "dinov2_b14_reg": Peer("vit_base_patch14_reg4_dinov2"),
    "dinov2_l14_reg": Peer("vit_large_patch14_reg4_dinov2"),
    "dinov2_g14_reg": Peer("vit_giant_patch14_reg4_dinov2"),
    "convnext_t": Peer("convnext_tiny", "convnext_tiny"),
    "convnext_s": Peer("convnext_small", "convnext_small"),
    "convnext_b": Peer("convnext_base", "convnext_base"),
    "convnext_l": Peer("convnext_large", "convnext_large"),
}


def of(settings: dict[str, Any]) -> Peer:
    """The names of an encoder; of another width than the published it has none."""
    if settings["width"] != _FULL:
        return Peer(None)
    return PEERS.get(settings["encoder"], Peer(None))


def timm_config(
    name: str, num_features: int, given: dict[str, Any], table_size: int | None
) -> dict[str, Any]:
    """config.json as `timm.create_model("local-dir:...")` reads it.

    Pooled outputs are then the means over the cells, as ours.

    Args:
      name: timm's.
      num_features: D.
      given: `input` of an exported encoder.
      table_size: pixels a side that a table of positions is for; None: it has none.
    """
    arguments = {"num_classes": 0}
    if table_size is not None:
        arguments |= {
            "img_size": table_size,
            "dynamic_img_size": True,
            "global_pool": "avg",
            "fc_norm": False,
        }
    return {
        "architecture": name,
        "num_classes": 0,
        "num_features": num_features,
        "model_args": arguments,
        "pretrained_cfg": {
            **pretrained_config(given),
            "num_classes": 0,
            "interpolation": "bilinear",
            "crop_pct": 1.0,
            "crop_mode": "squash",
        },
    }


def pretrained_config(given: dict[str, Any]) -> dict[str, Any]:
    """How images are normalised, in timm's words."""
    return {
        "input_size": [len(given["mean"]), given["size"], given["size"]],
        "mean": given["mean"],
        "std": given["std"],
    }


def timm_lines(name: str) -> list[str]:
    """Python that loads a folder with such a config.json."""
    if name.startswith("convnext"):  # has a norm after pooling, which ours has not
        return [
            "import timm",
            "",
            f'model = timm.create_model("{name}", num_classes=0)',
            'timm.models.load_checkpoint(model, "FOLDER/model.safetensors", '
            "strict=False)",
            "# model.forward_features gives our feature maps",
        ]
    return [
        "import timm",
        "",
        'model = timm.create_model("local-dir:FOLDER", pretrained=True)',
    ]


def torchvision_lines(name: str, table_size: int | None) -> list[str]:
    """Python that loads model.safetensors; torchvision's classifier stays random."""
    size = "" if table_size is None else f"image_size={table_size}"
    return [
        "import safetensors.torch, torchvision",
        "",
        f"model = torchvision.models.{name}({size})",
        'tensors = safetensors.torch.load_file("FOLDER/model.safetensors")',
        "model.load_state_dict(tensors, strict=False)  # all but the classifier",
    ]
