"""Image encoders go into SAM's files."""

import json

import pytest
import weight_files

from lvmmed_jax import command_line
from lvmmed_jax.weights import exported, safetensors_files


def _convert(*words):
    return command_line.main(["convert", *map(str, words)])


@pytest.fixture
def lvmmed_vit(tmp_path):
    tensors = weight_files.fill(weight_files.sam_vit())
    return weight_files.save(tmp_path / "lvmmed_vit.safetensors", tensors)


def _sam(**settings):
    image_encoder = weight_files.fill(weight_files.sam_vit(**settings), seed=1)
    rest = {"prompt_encoder.a": (3,), "mask_decoder.b": (2, 2)}
    return {
        **weight_files.prefixed("image_encoder.", image_encoder),
        **weight_files.fill(rest, seed=2),
    }


def test_an_image_encoder_goes_into_a_sam_file(lvmmed_vit, tmp_path, capsys):
    theirs = _sam(absolute=True)
    sam = weight_files.save(tmp_path / "sam.safetensors", theirs)
    out = tmp_path / "both.safetensors"
    assert _convert(lvmmed_vit, out, "--into", sam, "--json") == 0
    output = capsys.readouterr()
    assert json.loads(output.out)["layout"] == "sam" and "licence: " in output.err
    found, metadata = safetensors_files.load(out)
    ours, _ = safetensors_files.load(lvmmed_vit)
    assert found.keys() == theirs.keys()
    for name, array in found.items():
        bare = name.removeprefix("image_encoder.")
        if name == "image_encoder.pos_embed":
            assert not array.any() and array.shape == theirs[name].shape
        else:
            wanted = ours[bare] if bare != name else theirs[name]
            assert array.tobytes() == wanted.tobytes(), name
    assert exported.metadata_of(metadata)["licence"]
    # and out of it again
    assert _convert(out, tmp_path / "again.safetensors") == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"absolute": False},
            "1 tensors are on one side only: image_encoder.pos_embed",
        ),
        ({"absolute": True, "width": 96}, "is (96,) there and (48,) here"),
        ({"absolute": True, "depth": 13}, "14 tensors are on one side only"),
    ],
)
def test_a_sam_file_of_another_size_is_refused(
    lvmmed_vit, tmp_path, capsys, settings, message
):
    sam = weight_files.save(tmp_path / "sam.safetensors", _sam(**settings))
    before = sorted(tmp_path.iterdir())
    assert _convert(lvmmed_vit, tmp_path / "both.safetensors", "--into", sam) == 1
    assert message in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before


def test_a_resnet_does_not_go_into_sam(tmp_path, capsys):
    tensors = weight_files.torchvision_resnet("resnet18")
    thin = weight_files.save(tmp_path / "thin.safetensors", tensors)
    sam = weight_files.save(tmp_path / "sam.safetensors", _sam())
    assert _convert(thin, tmp_path / "both.safetensors", "--into", sam) == 1
    assert "--layout sam has no resnet18" in capsys.readouterr().err
