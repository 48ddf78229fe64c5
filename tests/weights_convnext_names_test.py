"""ConvNeXts of other projects."""

import pathlib

import jax
import numpy as np
import pytest
import weight_files

from lvmmed_jax.weights import conversion, families, reading

TENSORS = weight_files.fill(weight_files.timm_convnext())


def _convert(tensors, **wishes):
    stored = reading.Stored(pathlib.Path("x"), tensors, {}, "0" * 64)
    return conversion.from_file(stored, conversion.Wishes(**wishes))


def _torchvision(tensors):
    pairs = [("stem.", "features.0.")]
    for stage in range(4):
        pairs += [(f"stages.{stage}.downsample.", f"features.{2 * stage}.")]
        pairs += [(f"stages.{stage}.blocks.", f"features.{2 * stage + 1}.")]
    pairs += [("conv_dw", "block.0"), ("gamma", "layer_scale")]
    pairs += [(".norm.", ".block.2."), ("mlp.fc1", "block.3"), ("mlp.fc2", "block.5")]
    found = {
        name: array.reshape(-1, 1, 1) if "layer_scale" in name else array
        for name, array in weight_files.renamed(tensors, *pairs).items()
    }
    return {**found, **weight_files.fill({"classifier.0.weight": (48,)})}


def _authors(tensors):
    pairs = [("stem.", "downsample_layers.0."), (".blocks.", ".")]
    pairs += [
        (f"stages.{stage}.downsample.", f"downsample_layers.{stage}.")
        for stage in range(4)
    ]
    pairs += [("conv_dw", "dwconv"), ("mlp.fc1", "pwconv1"), ("mlp.fc2", "pwconv2")]
    found = weight_files.renamed(tensors, *pairs)
    return {**found, **weight_files.fill({"norm.weight": (48,), "head.bias": (2,)})}


def _transformers(tensors):
    pairs = [("stem.0", "embeddings.patch_embeddings"), (".norm.", ".layernorm.")]
    pairs += [("stem.1", "embeddings.layernorm"), (".blocks.", ".layers.")]
    pairs += [(".downsample.", ".downsampling_layer."), ("stages.", "encoder.stages.")]
    pairs += [("conv_dw", "dwconv"), ("mlp.fc1", "pwconv1"), ("mlp.fc2", "pwconv2")]
    pairs += [("gamma", "layer_scale_parameter")]
    found = weight_files.renamed(tensors, *pairs)
    return {**found, **weight_files.fill({"layernorm.weight": (48,)})}


@pytest.mark.parametrize("form", [_torchvision, _authors, _transformers])
def test_layouts_of_one_network_give_the_same(form):
    expected, found = _convert(TENSORS), _convert(form(TENSORS))
    assert found.exported.about["encoder"] == {"encoder": "convnext_t", "width": 4}
    assert list(found.account.dropped) == ["classifier"]
    assert not expected.account.dropped
    jax.tree.map(
        np.testing.assert_array_equal,
        found.exported.variables,
        expected.exported.variables,
    )


def test_there_and_back_every_byte_is_the_same():
    one = _convert(TENSORS).exported
    for layout, expected in (("timm", TENSORS), ("torchvision", _torchvision(TENSORS))):
        written = families.written_layout(one.about["encoder"], layout)
        found = conversion.to_layout(one, written)
        assert expected.keys() - found.keys() <= {"classifier.0.weight"}
        for name, array in found.items():
            assert array.shape == expected[name].shape
            assert array.tobytes() == expected[name].tobytes(), name


def test_the_deeper_variants_are_told_apart():
    for encoder, width in (("convnext_s", 96), ("convnext_b", 128)):
        shapes = weight_files.timm_convnext(width, (3, 3, 27, 3))
        tensors = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
        about = _convert(tensors).exported.about
        assert about["encoder"] == {"encoder": encoder, "width": 64}
    thin = weight_files.fill(weight_files.timm_convnext(6, (3, 3, 27, 3)))
    with pytest.raises(
        ValueError, match="may be convnext_s or convnext_b or convnext_l"
    ):
        _convert(thin)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        (
            {k: v for k, v in TENSORS.items() if k != "stages.2.blocks.5.gamma"},
            r"1 missing: stages\.2\.blocks\.5\.gamma",
        ),
        (
            {k: v for k, v in TENSORS.items() if ".blocks.8." not in k},
            r"no ConvNeXt here has stages of \(3, 3, 8, 3\) blocks and 6 channels",
        ),
        (
            {**TENSORS, "stages.0.blocks.0.grn.gamma": np.ones(6, np.float32)},
            r"1 unexpected: stages\.0\.blocks\.0\.grn\.gamma",
        ),
    ],
)
def test_what_does_not_fit_is_refused(tensors, message):
    with pytest.raises(ValueError, match=message):
        _convert(tensors)
