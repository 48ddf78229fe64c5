"""The `convert` command: what it writes, what it says, how it refuses."""

import json

import jax
import numpy as np
import PIL.Image
import pytest
import tiny_runs
import weight_files

from lvmmed_jax import command_line, encoders
from lvmmed_jax.methods import graph_matching
from lvmmed_jax.train import saving, sharding, state
from lvmmed_jax.weights import exported, licences, safetensors_files

THIN = weight_files.torchvision_resnet("resnet18")


@pytest.fixture
def thin(tmp_path):
    return weight_files.save(tmp_path / "thin.safetensors", THIN)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A work folder whose encoder has not been trained: weights of the start."""
    folder = tmp_path_factory.mktemp("run")
    mesh = sharding.make_mesh(1)
    method = graph_matching.make_task(tiny_runs.CONFIG, mesh)
    tx, _ = tiny_runs.adam(3e-3)
    begin = state.create(method.init, tx, jax.random.key(0), mesh)
    with saving.Saver(folder) as saver:
        saver.save(3, begin, {"config": encoders.configs.as_json(tiny_runs.CONFIG)})
    return folder


def _convert(*words):
    return command_line.main(["convert", *map(str, words)])


def test_weights_go_in_and_come_out_byte_by_byte(thin, tmp_path, capsys):
    ours, back = tmp_path / "new" / "ours.safetensors", tmp_path / "back.safetensors"
    assert _convert(thin, ours) == 0
    output = capsys.readouterr()
    lines = output.out.splitlines()
    assert lines[0].startswith("encoder resnet18, width 4: ")
    assert "from thin.safetensors, layout torchvision" in lines
    assert "mapped: 100 tensors" in output.out and not output.err
    assert _convert(ours, back, "--layout", "torchvision") == 0
    found, metadata = safetensors_files.load(back)
    assert found.keys() == THIN.keys()
    assert all(found[name].tobytes() == THIN[name].tobytes() for name in THIN)
    assert metadata["format"] == "pt"
    again = tmp_path / "again.safetensors"
    assert _convert(back, again) == 0
    jax.tree.map(
        np.testing.assert_array_equal,
        exported.read(again).variables,
        exported.read(ours).variables,
    )


def test_json_has_every_tensor_and_both_digests(tmp_path, capsys):
    tensors = {**THIN, "fc.weight": np.zeros((2, 32), np.float32)}
    source = weight_files.save(tmp_path / "lvmmed_resnet.safetensors", tensors)
    ours = tmp_path / "ours.safetensors"
    assert _convert(source, ours, "--json", "--mean", 0, 0, 0, "--image-size", 64) == 0
    output = capsys.readouterr()
    found = json.loads(output.out)
    assert found["dropped"] == {"classifier": ["fc.weight"]}
    assert found["num_mapped"] + found["num_counts"] == len(THIN)
    assert found["source"]["sha256"] == encoders.exported.reading.sha256(source)
    assert found["sha256"] == encoders.exported.reading.sha256(ours)
    assert found["input"]["mean"] == [0, 0, 0] and found["input"]["size"] == 64
    notice = licences.SOURCES["lvmmed"].notice
    assert output.err == f"licence: {notice}\n"
    assert exported.read_about(ours)["licence"]["notice"] == notice
    # and it stays
    other = tmp_path / "other.safetensors"
    assert _convert(ours, other, "--layout", "timm") == 0
    assert _convert(other, tmp_path / "third.safetensors", "--source", "own") == 0
    assert exported.read_about(tmp_path / "third.safetensors")["licence"]


def test_runs_are_exported_with_their_settings(workdir, tmp_path, capsys):
    ours = tmp_path / "run.safetensors"
    assert _convert(workdir, ours, "--json") == 0
    source = json.loads(capsys.readouterr().out)["source"]
    assert source["file"] == "step 3" and source["layout"] == "orbax"
    assert encoders.run_config(str(ours)) == tiny_runs.CONFIG
    jax.tree.map(
        np.testing.assert_array_equal,
        encoders.load(str(ours)).variables,
        encoders.load(str(workdir)).variables,
    )
    assert _convert(workdir / "checkpoints" / "3", tmp_path / "same.safetensors") == 0
    assert (tmp_path / "same.safetensors").read_bytes() == ours.read_bytes()


def test_an_exported_encoder_is_evaluated_beside_a_random_one(tmp_path, capsys):
    generator = np.random.default_rng(0)
    for name, base in (("dark", 0), ("bright", 150)):
        (tmp_path / "classes" / name).mkdir(parents=True)
        for number in range(8):
            pixels = base + generator.integers(0, 60, (24, 30)).astype(np.uint8)
            path = tmp_path / "classes" / name / f"{number}.png"
            PIL.Image.fromarray(pixels).save(path)
    tensors = weight_files.torchvision_resnet("resnet8")
    source, ours = tmp_path / "a.safetensors", tmp_path / "ours.safetensors"
    weight_files.save(source, tensors)
    assert _convert(source, ours, "--image-size", 32) == 0
    words = ["--data", str(tmp_path / "classes"), "--task", "knn", "--json"]
    assert command_line.main(["evaluate", str(ours), *words]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["input_size"] == 32
    assert result["results"][0].keys() >= {"random", "pretrained", "difference"}


def test_an_encoder_of_other_channels_is_converted_but_not_fed_rgb(tmp_path, capsys):
    grey = weight_files.torchvision_resnet("resnet18", channels=1)
    source = weight_files.save(tmp_path / "grey.safetensors", grey)
    ours = tmp_path / "ours.safetensors"
    assert _convert(source, ours) == 0
    with pytest.raises(ValueError, match="takes images of 1 channels; here they are"):
        encoders.load(str(ours))


def test_an_exported_transformer_has_no_batch_statistics(tmp_path):
    tensors = weight_files.fill(weight_files.sam_vit())
    source = weight_files.save(tmp_path / "lvmmed_vit.safetensors", tensors)
    ours = tmp_path / "ours.safetensors"
    assert _convert(source, ours) == 0
    encoder = encoders.load(str(ours))
    assert encoder.image_size == 64 and encoder.stride == 16
    assert encoder.variables["batch_stats"] == {}
    assert encoders.calibrate(encoder, np.zeros((1, 64, 64, 3), np.uint8)) is encoder
    assert encoders.run_config(str(ours)).model.encoder == "lvmmed_b16"


def test_a_downloaded_folder_is_its_weight_file(thin, tmp_path):
    folder = tmp_path / "downloaded"
    folder.mkdir()
    assert _convert(folder, tmp_path / "a.safetensors") == 1
    thin.rename(folder / "model.safetensors")
    assert _convert(folder, tmp_path / "a.safetensors") == 0


def test_what_exists_is_kept_unless_said(thin, tmp_path, capsys):
    out = tmp_path / "a.safetensors"
    out.write_text("precious")
    assert _convert(thin, out) == 1
    assert "a.safetensors exists: --overwrite replaces it" in capsys.readouterr().err
    assert out.read_text() == "precious"
    assert _convert(tmp_path / "absent.pth", out, "--overwrite") == 1
    assert out.read_text() == "precious"
    assert _convert(thin, out, "--overwrite") == 0
    exported.read(out)


def test_a_file_is_not_its_own_source(thin, capsys):
    before = thin.read_bytes()
    assert _convert(thin, thin, "--overwrite") == 1
    assert "would replace what it is made of" in capsys.readouterr().err
    assert thin.read_bytes() == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a.txt"], "a.txt must end in .safetensors, or in .pth"),
        (["a.pth", "--layout", "flax"], "--layout flax needs a .safetensors file"),
        (["a.pth", "--layout", "timm", "--into", "s.pth"], "--into writes a SAM file"),
        (["a.safetensors", "--layout", "sam"], "--layout sam has no resnet18; there"),
        (["a.safetensors", "--encoder", "resnet9"], "unknown encoder 'resnet9'"),
        (["a.safetensors", "--mean", "1"], "--mean needs 3 numbers"),
        (["folder.safetensors"], "folder.safetensors is a folder"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(
    thin, tmp_path, monkeypatch, capsys, words, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.safetensors").mkdir()
    before = sorted(tmp_path.rglob("*"))
    assert _convert(thin, *words) == 1
    output = capsys.readouterr()
    (line,) = output.err.splitlines()
    assert line.startswith("lvmmed convert: error: ") and message in line
    assert not output.out and sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"", "is empty"),
        (b"<!doctype html>", "is a web page"),
        (b"\x08\0\0\0\0\0\0\0{}      ", "holds no tensor"),
        (b"\xff\xff\xff\xff\0\0\0\0{}", "cut or damaged"),
        (b"\x08\0\0\0\0\0\0\0[1,2,3] ", "cut or damaged"),
    ],
)
def test_files_that_are_no_weights_leave_nothing(tmp_path, capsys, content, message):
    path = tmp_path / "model.safetensors"
    if content is not None:
        path.write_bytes(content)
    before = sorted(tmp_path.rglob("*"))
    assert _convert(path, tmp_path / "out.safetensors") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line and str(path) in line
    assert sorted(tmp_path.rglob("*")) == before


def test_a_cut_safetensors_file_is_refused(thin, tmp_path, capsys):
    thin.write_bytes(thin.read_bytes()[:-100])
    assert _convert(thin, tmp_path / "out.safetensors") == 1
    assert "is cut or damaged" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--std", "0", "1", "1"], ["--image-size", "0"]])
def test_misuse_ends_with_2(thin, words):
    with pytest.raises(SystemExit) as end:
        _convert(thin, "out.safetensors", *words)
    assert end.value.code == 2
