"""Wrong input: one clear line, exit 1, nothing written."""

import json

import pytest
import tiny_runs

from lvmmed_jax import command_line


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return tiny_runs.make_shards(tmp_path_factory.mktemp("data"))


def _fails(capsys, words, message, code=1):
    capsys.readouterr()
    assert command_line.main(["pretrain", *words]) == code
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and message in lines[0], lines


def test_data_without_a_manifest(tmp_path, capsys):
    words = ["quickstart", "--data", str(tmp_path), "--workdir", str(tmp_path / "w")]
    _fails(capsys, words, "manifest")
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("--train.stps=3", "did you mean 'train.steps'?"),
        ("--data.global_batch=65", "64 or 128"),  # 16 images a graph, 8 devices
        ("--train.steps=0", "train.steps=0 must be at least 1"),
        ("--model.encoder=resnet51", "resnet50"),
    ],
)
def test_config_that_does_not_fit(shards, tmp_path, capsys, override, message):
    words = ["quickstart", "--data", str(shards), "--workdir", str(tmp_path / "w")]
    fits = ["--data.global_batch=128", "--train.num_evaluation_images=128"]
    if "65" in override:
        message = "128"
    _fails(capsys, [*words, *fits, override], message)
    assert not (tmp_path / "w").exists()


def test_words_that_are_no_override_are_a_usage_error(shards, tmp_path):
    words = ["quickstart", "--data", str(shards), "--workdir", str(tmp_path / "w")]
    with pytest.raises(SystemExit) as stop:
        command_line.main(["pretrain", *words, "--steps", "3"])
    assert stop.value.code == 2


def test_a_finished_run_is_left_as_it_is(shards, tmp_path, capsys):
    path = str(tiny_runs.write_config(tmp_path))
    words = ["pretrain", path, "--data", str(shards), "--workdir", str(tmp_path / "w")]
    words.append("--json")
    assert command_line.main(words) == 0
    first = json.loads(capsys.readouterr().out)
    lines = (tmp_path / "w" / "metrics.jsonl").read_text()
    assert command_line.main(words) == 0
    output = capsys.readouterr()
    assert json.loads(output.out) == first
    assert "already trained for 6 steps" in output.err
    assert (tmp_path / "w" / "metrics.jsonl").read_text() == lines
    # other workers and intervals are the same run; another length is not
    assert command_line.main([*words, "--train.log_every_steps=2"]) == 0
    _fails(capsys, [*words[1:], "--train.steps=7"], "train.steps: 7, there 6")
