"""The `export` command, and the model cards that it and `convert` write."""

import hashlib
import json
import re
import subprocess
import sys

import numpy as np
import pytest
import tiny_runs
import weight_files
import work_folders

from lvmmed_jax import command_line, encoders
from lvmmed_jax.release import card, training
from lvmmed_jax.weights import exported, licences

COUNTS = {"brains": {"MR": 430}, "chests|x": {"CT": 470}}


def _export(*words):
    return command_line.main(["export", *map(str, words)])


@pytest.fixture
def thin(tmp_path):
    tensors = weight_files.torchvision_resnet("resnet8")
    source = weight_files.save(tmp_path / "thin.safetensors", tensors)
    ours = tmp_path / "ours.safetensors"
    words = ["convert", str(source), str(ours), "--image-size", "32"]
    assert command_line.main(words) == 0
    return ours


@pytest.fixture
def workdir(tmp_path):
    """A work folder whose evaluation is of step 300, its end."""
    folder = work_folders.make_workdir(tmp_path / "runs" / "secret")
    about = json.loads((folder / "run.json").read_text())
    about["data"]["counts"] = COUNTS
    (folder / "run.json").write_text(json.dumps(about))
    evaluation = work_folders.make_evaluation() | {"step": 300}
    evaluation["results"][0]["data"] = "labelled"
    (folder / "evaluation.json").write_text(json.dumps(evaluation))
    leaks = [{"file": "#0001 abcdef  /home/doe/x.png", "kind": "near", "where": "s 1"}]
    found = {"files": 20, "unread": 2, "leaked": 1, "leaks": leaks, "two_folders": []}
    (folder / "leakage.json").write_text(json.dumps(found))
    return folder


def _about(trained, **changes):
    return {
        "encoder": {"encoder": "resnet8", "width": 4},
        "input": {
            "channels": "RGB",
            "mean": [0.5] * 3,
            "std": [0.25] * 3,
            "size": 32,
            "told_by": "run",
        },
        "source": {"file": "step 300", "sha256": "ab" * 32, "layout": "orbax"},
        "licence": None,
        "run": encoders.configs.as_json(tiny_runs.CONFIG),
        "training": trained,
        **changes,
    }


def _card(trained, **changes):
    return card.make(
        _about(trained, **changes), num_parameters=1234, digests={"a.onnx": "cd" * 32}
    )


def test_a_card_says_what_a_run_did(workdir):
    text = _card(training.of_workdir(workdir, 300))
    for line in (
        "| method | graph_matching |",
        "| steps | 300 |",
        "| brains | MR | 430 |",
        "| chests\\|x | CT | 470 |",
        "| together |  | 900 |",
        "| mean | 0.5 0.5 0.5 |",
        "| image size, pixels | 32 |",
        "| told by | as it was trained |",
        f"| step 300 | orbax | {'ab' * 32} |",
        f"| a.onnx | {'cd' * 32} |",
        "| jax | 0.10.2 |",
    ):
        assert f"{line}\n" in text
    assert "| labelled | knn plane, accuracy | 0.720 [0.670, 0.770] | 0.810 " in text
    assert "1 of 20 test files were among the training images (matches by " in text
    assert "kind: near 1); 2 could not be compared" in text
    assert re.search(r"\| images seen \| [\d,]+ \|\n", text)


def test_a_card_names_no_path_and_no_file_of_the_data(workdir, tmp_path):
    text = _card(training.of_workdir(workdir, 300))
    for secret in (str(tmp_path), "secret", "doe", "x.png", "abcdef", "runs/quick"):
        assert secret not in text
    assert "python run.py pretrain" not in text  # the command has paths


def test_scores_of_another_step_are_left_out(workdir):
    trained = training.of_workdir(workdir, 150)
    assert trained["evaluation"] == [] and trained["step"] == 150
    assert trained["images"] * 2 == training.of_workdir(workdir, 300)["images"]
    assert "None was recorded for these weights" in _card(trained)


def test_a_card_of_public_weights_says_what_is_unknown():
    notice = licences.SOURCES["lvmmed"]
    text = _card(None, run=None, licence=notice._asdict())
    assert notice.notice in text and notice.name in text
    assert "Not by lvmmed_jax" in text and "Not recorded." in text
    assert "Not checked: whether test images" in text


def test_a_leakage_file_is_what_leakage_prints(tmp_path):
    path = tmp_path / "leakage.json"
    for text in ("{}", "no JSON", '{"leaks": 3}'):
        path.write_text(text)
        with pytest.raises(ValueError, match="is not what `leakage TEST"):
            training.read_leakage(path)


def test_convert_writes_a_card_beside_its_file(thin):
    text = (thin.parent / "ours.safetensors.md").read_text()
    assert hashlib.sha256(thin.read_bytes()).hexdigest() in text
    assert exported.read_about(thin)["source"]["sha256"] in text
    assert str(thin.parent) not in text


def test_a_hub_folder_has_weights_config_and_card(thin, tmp_path, capsys):
    folder = tmp_path / "hub" / "first"
    assert _export(thin, folder, "--json") == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["layout"] == "timm"
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "README.md",
        "config.json",
        "lvmmed_jax.safetensors",
        "lvmmed_jax.safetensors.sha256",
        "model.safetensors",
        "model.safetensors.sha256",
    }
    text = (folder / "README.md").read_text()
    assert text.startswith("---\ntags:") and str(tmp_path) not in text
    for name, digest in result["sha256"].items():
        assert digest == hashlib.sha256((folder / name).read_bytes()).hexdigest()
        assert f"| {name} | {digest} |" in text
    config = json.loads((folder / "config.json").read_text())
    assert config["pretrained_cfg"]["input_size"] == [3, 32, 32]
    # both files are read again
    again = tmp_path / "again.safetensors"
    assert command_line.main(["convert", str(folder), str(again)]) == 0
    for file in (again, folder / "lvmmed_jax.safetensors"):
        images = np.ones((1, 32, 32, 3), np.uint8)
        one, other = (encoders.load(str(path)) for path in (file, thin))
        np.testing.assert_array_equal(
            encoders.pooled_features(one, images),
            encoders.pooled_features(other, images),
        )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["absent.safetensors", "out"], "no such file; `export` reads what `convert`"),
        ([".", "out"], "is a folder: `convert"),
        (["MODEL", "x.onnx", "--layout", "timm"], "--layout is of a folder"),
        (["MODEL", "x.safetensors"], "`convert` writes single files; name a folder"),
        (["MODEL", "."], "exists: --overwrite replaces it"),
        (["MODEL", "out", "--layout", "sam"], "--layout sam has no resnet8; there are"),
        (["MODEL", "out", "--leakage", "MODEL"], "is not what `leakage TEST"),
        (["thin.safetensors", "out"], "is no encoder of ours: `convert` it first"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(
    thin, tmp_path, monkeypatch, capsys, words, message
):
    monkeypatch.chdir(tmp_path)
    words = [thin.name if word == "MODEL" else word for word in words]
    assert _export(*words) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not (tmp_path / "out").exists()


def test_a_missing_package_is_named_with_what_to_do(thin, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "jax2onnx", None)
    assert _export(thin, thin.parent / "a.onnx") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "ONNX needs jax2onnx: `pip install -r requirements-export.txt` in an" in line


def test_export_imports_no_orbax(thin):
    code = (
        "import sys\nfrom lvmmed_jax import command_line\n"
        "from lvmmed_jax.release import onnx_file\n"
        f"code = command_line.main(['export', {str(thin)!r}, {str(thin) + '_hub'!r}])\n"
        "sys.exit(code or any(m.split('.')[0] == 'orbax' for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
