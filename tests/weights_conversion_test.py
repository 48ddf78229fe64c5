"""Files of other projects become encoders, or are refused with the reason."""

import jax
import ml_dtypes
import numpy as np
import pytest
import weight_files

from lvmmed_jax.weights import conversion, families, mapping, reading

THIN = weight_files.torchvision_resnet("resnet18")
HEAD = weight_files.fill({"fc.weight": (10, 32), "fc.bias": (10,)})


def _convert(tensors, *, metadata=None, name="x.safetensors", **wishes):
    stored = reading.Stored(
        reading.pathlib.Path(name), tensors, metadata or {}, "0" * 64
    )
    return conversion.from_file(stored, conversion.Wishes(**wishes))


def _assert_same(found, expected):
    jax.tree.map(
        np.testing.assert_array_equal,
        found.exported.variables,
        expected.exported.variables,
    )


def _transformers(tensors):
    """transformers' `ResNetModel`."""
    pairs = [("downsample.0", "shortcut.convolution")]
    pairs += [("downsample.1", "shortcut.normalization")]
    for index in (1, 2, 3):
        pairs += [(f".conv{index}.", f".layer.{index - 1}.convolution.")]
        pairs += [(f".bn{index}.", f".layer.{index - 1}.normalization.")]
    pairs += [(f"layer{k}.", f"encoder.stages.{k - 1}.layers.") for k in (1, 2, 3, 4)]
    pairs += [("conv1.", "embedder.embedder.convolution.")]
    pairs += [("bn1.", "embedder.embedder.normalization.")]
    return weight_files.renamed(tensors, *pairs)


def _lightly(tensors):
    """`nn.Sequential(*list(resnet.children())[:-1])`."""
    children = [
        "conv1",
        "bn1",
        "relu",
        "maxpool",
        "layer1",
        "layer2",
        "layer3",
        "layer4",
    ]
    found = {}
    for name, array in tensors.items():
        first, _, rest = name.partition(".")
        found[f"{children.index(first)}.{rest}"] = array
    return found


@pytest.mark.parametrize("variant", ["resnet18", "resnet50"])
@pytest.mark.parametrize("form", [_transformers, _lightly])
def test_layouts_of_one_network_give_the_same(variant, form):
    tensors = weight_files.torchvision_resnet(variant)
    expected = _convert(tensors)
    assert expected.exported.about["encoder"] == {"encoder": variant, "width": 4}
    assert expected.exported.about["source"]["layout"] == "torchvision"
    found = _convert(form(tensors))
    assert found.exported.about["source"]["layout"] == form.__name__.removeprefix("_")
    _assert_same(found, expected)
    assert found.account.counts == expected.account.counts


def test_the_layout_of_lvmmed_loads_strictly():
    """weights.md: 318 tensors, 23,508,032 parameters."""
    tensors = weight_files.torchvision_resnet("resnet50", width=64)
    assert len(tensors) == 318
    found = _convert(tensors)
    params = jax.tree.leaves(found.exported.variables["params"])
    assert sum(array.size for array in params) == 23_508_032
    assert len(found.account.mapped) + len(found.account.counts) == 318
    assert not found.account.dropped and not found.account.types
    assert found.exported.about["encoder"] == {"encoder": "resnet50", "width": 64}


def test_axes_are_turned():
    variables = _convert(THIN).exported.variables
    block = variables["params"]["Block_2"]
    np.testing.assert_array_equal(
        block["Conv_0"]["kernel"], THIN["layer2.0.conv1.weight"].transpose(2, 3, 1, 0)
    )
    np.testing.assert_array_equal(
        block["projection_norm"]["scale"], THIN["layer2.0.downsample.1.weight"]
    )
    np.testing.assert_array_equal(
        variables["batch_stats"]["Block_2"]["BatchNorm_1"]["var"],
        THIN["layer2.0.bn2.running_var"],
    )


@pytest.mark.parametrize(
    ("prefix", "beside", "rule"),
    [
        ("", HEAD, None),
        ("module.", weight_files.prefixed("module.", HEAD), None),
        ("state_dict.backbone.", {"state_dict.projector.0.weight": None}, None),
        ("classy_state_dict.base_model.model.trunk._feature_blocks.", {}, None),
        (
            "model.module.backbone.",
            {"model.module.maps_projector.0.weight": None},
            None,
        ),
        (
            "state_dict.module.encoder_q.",
            {
                **weight_files.prefixed("state_dict.module.encoder_k.", THIN),
                "state_dict.module.queue": None,
                "optimizer.state.0.exp_avg": None,
            },
            "MoCo's query encoder, the one that is trained",
        ),
        (
            "teacher.backbone.",
            {
                **weight_files.prefixed("student.module.backbone.", THIN),
                "teacher.head.mlp.0.weight": None,
                "dino_loss.center": None,
            },
            "DINO's teacher, the one that its authors evaluate",
        ),
    ],
)
def test_the_encoder_is_found_in_its_wrapping(prefix, beside, rule):
    beside = {
        name: np.ones(3, np.float32) if array is None else array + 1
        for name, array in beside.items()
    }
    found = _convert({**beside, **weight_files.prefixed(prefix, THIN)})
    assert found.place.prefix == prefix and found.rule == rule
    _assert_same(found, _convert(THIN))
    dropped = [name for names in found.account.dropped.values() for name in names]
    assert sorted(dropped) == sorted(beside)


def test_two_encoders_without_a_rule_are_refused_and_chosen_by_prefix():
    tensors = {
        **weight_files.prefixed("state_dict.", THIN),
        **weight_files.prefixed(
            "state_dict_ema.", weight_files.torchvision_resnet("resnet18", seed=1)
        ),
    }
    with pytest.raises(ValueError, match=r"--prefix, of 'state_dict\.' .*_ema"):
        _convert(tensors)
    found = _convert(tensors, prefix="state_dict.")
    _assert_same(found, _convert(tensors, prefix="state_dict"))
    _assert_same(found, _convert(THIN))
    assert len(found.account.dropped[mapping.OUTSIDE_RULE]) == len(THIN)
    with pytest.raises(ValueError, match="no known layout under --prefix 'model'"):
        _convert(tensors, prefix="model")


def _without(name):
    return {key: array for key, array in THIN.items() if key != name}


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        (_without("layer3.1.conv2.weight"), r"1 missing: layer3\.1\.conv2\.weight"),
        (_without("conv1.weight"), r"1 missing: conv1\.weight"),
        (_without("layer1.0.conv1.weight"), r"1 missing: layer1\.0\.conv1\.weight"),
        (_without("bn1.num_batches_tracked"), r"1 missing: bn1\.num_batches_tracked"),
        (
            {**THIN, "layer1.0.bn1.bias": np.zeros(5, np.float32)},
            r"1 of wrong shape: layer1\.0\.bn1\.bias is \(5,\) and not \(4,\)",
        ),
        (
            {**THIN, "layer1.0.se.fc.weight": np.zeros(5, np.float32)},
            r"1 unexpected: layer1\.0\.se\.fc\.weight",
        ),
        (
            {**THIN, "decoder.0.weight": np.zeros(5, np.float32)},
            r"1 unexpected: decoder\.0\.weight",
        ),
        (weight_files.prefixed("encoder", THIN), "no known layout"),
        ({"a": np.zeros(3, np.float32)}, "no known layout: .* called a$"),
        (
            weight_files.renamed(THIN, ("layer4.", "layer5.")),
            r"30 missing: layer4\.0\.bn1\.bias, .* and 20 more; 30 unexpected",
        ),
        (
            {**THIN, "layer1.2.conv1.weight": np.zeros(5, np.float32)},
            r"no ResNet here has stages of \(3, 2, 2, 2\) basic blocks; known: resnet8",
        ),
        (
            {**THIN, "bn1.weight": np.array([1, 2, np.nan, 3], np.float32)},
            r"bn1\.weight holds values that are not finite",
        ),
        (
            {**THIN, "bn1.weight": np.arange(4)},
            r"bn1\.weight is int64; weights are float32",
        ),
        ({**THIN, "layer1.0.conv1.weight": np.array(3.0, np.float32)}, "wrong shape"),
        ({**THIN, "conv1.weight": np.ones(3, np.float32)}, "wrong shape"),
    ],
)
def test_what_is_not_explained_is_refused(tensors, message):
    with pytest.raises(ValueError, match=message) as told:
        _convert(tensors)
    assert str(told.value).startswith("x.safetensors") and "\n" not in str(told.value)


def test_long_lists_are_cut():
    tensors = {**THIN, **{f"odd.{k}": THIN["bn1.bias"] for k in range(30)}}
    with pytest.raises(ValueError, match=r"30 unexpected: .* and 20 more$"):
        _convert(tensors)


def test_the_user_overrules_the_recognition():
    tensors = {**THIN, "layer1.2.conv1.weight": THIN["bn1.bias"]}
    with pytest.raises(ValueError, match=r"1 unexpected: layer1\.2\.conv1"):
        _convert(tensors, encoder="resnet18")
    with pytest.raises(ValueError, match="unknown encoder 'resnet17'; known: resnet8"):
        _convert(THIN, encoder="resnet17")


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64])
def test_other_floats_become_float32(dtype):
    narrow = {
        name: array if name.endswith("tracked") else array.astype(dtype)
        for name, array in THIN.items()
    }
    found = _convert(narrow)
    assert found.account.types == {np.dtype(dtype).name: len(found.account.mapped)}
    kernel = found.exported.variables["params"]["Conv_0"]["kernel"]
    assert kernel.dtype == np.float32
    wanted = THIN["conv1.weight"].astype(dtype).astype(np.float32)
    np.testing.assert_array_equal(kernel, wanted.transpose(2, 3, 1, 0))


@pytest.mark.parametrize("variant", ["resnet18", "resnet50"])
@pytest.mark.parametrize("layout", ["torchvision", "timm", "lvmmed"])
def test_there_and_back_every_byte_is_the_same(variant, layout):
    tensors = weight_files.torchvision_resnet(variant)
    tensors["layer2.1.bn1.num_batches_tracked"] = np.array(2**40)
    one = _convert({**tensors, **HEAD}).exported
    written = families.written_layout(one.about["encoder"], layout)
    found = conversion.to_layout(one, written)
    assert found.keys() == tensors.keys()
    for name, array in tensors.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes(), name


def test_files_without_counts_are_read_and_get_zeros():
    tensors = weight_files.torchvision_resnet("resnet18", counts=False)
    one = _convert(tensors).exported
    assert one.about["num_batches_tracked"] is None
    found = conversion.to_layout(
        one, families.written_layout(one.about["encoder"], None)
    )
    assert found["layer1.0.bn1.num_batches_tracked"] == 0
    assert found.keys() - tensors.keys() == THIN.keys() - tensors.keys()
    assert _convert(THIN).exported.about["num_batches_tracked"] == 1000


def test_the_input_is_that_of_the_layout_unless_said():
    given = _convert(THIN).exported.about["input"]
    assert given == {
        "channels": "RGB",
        "range": [0, 1],
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "size": 224,
        "told_by": "default",
    }
    said = {"mean": (0.5,) * 3, "std": (0.25,) * 3, "image_size": 96}
    given = _convert(THIN, **said).exported.about["input"]
    assert given["mean"] == [0.5] * 3 and given["std"] == [0.25] * 3
    assert given["size"] == 96 and given["told_by"] == "user"
    with pytest.raises(ValueError, match="--mean needs 3 numbers"):
        _convert(THIN, mean=(0.5,))


def test_other_numbers_of_channels():
    grey = weight_files.torchvision_resnet("resnet18", channels=1)
    given = _convert(grey).exported.about["input"]
    assert given["channels"] == "grey" and given["mean"] == [pytest.approx(0.449)]
    five = weight_files.torchvision_resnet("resnet18", channels=5)
    with pytest.raises(ValueError, match="takes 5 channels: say --mean and --std"):
        _convert(five)
    given = _convert(five, mean=(0.5,) * 5, std=(0.2,) * 5).exported.about["input"]
    assert given["channels"] == "5 channels"


def test_the_notice_of_lvmmed_stays_with_its_weights():
    for name, source, noticed in (
        ("lvmmed_resnet.torch", None, True),
        ("LVM-Med_r50.pth", None, True),
        ("lvmmed_resnet.torch", "own", False),
        ("resnet50.pth", None, False),
        ("resnet50.pth", "lvmmed", True),
    ):
        licence = _convert(THIN, name=name, source=source).exported.about["licence"]
        assert (licence is not None) == noticed
        if noticed:
            assert "non-commercial" in licence["notice"]


def test_metadata_of_ours_are_kept_by_files_in_other_layouts():
    from lvmmed_jax.weights import exported

    one = _convert(THIN, source="lvmmed", mean=(0.1,) * 3, image_size=64).exported
    metadata = exported.as_metadata({**one.about, "layout": "timm"})
    about = _convert(THIN, metadata=metadata).exported.about
    assert about["licence"] == one.about["licence"]
    assert about["input"] == one.about["input"]
    assert about["source"]["origin"] == one.about["source"]


def test_what_the_user_says_of_an_encoder_of_ours():
    one = _convert(THIN).exported
    wishes = conversion.Wishes(source="lvmmed", std=(1.0,) * 3, image_size=64)
    found = conversion.with_wishes(one, wishes).about
    assert "non-commercial" in found["licence"]["notice"]
    assert found["input"] == {
        **one.about["input"],
        "std": [1.0] * 3,
        "size": 64,
        "told_by": "user",
    }
    marked = one._replace(about=found)
    same = conversion.with_wishes(marked, conversion.Wishes(source="own")).about
    assert same["licence"] == found["licence"]  # a notice does not go away
    for wishes in (conversion.Wishes(prefix="a"), conversion.Wishes(encoder="b")):
        with pytest.raises(ValueError, match="are for files of other projects"):
            conversion.with_wishes(one, wishes)
