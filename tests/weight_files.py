"""Random weights in the layouts of other projects, written down name by name.

The names are spelt out here without what `lvmmed_jax.weights` knows of them.
"""

import numpy as np

from lvmmed_jax.weights import safetensors_files

STAGES = {"resnet8": (1, 1, 1), "resnet18": (2, 2, 2, 2), "resnet50": (3, 4, 6, 3)}


def torchvision_resnet(variant, width=4, channels=3, seed=0, *, counts=True):
    """A state dict of torchvision's ResNet without its last layer."""
    stem = 3 if variant == "resnet8" else 7
    shapes = {"conv1.weight": (width, channels, stem, stem), **_norm("bn1", width)}
    bottleneck = variant == "resnet50"
    before = width
    for stage, num_blocks in enumerate(STAGES[variant]):
        inner = width * 2**stage
        after = inner * (4 if bottleneck else 1)
        for block in range(num_blocks):
            name = f"layer{stage + 1}.{block}"
            if bottleneck:
                kernels = [(before, inner, 1), (inner, inner, 3), (inner, after, 1)]
            else:
                kernels = [(before, inner, 3), (inner, after, 3)]
            for index, (inputs, outputs, side) in enumerate(kernels, start=1):
                shapes[f"{name}.conv{index}.weight"] = (outputs, inputs, side, side)
                shapes |= _norm(f"{name}.bn{index}", outputs)
            halves = stage > 0 or variant == "resnet8"
            if block == 0 and (halves or before != after):
                shapes[f"{name}.downsample.0.weight"] = (after, before, 1, 1)
                shapes |= _norm(f"{name}.downsample.1", after)
            before = after
    return fill(shapes, seed, counts=counts)


def sam_vit(width=48, size=64, *, absolute=False, depth=12, every=3):
    """SAM's image encoder; without absolute positions it is LVM-Med's (weights.md)."""
    shapes = {
        "patch_embed.proj.weight": (width, 3, 16, 16),
        "patch_embed.proj.bias": (width,),
    }
    cells, heads = size // 16, 12
    if absolute:
        shapes["pos_embed"] = (1, cells, cells, width)
    for block in range(depth):
        table = (2 * (cells if block % every == every - 1 else 14) - 1, width // heads)
        shapes |= {
            f"blocks.{block}.{name}": shape
            for name, shape in {
                "norm1.weight": (width,),
                "norm1.bias": (width,),
                "attn.rel_pos_h": table,
                "attn.rel_pos_w": table,
                "attn.qkv.weight": (3 * width, width),
                "attn.qkv.bias": (3 * width,),
                "attn.proj.weight": (width, width),
                "attn.proj.bias": (width,),
                "norm2.weight": (width,),
                "norm2.bias": (width,),
                "mlp.lin1.weight": (4 * width, width),
                "mlp.lin1.bias": (4 * width,),
                "mlp.lin2.weight": (width, 4 * width),
                "mlp.lin2.bias": (width,),
            }.items()
        }
    out = width // 3
    shapes |= {
        "neck.0.weight": (out, width, 1, 1),
        "neck.1.weight": (out,),
        "neck.1.bias": (out,),
        "neck.2.weight": (out, out, 3, 3),
        "neck.3.weight": (out,),
        "neck.3.bias": (out,),
    }
    return shapes


def timm_vit(
    width=48, patch=16, cells=2, *, registers=0, scales=False, gated=False, depth=12
):
    """A ViT of timm's; with registers its table has no row for the class token."""
    hidden = 4 * width
    shapes = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, cells**2 + (not registers), width),
        "patch_embed.proj.weight": (width, 3, patch, patch),
        "patch_embed.proj.bias": (width,),
        "norm.weight": (width,),
        "norm.bias": (width,),
    }
    if registers:
        shapes["reg_token"] = (1, registers, width)
    inner = {
        "norm1.weight": (width,),
        "norm1.bias": (width,),
        "attn.qkv.weight": (3 * width, width),
        "attn.qkv.bias": (3 * width,),
        "attn.proj.weight": (width, width),
        "attn.proj.bias": (width,),
        "norm2.weight": (width,),
        "norm2.bias": (width,),
        "mlp.fc1.weight": (hidden * (1 + gated), width),
        "mlp.fc1.bias": (hidden * (1 + gated),),
        "mlp.fc2.weight": (width, hidden),
        "mlp.fc2.bias": (width,),
    }
    if scales:
        inner |= {"ls1.gamma": (width,), "ls2.gamma": (width,)}
    for block in range(depth):
        shapes |= {f"blocks.{block}.{name}": shape for name, shape in inner.items()}
    return shapes


def timm_convnext(width=6, sizes=(3, 3, 9, 3)):
    """A ConvNeXt of timm's without its head."""
    shapes = {
        "stem.0.weight": (width, 3, 4, 4),
        "stem.0.bias": (width,),
        "stem.1.weight": (width,),
        "stem.1.bias": (width,),
    }
    for stage, num_blocks in enumerate(sizes):
        here = width * 2**stage
        if stage:
            shapes |= {
                f"stages.{stage}.downsample.0.weight": (here // 2,),
                f"stages.{stage}.downsample.0.bias": (here // 2,),
                f"stages.{stage}.downsample.1.weight": (here, here // 2, 2, 2),
                f"stages.{stage}.downsample.1.bias": (here,),
            }
        for block in range(num_blocks):
            inner = {
                "gamma": (here,),
                "conv_dw.weight": (here, 1, 7, 7),
                "conv_dw.bias": (here,),
                "norm.weight": (here,),
                "norm.bias": (here,),
                "mlp.fc1.weight": (4 * here, here),
                "mlp.fc1.bias": (4 * here,),
                "mlp.fc2.weight": (here, 4 * here),
                "mlp.fc2.bias": (here,),
            }
            for name, shape in inner.items():
                shapes[f"stages.{stage}.blocks.{block}.{name}"] = shape
    return shapes


def fill(shapes, seed=0, *, counts=True):
    """Values for names and shapes; None is a count of batches."""
    generator = np.random.default_rng(seed)
    return {
        name: np.array(1000 + seed)
        if shape is None
        else generator.uniform(0.5, 1.5, shape).astype(np.float32)
        for name, shape in shapes.items()
        if counts or shape is not None
    }


def renamed(tensors, *pairs):
    """Tensors with each pattern of their names replaced, one after another."""
    found = {}
    for name, array in tensors.items():
        for old, new in pairs:
            name = name.replace(old, new)
        found[name] = array
    return found


def prefixed(prefix, tensors):
    return {f"{prefix}{name}": array for name, array in tensors.items()}


def save(path, tensors, metadata=None):
    """Writes a safetensors file; returns its path."""
    safetensors_files.save(path, tensors, metadata or {})
    return path


def _norm(name, width):
    leaves = ("weight", "bias", "running_mean", "running_var")
    shapes = {f"{name}.{leaf}": (width,) for leaf in leaves}
    return {**shapes, f"{name}.num_batches_tracked": None}
