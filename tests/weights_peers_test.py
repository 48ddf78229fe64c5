"""Weights of the peers' own models: converted, they compute the same, and go back.

Needs torch and the peer; the models are the published sizes with random weights.
"""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import weight_files

from lvmmed_jax import command_line
from lvmmed_jax.models import encoder_table
from lvmmed_jax.weights import conversion, families, layouts, reading

torch = pytest.importorskip("torch")


def _timm(name, **settings):
    timm = pytest.importorskip("timm")
    return timm.create_model(name, num_classes=0, global_pool="", **settings)


def _torchvision(name, **settings):
    models = pytest.importorskip("torchvision").models
    return models.get_model(name, weights=None, **settings)


def _transformers(name, **settings):
    transformers = pytest.importorskip("transformers")
    config = getattr(transformers, f"{name}Config")(**settings)
    return getattr(transformers, f"{name}Model")(config)


def _sam(depth, width, heads, blocks):
    encoder = pytest.importorskip("segment_anything.modeling").ImageEncoderViT
    return encoder(
        img_size=64,
        depth=depth,
        embed_dim=width,
        num_heads=heads,
        global_attn_indexes=blocks,
        window_size=14,
        use_rel_pos=True,
        out_chans=width // 3,
        norm_layer=functools.partial(torch.nn.LayerNorm, eps=1e-6),
    )


_VIT = {"hidden_size": 384, "num_attention_heads": 6, "intermediate_size": 1536}
_DINO = {"hidden_size": 384, "num_attention_heads": 6, "patch_size": 14}
PEERS = {
    # what makes the model; encoder; image size; how to get its map as [B, D, R, S]
    "torchvision resnet18": (
        lambda: _torchvision("resnet18"),
        "resnet18",
        64,
        lambda m, x: torch.nn.Sequential(*list(m.children())[:-2])(x),
    ),
    "timm resnet50": (
        lambda: _timm("resnet50"),
        "resnet50",
        64,
        lambda m, x: m.forward_features(x),
    ),
    "transformers resnet50": (
        lambda: _transformers("ResNet"),
        "resnet50",
        64,
        lambda m, x: m(x).last_hidden_state,
    ),
    "timm vit_s16": (
        lambda: _timm("vit_small_patch16_224", img_size=64),
        "vit_s16",
        64,
        lambda m, x: _cells(m.forward_features(x), 1),
    ),
    "torchvision vit_b16": (
        lambda: _torchvision("vit_b_16", image_size=64),
        "vit_b16",
        64,
        lambda m, x: _cells(m.encoder(_with_class(m, m._process_input(x))), 1),
    ),
    "transformers vit_s16": (
        lambda: _transformers("ViT", image_size=64, **_VIT),
        "vit_s16",
        64,
        lambda m, x: _cells(m(x).last_hidden_state, 1),
    ),
    "timm dinov2_s14": (
        lambda: _timm("vit_small_patch14_dinov2", img_size=56),
        "dinov2_s14",
        56,
        lambda m, x: _cells(m.forward_features(x), 1),
    ),
    "timm dinov2_s14_reg": (
        lambda: _timm("vit_small_patch14_reg4_dinov2", img_size=56),
        "dinov2_s14_reg",
        56,
        lambda m, x: _cells(m.forward_features(x), 5),
    ),
    "transformers dinov2_s14": (
        lambda: _transformers("Dinov2", image_size=56, **_DINO),
        "dinov2_s14",
        56,
        lambda m, x: _cells(m(x).last_hidden_state, 1),
    ),
    "transformers dinov2_s14_reg": (
        lambda: _transformers("Dinov2WithRegisters", image_size=56, **_DINO),
        "dinov2_s14_reg",
        56,
        lambda m, x: _cells(m(x).last_hidden_state, 5),
    ),
    "timm convnext_t": (
        lambda: _timm("convnext_tiny"),
        "convnext_t",
        64,
        lambda m, x: m.forward_features(x),
    ),
    "torchvision convnext_t": (
        lambda: _torchvision("convnext_tiny"),
        "convnext_t",
        64,
        lambda m, x: m.features(x),
    ),
    "transformers convnext_t": (
        lambda: _transformers("ConvNext"),
        "convnext_t",
        64,
        lambda m, x: m(x).last_hidden_state,
    ),
    "segment_anything sam_b16": (
        lambda: _sam(12, 768, 12, (2, 5, 8, 11)),
        "sam_b16",
        64,
        None,
    ),
}


def _with_class(model, tokens):
    return torch.cat([model.class_token.expand(len(tokens), -1, -1), tokens], 1)


def _cells(tokens, num_first):
    """[B, L, D] -> [B, D, R, S] of the patches."""
    tokens = tokens[:, num_first:].mT
    side = round(tokens.shape[-1] ** 0.5)
    return tokens.unflatten(-1, (side, side))


@pytest.fixture(scope="module", params=list(PEERS))
def peer(request):
    """(name, model with random weights and statistics, size, its map)."""
    make, encoder, size, features = PEERS[request.param]
    torch.manual_seed(0)
    model = make().eval()
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(0.02 * torch.rand_like(tensor))
    return request.param, model, encoder, size, features


def _stored(model):
    tensors = {name: x.detach().numpy() for name, x in model.state_dict().items()}
    return reading.Stored(pathlib.Path("peer"), tensors, {}, "")


@pytest.mark.lengthy
def test_converted_weights_compute_the_same(peer):
    _, model, encoder, size, features = peer
    found = conversion.from_file(_stored(model), conversion.Wishes())
    assert found.exported.about["encoder"] == {"encoder": encoder, "width": 64}
    assert found.exported.about["input"]["size"] == (
        size if "vit" in encoder or "sam" in encoder or "dino" in encoder else 224
    )
    assert found.place.layout.name in ("timm", "torchvision", "transformers", "sam")
    if features is None:
        pytest.skip("its neck is apart")
    images = np.random.default_rng(0).normal(size=(2, size, size, 3)).astype(np.float32)
    with torch.no_grad():
        expected = features(model, torch.tensor(images).permute(0, 3, 1, 2))
    network = encoder_table.find(encoder).make(encoder, 64, jnp.float32, False)
    got = jax.jit(functools.partial(network.apply, train=False))(
        found.exported.variables, jnp.asarray(images)
    )
    expected = expected.permute(0, 2, 3, 1).numpy()
    scale = np.abs(expected).max()
    # a tensor in a wrong place differs by its size; rounding is for the parity tests
    np.testing.assert_allclose(got, expected, atol=1e-3 * scale, rtol=1e-3)


def test_weights_go_back_byte_by_byte_into_the_peer(peer):
    name, model, *_ = peer
    layout = name.split()[0].replace("segment_anything", "sam")
    found = conversion.from_file(_stored(model), conversion.Wishes())
    try:
        written = families.written_layout(found.exported.about["encoder"], layout)
    except ValueError:
        pytest.skip(f"{layout} is not written")
    back = conversion.to_layout(found.exported, written)
    back = {key.removeprefix(written.prefix): array for key, array in back.items()}
    theirs = model.state_dict()
    rest = theirs.keys() - back.keys()
    assert all(layouts.drop_rule(key, found.place) for key in rest), rest
    assert not back.keys() - theirs.keys()
    for key, array in back.items():
        assert array.tobytes() == theirs[key].numpy().tobytes(), key
    missing, unexpected = model.load_state_dict(
        {key: torch.tensor(array) for key, array in back.items()}, strict=False
    )
    assert set(missing) == rest and not unexpected


@pytest.mark.slow
def test_lvmmed_goes_into_segment_anything(tmp_path):
    """The way that users fail at (LVM-Med's issue 4), at full size."""
    build = pytest.importorskip("segment_anything").sam_model_registry["vit_b"]
    generator = np.random.default_rng(0)
    shapes = weight_files.sam_vit(768, 1024)
    tensors = {
        name: torch.tensor(generator.normal(size=shape).astype(np.float32))
        for name, shape in shapes.items()
    }
    torch.save(tensors, tmp_path / "lvmmed_vit.pth")
    torch.save(build().state_dict(), tmp_path / "sam_vit_b.pth")
    words = [tmp_path / "lvmmed_vit.pth", tmp_path / "both.pth"]
    words += ["--into", tmp_path / "sam_vit_b.pth"]
    assert command_line.main(["convert", *map(str, words)]) == 0
    model = build(checkpoint=str(tmp_path / "both.pth"))  # strict
    assert not model.image_encoder.pos_embed.any()
    for name, tensor in tensors.items():
        assert torch.equal(model.image_encoder.state_dict()[name], tensor)


def test_transformers_files_have_other_names_than_its_memory(tmp_path):
    for name, settings in (
        ("ViT", {"image_size": 64, **_VIT}),
        ("Dinov2", {"image_size": 56, **_DINO}),
        ("Dinov2WithRegisters", {"image_size": 56, **_DINO}),
    ):
        torch.manual_seed(0)
        model = _transformers(name, **settings)
        model.save_pretrained(tmp_path / name)
        filed = conversion.from_file(reading.read(tmp_path / name), conversion.Wishes())
        held = conversion.from_file(_stored(model), conversion.Wishes())
        assert filed.place.layout.name == held.place.layout.name == "transformers"
        jax.tree.map(
            np.testing.assert_array_equal,
            filed.exported.variables,
            held.exported.variables,
        )
