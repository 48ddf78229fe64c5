"""The `prepare` command: what it prints, and what it must never print."""

import json
import os
import re
import subprocess
import sys

import dicom_files
import numpy as np
import PIL.Image
import pytest

from data_pipelines import manifest, mixture
from lvmmed_jax import command_line, progress

RNG = np.random.default_rng(0)
SECRETS = ("Mustermann", "ID-4711", "19700101", "geheim", "GEHEIM")


@pytest.fixture(autouse=True)
def config(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def folder(tmp_path):
    """Files whose names and headers identify a patient; some of them broken."""
    root = tmp_path / "input"
    inner = root / "Mustermann_geheim"
    inner.mkdir(parents=True)
    for index in range(20):
        pixels = RNG.integers(0, 256, (40, 40), np.uint8)
        PIL.Image.fromarray(pixels).save(inner / f"Mustermann_{index}.png")
    identity = {
        "PatientName": "Mustermann^Erika",
        "PatientID": "ID-4711",
        "PatientBirthDate": "19700101",
        "StudyDescription": "geheim",
        "BodyPartExamined": "GEHEIM",
        "StudyInstanceUID": "1.2.19700101",
    }
    dicom = inner / "ID-4711.dcm"
    dicom_files.write(dicom, RNG.integers(0, 99, (40, 40), np.uint16), **identity)
    (inner / "ID-4711_cut.dcm").write_bytes(dicom.read_bytes()[:-2000])
    (inner / "geheim.png").write_bytes(b"\x89PNG Mustermann")
    (inner / "Mustermann.nii").write_bytes(b"Mustermann")
    return root


def run(*arguments):
    words = ["prepare", *map(str, arguments)]
    return command_line.main([*words, "--workers", "0"])


def test_no_identity_reaches_shards_manifest_or_terminal(folder, tmp_path, capfd):
    out = tmp_path / "out"
    assert run(folder, "--out", out) == 0
    assert run(folder, "--out", out, "--json") == 0
    assert run(folder, "--out", out, "--size", "64") == 1
    printed = "".join(capfd.readouterr())
    found = manifest.read(out)
    assert found["records"] == 21 and len(found["skipped"]) == 3
    stored = [path.read_bytes() for path in out.iterdir()]
    for data in [printed.encode(), *stored]:
        for secret in SECRETS:
            assert secret.encode() not in data
    # PNG data hides nothing: the same search finds the names in the input
    assert b"Mustermann" in (folder / "Mustermann_geheim" / "ID-4711.dcm").read_bytes()


def test_names_are_shown_only_on_demand(folder, tmp_path, capsys):
    assert run(folder, "--check") == 0
    assert "Mustermann" not in capsys.readouterr().out
    assert run(folder, "--check", "--show-names") == 0
    assert "Mustermann_0.png" in capsys.readouterr().out
    assert not (tmp_path / "config").exists()  # looking makes no salt


def test_counts_reasons_and_place_are_printed(folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(folder, "--out", out, "--modality", "US") == 0
    text = capsys.readouterr().out
    assert "21 records from 21 files" in text
    assert "20  US" in text and "1  MR" in text
    assert "files skipped: 3" in text and str(out) in text
    assert run(folder, "--out", out, "--modality", "US") == 0
    assert capsys.readouterr().out.startswith("already prepared")


def test_log_says_now_and_then_how_far_it_is(folder, tmp_path, capsys, monkeypatch):
    assert run(folder, "--out", tmp_path / "quick") == 0
    assert capsys.readouterr().err == ""  # done before the first line is due
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0.0)
    assert run(folder, "--out", tmp_path / "slow") == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 24
    assert re.fullmatch(r"prepare: 24/24  [\d.]+ files/s  0 s left", lines[-1]), lines[
        -1
    ]


def test_json_accounts_for_every_file(folder, tmp_path, capsys):
    assert run(folder, "--out", tmp_path / "out", "--dataset", "mine", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["counts"] == {"mine": {"MR": 1, "OT": 20}}
    assert answer["files"] == 24 and not answer["already_prepared"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["nowhere", "--out", "x"], "nowhere: no such file or folder"),
        (["packaged:brain", "--out", "x"], "no packaged set 'brain'"),
        (["packaged:mni", "--out", "x", "--modality", "Q"], "modality 'Q'"),
    ],
)
def test_mistakes_are_one_line(arguments, text, capsys):
    assert run(*arguments) == 1
    error = capsys.readouterr().err
    assert text in error and error.count("\n") == 1


def test_check_knows_what_it_would_add_to(folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(folder, "--out", out) == 0
    capsys.readouterr()
    assert run(folder, "--out", out, "--check", "--add", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["records"] == 0
    reasons = [entry["reason"] for entry in answer["skipped"]]
    assert sum(reason.startswith("same pixels as #00") for reason in reasons) == 21


def test_a_name_that_is_no_text_is_printed(folder, capfd):
    name = os.fsdecode(b"doe\xff.png")
    (folder / name).write_bytes(b"x")
    assert run(folder, "--check", "--show-names") == 0
    assert "doe\\udcff.png" in capfd.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["packaged"],
        ["packaged", "--out", "x", "--size", "8"],
        ["packaged", "--out", "x", "--planes", "oblique"],
        ["packaged", "--out", "x", "--dataset", "a/b"],
        ["packaged", "--out", "x", "--show-names"],
        ["packaged", "--check", "--add"],
        ["packaged", "--out", "nowhere", "--add"],
        ["packaged", "--out", "x", "--seconds-per-file", "0"],
        [".", "--out", "./x"],
    ],
)
def test_misuse_ends_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        run(*arguments)
    assert end.value.code == 2


def test_help_shows_examples_and_imports_nothing_heavy():
    code = (
        "import sys; from lvmmed_jax import command_line\n"
        "try: command_line.main(['prepare', '--help'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "assert not {'numpy', 'PIL', 'jax', 'rich'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "examples:" in done.stdout


def test_a_name_near_one_of_the_catalogue_is_told(folder, capsys):
    assert run(folder, "--check", "--dataset", "KiTS-19") == 0
    assert "KiTS19 is, and would read only" in capsys.readouterr().err


def _classes(root, names=("b2", "a10", "a9")):
    for name in names:
        (root / name / "deeper").mkdir(parents=True)
        for index in range(3):
            pixels = RNG.integers(0, 256, (40, 40), np.uint8)
            PIL.Image.fromarray(pixels).save(root / name / "deeper" / f"{index}.png")
    return root


def test_folders_are_classes_where_that_is_asked_for(tmp_path):
    root = _classes(tmp_path / "input")
    pixels = RNG.integers(0, 256, (40, 40), np.uint8)
    PIL.Image.fromarray(pixels).save(root / "alone.png")
    assert run(root, "--out", tmp_path / "out", "--classes") == 0
    found = manifest.read(tmp_path / "out")
    assert manifest.class_names(found) == ["a9", "a10", "b2"]
    batch = mixture.host_batch(tmp_path / "out", global_batch=10, seed=0, number=0)
    assert batch["label"].dtype == np.int32
    assert sorted(batch["label"].tolist()) == [-1, *[0] * 3, *[1] * 3, *[2] * 3]
    assert run(root, "--out", tmp_path / "plain") == 0
    found = manifest.read(tmp_path / "plain")
    assert manifest.class_names(found) == [] and "a10" not in json.dumps(found)
    batch = mixture.host_batch(tmp_path / "plain", global_batch=10, seed=0, number=0)
    assert set(batch["label"].tolist()) == {-1}


def test_parts_of_other_classes_do_not_go_together(tmp_path, capsys):
    out = tmp_path / "out"
    assert run(_classes(tmp_path / "one"), "--out", out, "--classes") == 0
    other = _classes(tmp_path / "two", ("x", "y"))
    words = (other, "--out", out, "--add", "--dataset", "two")
    assert run(*words, "--classes") == 1
    assert "other --classes" in capsys.readouterr().err
    assert run(*words) == 0  # images without labels do
    assert manifest.class_names(manifest.read(out)) == ["a9", "a10", "b2"]


def test_classes_of_a_file_are_refused(tmp_path, capsys):
    path = _classes(tmp_path / "input") / "a9" / "deeper" / "0.png"
    assert run(path, "--out", tmp_path / "out", "--classes") == 1
    assert "needs one folder of images a class" in capsys.readouterr().err
