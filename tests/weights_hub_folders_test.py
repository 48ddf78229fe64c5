"""What lies beside downloaded weights says how images are to be given."""

import json

import pytest

from lvmmed_jax.weights import hub_folders

HALF = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
CFG = {"mean": [0.1, 0.2, 0.3], "std": [1, 1, 1], "input_size": [3, 384, 384]}


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        (
            "preprocessor_config.json",
            {**HALF, "size": {"height": 224, "width": 224}},
            {"mean": [0.5] * 3, "std": [0.5] * 3, "size": 224},
        ),
        (
            "preprocessor_config.json",
            {
                **HALF,
                "do_center_crop": True,
                "crop_size": {"height": 224, "width": 224},
                "size": {"shortest_edge": 256},
            },
            {"mean": [0.5] * 3, "std": [0.5] * 3, "size": 224},
        ),
        (
            "preprocessor_config.json",
            {**HALF, "size": 224},
            {"mean": [0.5] * 3, "std": [0.5] * 3, "size": 224},
        ),
        (
            "preprocessor_config.json",
            {**HALF, "do_normalize": False},
            {"mean": [0] * 3, "std": [1] * 3},
        ),
        (
            "config.json",
            {"pretrained_cfg": CFG},
            {"mean": CFG["mean"], "std": [1, 1, 1], "size": 384},
        ),
        ("config.json", {"architectures": ["ViTModel"]}, {}),
        ("config.json", [1], {}),
        ("preprocessor_config.json", {"image_mean": "half", "image_std": [1]}, {}),
        ("preprocessor_config.json", {**HALF, "image_std": [0, 1, 1]}, {}),
        ("other.json", HALF, {}),
    ],
)
def test_what_is_told_is_taken(tmp_path, name, content, expected):
    (tmp_path / name).write_text(json.dumps(content))
    told = {"told_by": name} if expected else {}
    for weights in hub_folders.FILES:
        found = hub_folders.told_input(tmp_path / weights)
        assert found == {**expected, **told}
    assert hub_folders.told_input(tmp_path / "resnet50.pth") == {}


def test_text_that_is_no_json_tells_nothing(tmp_path):
    (tmp_path / "config.json").write_text("{")
    assert hub_folders.told_input(tmp_path / "model.safetensors") == {}


def test_the_weights_of_a_folder_are_found(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no model\.safetensors or"):
        hub_folders.weight_file(tmp_path)
    for name in reversed(hub_folders.FILES):
        (tmp_path / name).touch()
        assert hub_folders.weight_file(tmp_path).name == name
