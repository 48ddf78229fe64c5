"""`prepare` is killed at random moments and begun again: the same bytes in the end."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import dicom_files
import numpy as np
import PIL.Image
import pytest

ROOT = pathlib.Path(__file__).parents[1]
NUM_KILLS = 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures, copies, a series and broken files."""
    root = tmp_path_factory.mktemp("data") / "input"
    root.mkdir()
    rng = np.random.default_rng(0)
    for number in range(240):
        pixels = rng.integers(0, 256, (200, 240), np.uint8)
        PIL.Image.fromarray(pixels).save(root / f"{number}.png")
    for number in range(40):
        path = root / f"series_{number}.dcm"
        pixels = rng.integers(0, 900, (128, 128), np.uint16)
        dicom_files.write(path, pixels, SeriesInstanceUID="1.2.3.4")
    (root / "zcopy.png").write_bytes((root / "7.png").read_bytes())
    (root / "zbroken.png").write_bytes(b"\x89PNG broken")
    return root


def start(folder, out, errors=subprocess.DEVNULL):
    words = ["run.py", "prepare", str(folder), "--out", str(out), "--size", "160"]
    words += ["--salt-file", str(folder.parent / "salt"), "--deduplicate"]
    return subprocess.Popen(
        [sys.executable, *words, "--workers", "2"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=errors,
        start_new_session=True,
    )


def bytes_of(out):
    return {path.name: path.read_bytes() for path in out.iterdir()}


@pytest.mark.slow
def test_killed_at_random_moments(folder, tmp_path):
    began = time.monotonic()
    whole = start(folder, tmp_path / "whole")
    assert whole.wait() == 0
    seconds = time.monotonic() - began
    expected = bytes_of(tmp_path / "whole")
    rng = np.random.default_rng(1)
    kills, runs, grown = 0, 0, 0
    while kills < NUM_KILLS:
        out = tmp_path / f"out{runs}"
        runs += 1
        for _ in range(100):
            before = _journal_size(out)
            process = start(folder, out)
            time.sleep(rng.uniform(0.2, 0.9) * seconds)
            if process.poll() is None and kills < NUM_KILLS:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                kills += 1
                grown += _journal_size(out) > before
            elif process.wait() == 0:
                break
        assert bytes_of(out) == expected, runs
    assert grown >= NUM_KILLS // 4  # the kills met runs that were reading
    print(f"{kills} kills in {runs} runs, {grown} of them while files were read")


def test_sigterm_ends_with_143_and_the_command_goes_on(folder, tmp_path):
    process = start(folder, tmp_path / "out", subprocess.PIPE)
    deadline = time.monotonic() + 60
    while _journal_size(tmp_path / "out") < 100_000:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    process.terminate()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143
    assert b"the same command goes on" in errors and b"Traceback" not in errors
    again = start(folder, tmp_path / "out")
    assert again.wait(timeout=100) == 0
    assert not (tmp_path / "out" / "unfinished.journal").exists()


def _journal_size(out):
    path = out / "unfinished.journal"
    return path.stat().st_size if path.exists() else 0
