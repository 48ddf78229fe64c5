"""Torch files: read without running what is in them; most tests need torch."""

import argparse
import pickle
import sys
import zipfile

import numpy as np
import pytest
import weight_files

from lvmmed_jax import command_line
from lvmmed_jax.weights import exported, pickles, reading

THIN = weight_files.torchvision_resnet("resnet18")


def test_without_torch_one_line_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    path = tmp_path / "a.pth"
    path.write_bytes(pickle.dumps({}, protocol=2))
    source = weight_files.save(tmp_path / "b.safetensors", THIN)
    for words in ((path, tmp_path / "c.safetensors"), (source, tmp_path / "c.pth")):
        assert command_line.main(["convert", *map(str, words)]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert "torch is not installed: pip install -r requirements-torch.txt" in line
    assert len(list(tmp_path.iterdir())) == 2


class _Runs:
    """Pickled as a call that makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_calls_are_named_without_running_them(tmp_path, protocol):
    path = tmp_path / "a.pth"
    path.write_bytes(pickle.dumps({"a": _Runs(tmp_path / "ran")}, protocol=protocol))
    (name,) = pickles.unusual_names(path)
    assert name.endswith(".open")
    assert not (tmp_path / "ran").exists()
    path.write_bytes(path.read_bytes()[:20])
    assert pickles.unusual_names(path) == []


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def _tensors(torch, tensors):
    return {name: torch.tensor(array) for name, array in tensors.items()}


def _convert(path, *words):
    out = path.parent / "out.safetensors"
    code = command_line.main(["convert", str(path), str(out), *words])
    return exported.read(out) if code == 0 else None


@pytest.mark.parametrize("archive", [True, False])
def test_state_dicts_come_back_byte_by_byte(torch, tmp_path, archive):
    path, back = tmp_path / "a.pth", tmp_path / "back.pth"
    held = {
        "state_dict": _tensors(torch, weight_files.prefixed("module.", THIN)),
        "args": argparse.Namespace(lr=1.0, betas=(0.9, 0.99)),
        "best": np.float64(0.5),
        "optimizer": {"state": {0: {"step": torch.tensor(3)}}, "param_groups": [{}]},
        "epoch": 3,
    }
    torch.save(held, path, _use_new_zipfile_serialization=archive)
    assert _convert(path).about["source"]["prefix"] == "state_dict.module."
    words = ["convert", str(tmp_path / "out.safetensors"), str(back)]
    assert command_line.main(words) == 0
    found = torch.load(back, weights_only=True)
    assert found.keys() == THIN.keys()
    for name, array in THIN.items():
        assert found[name].numpy().dtype == array.dtype
        assert found[name].numpy().tobytes() == array.tobytes(), name


def test_metadata_of_a_torch_file_stand_beside_it(torch, tmp_path):
    path = tmp_path / "lvmmed_resnet.torch"
    torch.save(_tensors(torch, THIN), path)
    one = _convert(path, "--mean", "0.5", "0.5", "0.5", "--image-size", "96")
    back = tmp_path / "back.pt"
    ours = str(tmp_path / "out.safetensors")
    assert command_line.main(["convert", ours, str(back)]) == 0
    again = _convert(back, "--overwrite")
    for name in ("licence", "input", "encoder", "num_batches_tracked"):
        assert again.about[name] == one.about[name]
    torch.save(_tensors(torch, THIN), back)  # another file: they are not about it
    assert _convert(back, "--overwrite").about["input"]["size"] == 224


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float64"])
def test_other_floats_become_float32(torch, tmp_path, name):
    tensors = {
        key: tensor if key.endswith("tracked") else tensor.to(getattr(torch, name))
        for key, tensor in _tensors(torch, THIN).items()
    }
    torch.save(tensors, tmp_path / "a.pth")
    found = _convert(tmp_path / "a.pth")
    assert found.about["source"]["types"] == {name: 100}
    np.testing.assert_array_equal(
        found.variables["params"]["Conv_0"]["kernel"],
        tensors["conv1.weight"].float().numpy().transpose(2, 3, 1, 0),
    )


def test_views_and_shared_tensors_are_read(torch, tmp_path):
    tensors = _tensors(torch, THIN)
    kernel = tensors["layer1.0.conv1.weight"]
    tensors["layer1.0.conv1.weight"] = kernel.to(memory_format=torch.channels_last)
    tensors["layer1.0.conv2.weight"] = tensors["layer1.0.conv1.weight"]
    tensors["conv1.weight"] = torch.nn.Parameter(tensors["conv1.weight"])
    torch.save({"model": tensors, "state_dict": tensors}, tmp_path / "a.pth")
    block = _convert(tmp_path / "a.pth").variables["params"]["Block_0"]
    for layer in ("Conv_0", "Conv_1"):
        np.testing.assert_array_equal(
            block[layer]["kernel"], kernel.numpy().transpose(2, 3, 1, 0)
        )


@pytest.mark.parametrize("archive", [True, False])
def test_code_is_refused_by_name_and_not_run(torch, tmp_path, capsys, archive):
    ran, path = tmp_path / "ran", tmp_path / "a.pth"
    held = {**_tensors(torch, THIN), "x": _Runs(ran)}
    torch.save(held, path, _use_new_zipfile_serialization=archive)
    before = sorted(tmp_path.iterdir())
    assert _convert(path) is None
    (line,) = capsys.readouterr().err.splitlines()
    assert "is refused: to read it, code would have to run (" in line
    assert ".open)" in line and "nothing was run" in line
    assert sorted(tmp_path.iterdir()) == before


def test_a_whole_module_is_refused_by_name(torch, tmp_path, capsys):
    class Net(torch.nn.Linear):
        __module__ = "__main__"
        __qualname__ = "Net"

    sys.modules["__main__"].Net = Net
    torch.save(Net(2, 2), tmp_path / "a.pth")
    del sys.modules["__main__"].Net
    assert _convert(tmp_path / "a.pth") is None
    assert "__main__.Net" in capsys.readouterr().err


@pytest.mark.parametrize("archive", [True, False])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_cut_file_is_refused(torch, tmp_path, capsys, archive, share):
    path = tmp_path / "a.pth"
    torch.save(_tensors(torch, THIN), path, _use_new_zipfile_serialization=archive)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    before = sorted(tmp_path.iterdir())
    assert _convert(path) is None
    (line,) = capsys.readouterr().err.splitlines()
    assert "cut or damaged" in line or "damaged one" in line
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("form", ["safetensors", "archive", "pickle"])
def test_damage_of_any_kind_is_told_as_a_mistake(request, tmp_path, form):
    """Never another exception: those end in a traceback."""
    path, held = tmp_path / "a.bin", {"a.weight": np.ones((3, 2), np.float32)}
    if form == "safetensors":
        weight_files.save(path, held)
    else:
        torch = request.getfixturevalue("torch")
        archive = form == "archive"
        torch.save(_tensors(torch, held), path, _use_new_zipfile_serialization=archive)
    whole, generator = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    for _ in range(200):
        damaged = bytearray(whole)
        for place in generator.integers(0, min(len(whole), 300), 3):
            damaged[place] = generator.integers(256)
        path.write_bytes(damaged[: generator.integers(len(whole) // 2, len(whole) * 2)])
        try:
            reading.read(path)
        except ValueError as told:
            refused += 1
            assert str(path) in str(told)
    assert refused > 100


def test_a_flipped_byte_is_noticed(torch, tmp_path, capsys):
    path = tmp_path / "a.pth"
    torch.save(_tensors(torch, THIN), path)
    data = bytearray(path.read_bytes())
    data[data.find(THIN["layer4.0.conv1.weight"].tobytes()) + 7] ^= 1
    path.write_bytes(data)
    assert _convert(path) is None
    assert "is damaged in " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda torch: [1, {"epoch": 3}], "holds no tensor"),
        (lambda torch: torch.zeros(3), "no known layout"),
        (
            lambda torch: {"a": [torch.ones(1)], "a.0": torch.ones(1)},
            "two tensors",
        ),
        (lambda torch: {"a": torch.eye(2).to_sparse()}, "a is a torch.float32 tensor"),
        (lambda torch: _nested(torch, 100), "nested more than 64 deep"),
    ],
)
def test_odd_contents_are_one_line(torch, tmp_path, capsys, make, message):
    torch.save(make(torch), tmp_path / "a.pth")
    assert _convert(tmp_path / "a.pth") is None
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line and line.startswith("lvmmed convert: error: ")


def test_a_container_within_itself_ends(torch, tmp_path):
    held = dict(_tensors(torch, THIN))
    held["self"] = held
    torch.save(held, tmp_path / "a.pth")
    assert _convert(tmp_path / "a.pth") is not None


def _nested(torch, depth):
    held = {"x": torch.ones(1)}
    for _ in range(depth):
        held = {"x": held}
    return held


def test_a_program_is_told(torch, tmp_path, capsys):
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        for name in ("a/data.pkl", "a/code/__torch__.py"):
            archive.writestr(name, b"")
    assert _convert(tmp_path / "a.pt") is None
    assert "is a TorchScript program" in capsys.readouterr().err
