"""Stopped and resumed equals never stopped: parameters, metrics, exit codes."""

import dataclasses
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

from lvmmed_jax import command_line, pretraining
from lvmmed_jax.train import checkpoint, writer

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return tiny_runs.make_shards(tmp_path_factory.mktemp("data"))


def _train(shards, workdir, stop_at=None):
    extra = {"config": {}, "data_sha256": "0", "held_out_sha256": None}
    run = pretraining.prepare(
        tiny_runs.CONFIG,
        data=shards,
        held_out=None,
        workdir=workdir,
        extra=extra,
    )
    calls = iter(range(int(run.train_state.step), 100))
    result = pretraining.train(run, should_stop=lambda: next(calls) == stop_at)
    final = pretraining.prepare(
        tiny_runs.CONFIG,
        data=shards,
        held_out=None,
        workdir=workdir,
        extra=extra,
    )
    return result, final.train_state


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
    timeless = [
        [
            {k: v for k, v in line.items() if "second" not in k and "wait" not in k}
            for line in one
        ]
        for one in lines
    ]
    assert timeless[0] == timeless[1]


def _key_as_numbers(final):
    return dataclasses.replace(final, key=jax.random.key_data(final.key))


def test_other_data_is_refused(shards, tmp_path):
    _train(shards, tmp_path, stop_at=1)
    with pytest.raises(ValueError, match="other data"):
        pretraining.prepare(
            tiny_runs.CONFIG,
            data=shards,
            workdir=tmp_path,
            held_out=None,
            extra={"config": {}, "data_sha256": "another"},
        )


def test_damaged_checkpoint_is_one_clear_error(shards, tmp_path):
    _train(shards, tmp_path, stop_at=1)
    for path in (tmp_path / "checkpoints" / "1" / "state").rglob("*"):
        if path.is_file() and path.name not in ("commit_success.txt",):
            path.write_bytes(path.read_bytes()[:10])
    with pytest.raises(ValueError, match=r"checkpoint 1 .* cannot be read"):
        _train(shards, tmp_path)


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
    with checkpoint.Checkpoints(tmp_path / "run") as checkpoints:
        assert checkpoints.latest_step() >= 3


def test_loss_that_is_no_number_stops_with_the_step(shards, tmp_path, capsys):
    words = ["pretrain", str(tiny_runs.write_config(tmp_path)), "--data", str(shards)]
    words += ["--workdir", str(tmp_path / "run"), "--optimizer.learning_rate=1e30"]
    assert command_line.main(words) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert re.search(r"(loss|gradient_norm) of step \d is (nan|inf)", last)
