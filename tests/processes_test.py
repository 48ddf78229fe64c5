"""Two processes on this machine: the numbers of one, one writer, agreed stops."""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import pytest
import tiny_runs

from lvmmed_jax.train import checkpoint, writer

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return tiny_runs.make_shards(tmp_path_factory.mktemp("data"))


def _start(num_processes, shards, workdir, *words):
    """Processes of a run on eight devices together."""
    config = tiny_runs.write_config(shards.parent)
    command = [sys.executable, "run.py", "pretrain", str(config), *words]
    command += ["--data", str(shards), "--workdir", str(workdir)]
    each = 8 // num_processes
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "tests"),
        "XLA_FLAGS": os.environ["XLA_FLAGS"].replace("count=8", f"count={each}"),
    }
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    several = ["--coordinator", address, "--num-processes", str(num_processes)]
    return [
        subprocess.Popen(
            command + ([*several, "--process", str(n)] if num_processes > 1 else []),
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for n in range(num_processes)
    ]


def _finish(processes):
    """Exit codes, and what each printed to stderr."""
    outputs = [process.communicate(timeout=200) for process in processes]
    return [process.returncode for process in processes], [err for _, err in outputs]


def _numbers(workdir):
    return tiny_runs.timeless(writer.read(workdir / "metrics.jsonl"))


@pytest.mark.lengthy
def test_two_processes_are_one_and_another_number_goes_on(shards, tmp_path):
    """Stopped with two, the last steps with one; beside it a run of one process."""
    alone, _ = _finish(_start(1, shards, tmp_path / "one"))
    several = _start(2, shards, tmp_path / "two", "--train.checkpoint_every_steps=1")
    folder = tmp_path / "two" / "checkpoints"
    deadline = time.monotonic() + 200
    while len(checkpoint.committed_steps(folder)) < 2:
        assert time.monotonic() < deadline
        assert all(process.poll() is None for process in several), _finish(several)
        time.sleep(0.01)
    several[1].send_signal(signal.SIGTERM)  # the other one is not told
    codes, errors = _finish(several)
    reached = checkpoint.committed_steps(folder)[-1]
    if reached < 6:
        assert codes == [143, 143], errors
        assert f"stopped at step {reached} of 6, saved" in errors[0]
    assert "images/s" in errors[0] and "images/s" not in errors[1]
    again, errors = _finish(_start(1, shards, tmp_path / "two"))
    assert alone == again == [0], errors
    whole, parts = _numbers(tmp_path / "one"), _numbers(tmp_path / "two")
    by_step = {(line["step"], "loss" in line): line for line in parts}
    for line in whole:
        other = by_step[line["step"], "loss" in line]
        assert other == pytest.approx(line, rel=1e-3), line["step"]


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_the_loss_of_a_process_ends_the_others_with_a_line(shards, tmp_path, victim):
    several = _start(2, shards, tmp_path, "--train.steps=5000")
    deadline = time.monotonic() + 200
    while not checkpoint.committed_steps(tmp_path / "checkpoints"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    several[victim].kill()
    codes, errors = _finish(several)
    assert codes[1 - victim] != 0
    last = errors[1 - victim].splitlines()[-1]
    assert "another one of the run has ended" in last


def test_processes_that_do_not_come_are_told_in_one_line(shards, tmp_path):
    words = ["--coordinator", "localhost:1", "--num-processes", "2"]
    (process,) = _start(1, shards, tmp_path / "w", *words)
    codes, (error,) = _finish([process])
    assert codes == [1]
    assert "--coordinator, --num-processes and --process go together" in error
    assert not (tmp_path / "w").exists()
