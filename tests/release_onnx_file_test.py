"""ONNX files; run in the environment of requirements-export.txt, which has no orbax v1.

There: `pip install pytest pytest-xdist beartype`, `python -m pytest THIS_FILE`.
"""

import json

import numpy as np
import pytest
import weight_files

from lvmmed_jax import command_line
from lvmmed_jax.release import card, onnx_file
from lvmmed_jax.weights import conversion, exported, reading

pytest.importorskip("jax2onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.filterwarnings("default")  # the converter's own


def _ours(folder, variant):
    tensors = {
        # else 50 layers of positive numbers overflow
        name: array / np.float32(np.prod(array.shape[1:])) if array.ndim > 1 else array
        for name, array in weight_files.torchvision_resnet(variant).items()
    }
    source = weight_files.save(folder / "theirs.safetensors", tensors)
    wishes = conversion.Wishes(image_size=32)
    ours = folder / "ours.safetensors"
    exported.write(ours, conversion.from_file(reading.read(source), wishes).exported)
    return ours


def _export(*words):
    return command_line.main(["export", *map(str, words)])


@pytest.mark.parametrize("variant", ["resnet8", "resnet50"])
def test_the_file_gives_the_same_and_takes_any_batch(tmp_path, capsys, variant):
    ours = _ours(tmp_path, variant)
    out = tmp_path / "a.onnx"
    assert _export(ours, out, "--json") == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["max_relative_error"] < 1e-4
    assert result["shapes"]["images"] == ["B", 32, 32, 3]
    session = onnxruntime.InferenceSession(out)
    images = np.random.default_rng(0).random((5, 32, 32, 3), np.float32)
    maps, pooled = session.run(None, {"images": images})
    assert len(maps) == len(pooled) == 5
    np.testing.assert_allclose(maps.mean((1, 2)), pooled, rtol=1e-4)
    assert "onnxruntime.InferenceSession" in card.path_of(out).read_text()
    exported.check_digest(out)


def test_a_file_that_computes_else_is_not_kept(tmp_path, monkeypatch, capsys):
    ours = _ours(tmp_path, "resnet8")
    monkeypatch.setattr(onnx_file, "LIMIT", 0)
    assert _export(ours, tmp_path / "a.onnx") == 1
    assert "a.onnx is not kept: in onnxruntime its outputs" in capsys.readouterr().err
    assert not list(tmp_path.glob("a.onnx*"))
