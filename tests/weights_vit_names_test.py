"""Vision transformers of other projects, in the layout of SAM and LVM-Med."""

import pathlib

import jax
import numpy as np
import pytest
import weight_files

from lvmmed_jax.weights import conversion, families, reading


def _convert(tensors, *, name="x.safetensors", **wishes):
    stored = reading.Stored(pathlib.Path(name), tensors, {}, "0" * 64)
    return conversion.from_file(stored, conversion.Wishes(**wishes))


def _assert_same(found, expected):
    jax.tree.map(
        np.testing.assert_array_equal,
        found.exported.variables,
        expected.exported.variables,
    )


def test_the_transformer_of_lvmmed_loads_strictly():
    """weights.md: 176 tensors, 86,525,184 parameters."""
    shapes = weight_files.sam_vit(768, 1024)
    tensors = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    assert len(tensors) == 176
    found = _convert(tensors, name="lvmmed_vit.pth")
    values = jax.tree.leaves(found.exported.variables)
    assert len(values) == 176 and sum(each.size for each in values) == 86_525_184
    assert not found.account.dropped
    about = found.exported.about
    assert about["encoder"] == {"encoder": "lvmmed_b16", "width": 64}
    assert about["input"]["size"] == 1024 and about["licence"]


def _assert_same_bytes(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes(), name


@pytest.mark.parametrize("absolute", [True, False])
def test_sam_goes_there_and_back(absolute):
    tensors = weight_files.fill(weight_files.sam_vit(absolute=absolute))
    whole = {
        **weight_files.prefixed("image_encoder.", tensors),
        **weight_files.fill({"prompt_encoder.x": (3,), "mask_decoder.y": (2,)}),
    }
    bare, found = _convert(tensors), _convert(whole)
    _assert_same(found, bare)
    encoder = "sam_b16" if absolute else "lvmmed_b16"
    assert found.exported.about["encoder"] == {"encoder": encoder, "width": 4}
    assert found.exported.about["input"]["size"] == 64
    assert list(found.account.dropped) == ["SAM's other parts"]
    settings = found.exported.about["encoder"]
    back = conversion.to_layout(
        found.exported, families.written_layout(settings, "sam")
    )
    wanted = {"pos_embed": np.zeros((1, 4, 4, 48), np.float32), **tensors}
    _assert_same_bytes(back, weight_files.prefixed("image_encoder.", wanted))
    if absolute:
        with pytest.raises(ValueError, match="--layout lvmmed has no sam_b16"):
            families.written_layout(settings, "lvmmed")
    else:
        written = families.written_layout(settings, "lvmmed")
        _assert_same_bytes(conversion.to_layout(found.exported, written), tensors)


def _dinov2(tensors):
    """Meta's names, with a row of positions for the class token."""
    token = tensors["cls_token"] * 0
    found = {**tensors}
    found["pos_embed"] = np.concatenate([token, tensors["pos_embed"]], 1)
    pairs = [("reg_token", "register_tokens")]
    if (
        tensors["blocks.0.mlp.fc1.bias"].size
        > tensors["blocks.0.mlp.fc2.weight"].shape[1]
    ):
        pairs += [("mlp.fc1", "mlp.w12"), ("mlp.fc2", "mlp.w3")]
    return {**weight_files.renamed(found, *pairs), "mask_token": token[0]}


def _torchvision(tensors):
    pairs = [("cls_token", "class_token"), ("pos_embed", "encoder.pos_embedding")]
    pairs += [
        ("patch_embed.proj", "conv_proj"),
        ("attn.proj", "self_attention.out_proj"),
    ]
    pairs += [("attn.qkv.", "self_attention.in_proj_"), ("blocks.", "\n")]
    pairs += [("norm.", "encoder.ln."), ("\n", "encoder.layers.encoder_layer_")]
    pairs += [("norm1", "ln_1"), ("norm2", "ln_2")]
    pairs += [("mlp.fc1", "mlp.0"), ("mlp.fc2", "mlp.3")]
    head = weight_files.fill({"heads.head.weight": (2, 48)})
    return {**weight_files.renamed(tensors, *pairs), **head}


def _published(tensors):
    """As torchvision's own files have it."""
    pairs = [("mlp.0.", "mlp.linear_1."), ("mlp.3.", "mlp.linear_2.")]
    return weight_files.renamed(_torchvision(tensors), *pairs)


def _split(tensors, layer, parts):
    """Tensors of one layer cut into those of several."""
    found = {}
    for name, array in tensors.items():
        if layer in name:
            for part, piece in zip(parts, np.split(array, len(parts)), strict=True):
                found[name.replace(layer, part)] = piece
        else:
            found[name] = array
    return found


_EMBEDDINGS = [
    ("cls_token", "embeddings.cls_token"),
    ("pos_embed", "embeddings.position_embeddings"),
    ("patch_embed.proj", "embeddings.patch_embeddings.projection"),
]


def _transformers_vit(tensors):
    attention = [f"attention.attention.{x}" for x in ("query", "key", "value")]
    found = _split(tensors, "attn.qkv", attention)
    pairs = [("attn.proj", "attention.output.dense"), ("blocks.", "encoder.layer.")]
    pairs += [("norm1", "before"), ("norm2", "after"), ("norm.", "layernorm.")]
    pairs += [(".before", ".layernorm_before"), (".after", ".layernorm_after")]
    pairs += [("mlp.fc1", "intermediate.dense"), ("mlp.fc2", "output.dense")]
    found = weight_files.renamed(found, *_EMBEDDINGS, *pairs)
    pooler = weight_files.fill({"pooler.dense.weight": (48, 48)})
    return weight_files.prefixed("vit.", {**found, **pooler})


def _transformers_dinov2(tensors):
    attention = [f"attention.{x}_proj" for x in "qkv"]
    found = _split(tensors, "attn.qkv", attention)
    pairs = [("attn.proj", "attention.o_proj"), ("blocks.", "encoder.layer.")]
    pairs += [("ls1.gamma", "layer_scale1.lambda1")]
    pairs += [("ls2.gamma", "layer_scale2.lambda1"), ("norm.", "layernorm.")]
    found = weight_files.renamed(found, *_EMBEDDINGS, *pairs)
    return {**found, "embeddings.mask_token": tensors["cls_token"][0]}


@pytest.mark.parametrize(
    ("settings", "form", "encoder", "size"),
    [
        ({}, _torchvision, "vit_b16", 32),
        ({}, _published, "vit_b16", 32),
        ({}, _transformers_vit, "vit_b16", 32),
        ({"patch": 14, "scales": True}, _transformers_dinov2, "dinov2_b14", 28),
        (
            {"patch": 14, "scales": True, "registers": 4, "cells": 3},
            _dinov2,
            "dinov2_b14_reg",
            42,
        ),
    ],
)
def test_layouts_of_one_transformer_give_the_same(settings, form, encoder, size):
    tensors = weight_files.fill(weight_files.timm_vit(**settings))
    expected, found = (
        _convert(each, encoder=encoder) for each in (tensors, form(tensors))
    )
    assert found.exported.about["input"]["size"] == size
    assert found.exported.about["encoder"] == {"encoder": encoder, "width": 4}
    _assert_same(found, expected)
    written = families.written_layout(found.exported.about["encoder"], "timm")
    _assert_same_bytes(conversion.to_layout(found.exported, written), tensors)


@pytest.mark.slow
def test_the_gated_giant_is_read_in_both_layouts():
    shapes = weight_files.timm_vit(
        24 * 64, 14, registers=4, scales=True, gated=True, depth=40
    )
    hidden = 4096  # not four times the width
    for name, shape in shapes.items():
        if "mlp.fc1" in name:
            shapes[name] = (2 * hidden, *shape[1:])
        if "mlp.fc2.weight" in name:
            shapes[name] = (shape[0], hidden)
    tensors = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    for each in (tensors, _dinov2(tensors)):
        found = _convert(each)
        settings = {"encoder": "dinov2_g14_reg", "width": 64}
        assert found.exported.about["encoder"] == settings
        del found


@pytest.mark.parametrize(
    ("width", "settings", "encoder"),
    [
        (384, {}, "vit_s16"),
        (768, {}, "vit_b16"),
        (384, {"patch": 14, "scales": True}, "dinov2_s14"),
        (768, {"patch": 14, "scales": True, "registers": 4}, "dinov2_b14_reg"),
    ],
)
def test_published_sizes_are_recognised(width, settings, encoder):
    shapes = weight_files.timm_vit(width, **settings)
    tensors = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    about = _convert(tensors).exported.about
    assert about["encoder"] == {"encoder": encoder, "width": 64}


def test_a_position_of_the_class_token_is_added_where_timm_keeps_none():
    settings = {"patch": 14, "scales": True, "registers": 4, "cells": 3}
    tensors = weight_files.fill(weight_files.timm_vit(**settings))
    theirs = _dinov2(tensors)
    theirs["pos_embed"][:, 0] = 2
    one = _convert(theirs, encoder="dinov2_b14_reg").exported
    written = families.written_layout(one.about["encoder"], "timm")
    found = conversion.to_layout(one, written)
    np.testing.assert_array_equal(found["cls_token"], tensors["cls_token"] + 2)
    np.testing.assert_array_equal(found["pos_embed"], tensors["pos_embed"])


def _without(name):
    shapes = weight_files.timm_vit()
    del shapes[name]
    return weight_files.fill(shapes)


@pytest.mark.parametrize(
    ("tensors", "wishes", "message"),
    [
        (_without("cls_token"), {"encoder": "vit_b16"}, "1 missing: cls_token"),
        (_without("pos_embed"), {"encoder": "vit_b16"}, "1 missing: pos_embed"),
        (
            _without("blocks.3.norm1.bias"),
            {"encoder": "vit_b16"},
            r"1 missing: blocks\.3",
        ),
        (
            weight_files.fill(
                weight_files.timm_vit(cells=3) | {"pos_embed": (1, 7, 48)}
            ),
            {"encoder": "vit_b16"},
            r"pos_embed is \(1, 7, 48\) and not \(1, 5, 48\)",
        ),
        (
            weight_files.fill(weight_files.timm_vit()),
            {},
            "it may be vit_s16 or vit_b16: say which by --encoder",
        ),
        (
            weight_files.fill(weight_files.timm_vit(depth=3)),
            {},
            "no vision transformer here has 3 blocks of 48 channels",
        ),
        (
            weight_files.fill(
                weight_files.timm_vit() | {"blocks.0.attn.q_norm.weight": (4,)}
            ),
            {"encoder": "vit_b16"},
            r"1 unexpected: blocks\.0\.attn\.q_norm\.weight",
        ),
        (
            weight_files.prefixed(
                "layers.0.",
                weight_files.fill(
                    {"blocks.0.mlp.fc1.weight": (4,), "blocks.0.mlp.fc2.weight": (4,)}
                ),
            ),
            {},
            "no known layout",
        ),
    ],
)
def test_what_does_not_fit_is_refused(tensors, wishes, message):
    with pytest.raises(ValueError, match=message):
        _convert(tensors, **wishes)


def test_rows_of_queries_keys_and_values_are_joined():
    variables = _convert(weight_files.fill(weight_files.sam_vit())).exported.variables
    assert variables["params"]["Block_1"]["attention"]["qkv"]["kernel"].shape == (
        48,
        144,
    )
    assert variables["neck"]["conv1"]["kernel"].shape == (1, 1, 48, 16)
