"""Stopped and resumed equals never stopped: parameters, metrics, exit codes."""

import dataclasses
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
import tiny_runs

from lvmmed_jax import command_line, files, planning, pretraining
from lvmmed_jax.train import checkpoint, writer

ROOT = pathlib.Path(__file__).parents[1]
# a load that fails leaves tasks of Orbax's to an event loop that is closed
_QUIET = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning",
    "ignore::pytest.PytestUnhandledThreadExceptionWarning",
)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return tiny_runs.make_shards(tmp_path_factory.mktemp("data"))


def _train(shards, workdir, stop_at=None):
    extra = {"config": {}, "data_sha256": "0", "held_out_sha256": None}
    workdir.mkdir(parents=True, exist_ok=True)
    run = pretraining.prepare(
        planning.make(tiny_runs.CONFIG),
        data=shards,
        held_out=None,
        workdir=workdir,
        extra=extra,
    )
    calls = iter(range(int(run.train_state.step), 100))
    result = pretraining.train(run, should_stop=lambda: next(calls) == stop_at)
    final = pretraining.prepare(
        planning.make(tiny_runs.CONFIG),
        data=shards,
        held_out=None,
        workdir=workdir,
        extra=extra,
    )
    return result, final.train_state


@pytest.mark.lengthy
def test_resumed_run_equals_one_that_was_not_stopped(shards, tmp_path):
    whole, expected = _train(shards, tmp_path / "whole")
    stopped, _ = _train(shards, tmp_path / "parts", stop_at=3)
    assert stopped["step"] == 3
    resumed, found = _train(shards, tmp_path / "parts")
    assert whole["step"] == resumed["step"] == 6
    jax.tree.map(
        np.testing.assert_array_equal, _key_as_numbers(expected), _key_as_numbers(found)
    )
    lines = [
        writer.read(tmp_path / name / "metrics.jsonl") for name in ("whole", "parts")
    ]
    assert tiny_runs.timeless(lines[0]) == tiny_runs.timeless(lines[1])


def _key_as_numbers(final):
    return dataclasses.replace(final, key=jax.random.key_data(final.key))


@pytest.mark.lengthy
def test_other_data_is_refused(shards, tmp_path):
    _train(shards, tmp_path, stop_at=1)
    with pytest.raises(ValueError, match="other data"):
        pretraining.prepare(
            planning.make(tiny_runs.CONFIG),
            data=shards,
            workdir=tmp_path,
            held_out=None,
            extra={"config": {}, "data_sha256": "another"},
        )


def _cut(checkpoint_folder):
    for path in (checkpoint_folder / "model").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:10])


@_QUIET
@pytest.mark.lengthy
def test_damaged_newest_checkpoint_falls_back_and_ends_the_same(
    shards, tmp_path, capsys
):
    _, expected = _train(shards, tmp_path / "whole")
    _train(shards, tmp_path / "cut", stop_at=5)
    folder = tmp_path / "cut" / "checkpoints"
    assert checkpoint.committed_steps(folder)[-2:] == [4, 5]
    _cut(folder / "5")
    capsys.readouterr()
    _, found = _train(shards, tmp_path / "cut")
    assert f"warning: {folder / '5'} is damaged" in capsys.readouterr().err
    assert (tmp_path / "cut" / "damaged" / "5").is_dir()
    jax.tree.map(
        np.testing.assert_array_equal, _key_as_numbers(expected), _key_as_numbers(found)
    )


@pytest.mark.lengthy
@_QUIET
def test_damaged_only_checkpoint_is_one_clear_error(shards, tmp_path):
    _train(shards, tmp_path, stop_at=1)
    _cut(tmp_path / "checkpoints" / "1")
    with pytest.raises(ValueError, match=r"every checkpoint in .* is damaged"):
        _train(shards, tmp_path)
    assert checkpoint.committed_steps(tmp_path / "checkpoints") == [1]


def test_two_runs_in_one_work_folder_are_refused(shards, tmp_path, capsys):
    words = ["pretrain", str(tiny_runs.write_config(tmp_path)), "--data", str(shards)]
    with files.locked(tmp_path / ".lock"):
        assert command_line.main([*words, "--workdir", str(tmp_path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"another process is at work in {tmp_path}" in line
    assert not (tmp_path / "config.json").exists()


@pytest.mark.lengthy
@pytest.mark.parametrize(
    ("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)]
)
def test_signal_saves_and_says_how_to_go_on(shards, tmp_path, signum, code):
    command = [
        *(sys.executable, "run.py", "pretrain", str(tiny_runs.write_config(tmp_path))),
        *("--data", str(shards), "--workdir", str(tmp_path / "run")),
        *("--train.steps=100000", "--train.checkpoint_every_steps=100000"),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
    )
    metrics = tmp_path / "run" / "metrics.jsonl"
    deadline = time.monotonic() + 300
    while not metrics.exists() or metrics.read_text().count('"loss"') < 3:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signum)
    _, errors = process.communicate(timeout=200)
    assert process.returncode == code
    assert "the same command goes on from there" in errors.splitlines()[-1]
    assert checkpoint.committed_steps(tmp_path / "run" / "checkpoints")[-1] >= 3


@pytest.mark.lengthy
def test_loss_that_is_no_number_ends_the_run_and_can_be_repeated(
    shards, tmp_path, capsys
):
    words = ["pretrain", str(tiny_runs.write_config(tmp_path)), "--data", str(shards)]
    words += ["--workdir", str(tmp_path / "run"), "--optimizer.learning_rate=1e30"]
    words += ["--train.max_skipped=2"]
    assert command_line.main(words) == 1
    errors = capsys.readouterr().err
    last = errors.splitlines()[-1]
    assert re.search(r"2 steps in a row were skipped, the last is \d \(loss nan", last)
    skipped = pathlib.Path(re.search(r"--replay (\S+)` repeats it", errors)[1])
    before = sorted(path.name for path in (tmp_path / "run").iterdir())
    words[words.index("--workdir") + 1] = str(tmp_path / "never made")
    assert command_line.main([*words, "--replay", str(skipped), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["equal"] and found["loss"] == "nan" == found["then"]["loss"]
    assert found["step"] == int(skipped.name) and len(found["records"]) == 32
    assert "encoder/Conv_0/kernel" in found["not_finite"]
    assert before == sorted(path.name for path in (tmp_path / "run").iterdir())
    assert not (tmp_path / "never made").exists()
    assert command_line.main([*words, "--replay", str(tmp_path / "no")]) == 1
    assert "no such step; runs keep them in skipped/" in capsys.readouterr().err
    assert command_line.main([*words, "--replay", str(skipped)]) == 0
    assert "the same as then" in capsys.readouterr().out
