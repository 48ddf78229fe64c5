"""`embed` is killed at random moments and begun again: the same bytes in the end."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import PIL.Image
import pytest

ROOT = pathlib.Path(__file__).parents[1]
NUM_IMAGES, NUM_KILLS = 800, 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "input"
    root.mkdir()
    rng = np.random.default_rng(0)
    for number in range(NUM_IMAGES):
        pixels = rng.integers(0, 256, (120, 100), np.uint8)
        PIL.Image.fromarray(pixels).save(root / f"{number}.png")
    return root


def start(folder, out):
    words = ["run.py", "embed", "random:resnet8", str(folder), "--out", str(out)]
    words += ["--salt-file", str(folder.parent / "salt"), "--size", "64"]
    return subprocess.Popen(
        [sys.executable, *words, "--workers", "1", "--batch", "4"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=os.environ | {"XLA_FLAGS": ""},
    )


@pytest.mark.slow
def test_killed_at_random_moments(folder, tmp_path):
    whole = tmp_path / "whole.npz"
    assert start(folder, whole).wait() == 0
    rng, out = np.random.default_rng(1), tmp_path / "features.npz"
    journal = tmp_path / "features.npz.unfinished"
    signals = [signal.SIGKILL, signal.SIGTERM, signal.SIGINT]
    grown, kills = 0, 0
    while kills < NUM_KILLS:
        process, signum = start(folder, out), signals[kills % 3]
        before = journal.stat().st_size if journal.exists() else 0
        while process.poll() is None and (
            not journal.exists() or journal.stat().st_size <= before
        ):
            time.sleep(0.05)
        time.sleep(rng.uniform(0, 0.5))
        if process.poll() is not None:
            break
        os.kill(process.pid, signum)
        code = process.wait()
        assert code == {9: -9, 15: 143, 2: 130}[signum]
        kills += 1
        grown += journal.exists() and journal.stat().st_size > before
    assert kills >= 4 and grown >= 4
    if not out.exists():
        assert start(folder, out).wait() == 0
    assert out.read_bytes() == whole.read_bytes() and not journal.exists()
    print(f"{kills} kills, {grown} of them while images were embedded")
