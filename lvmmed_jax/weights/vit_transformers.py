"""Layouts of transformers' ViT and DINOv2, as its files and its memory have them.

Files keep the names that they had before version 5; what `torch.save` makes of a
`state_dict()` has those of the version that made it.
"""

from lvmmed_jax.weights import layouts, vit_layouts

_PATCHES = r"embeddings.patch_embeddings.projection."
_VIT_NORMS, _DINOV2_NORMS = "layernorm_before layernorm_after", "norm1 norm2"
# layers of attention: query, key, value, output
_FILES = (
    "attention.attention.query attention.attention.key attention.attention.value "
    "attention.output.dense"
)
_MEMORY = "attention.q_proj attention.k_proj attention.v_proj attention.o_proj"
_PLAIN = "mlp.fc1 mlp.fc2"


def _layout(block: str, norms: str, attention: str, mlp: str) -> layouts.Layout:
    """A layout by the names of a block's layers, parted by spaces.

    Args:
      block: template of what they begin with.
      norms: the first and the second.
      attention: query, key, value, output.
      mlp: the first layer (of SwiGLU perhaps two), and the last.
    """
    parts = [norms.split(), attention.split(), mlp.split()]
    rules = [
        ("cls_token", "embeddings.cls_token"),
        ("reg_token", "embeddings.register_tokens"),
        ("pos_embed", "embeddings.position_embeddings"),
        (r"patch_embed\.proj\.(\w+)", _PATCHES + r"\1"),
        *vit_layouts.block_rules(
            block,
            ("norm1", parts[0][0]),
            ("norm2", parts[0][1]),
            (r"attn\.qkv", " ".join(parts[1][:3])),
            (r"attn\.proj", parts[1][3]),
            (r"mlp\.fc1", " ".join(parts[2][:-1])),
            (r"mlp\.fc2", parts[2][-1]),
        ),
        (vit_layouts.BLOCK + r"ls(\d)\.gamma", rf"{block}layer_scale\2.lambda1"),
        (r"norm\.(\w+)", r"layernorm.\1"),
    ]
    first = block.replace(r"\1", "0")
    anchors = [tuple(f"{first}{name}.weight" for name in names) for names in parts]
    anchors.append((f"{_PATCHES}weight", f"{_PATCHES}bias"))
    return layouts.Layout("transformers", tuple(anchors), layouts.renaming(rules))


_ENCODER, _LAYERS = r"encoder.layer.\1.", r"layers.\1."
LAYOUTS = (
    _layout(_ENCODER, _VIT_NORMS, _FILES, "intermediate.dense output.dense"),
    _layout(_LAYERS, _VIT_NORMS, _MEMORY, _PLAIN),
    _layout(_ENCODER, _DINOV2_NORMS, _FILES, _PLAIN),
    _layout(_ENCODER, _DINOV2_NORMS, _FILES, "mlp.weights_in mlp.weights_out"),
    _layout(_ENCODER, _DINOV2_NORMS, _MEMORY, _PLAIN),
    _layout(
        _ENCODER, _DINOV2_NORMS, _MEMORY, "mlp.gate_proj mlp.up_proj mlp.down_proj"
    ),
)
