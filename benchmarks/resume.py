"""Kills training with SIGKILL at random moments, resumes it, and compares the end.

    python benchmarks/resume.py            50 kills
    python benchmarks/resume.py --quick    8 kills

A small encoder trains for 60 steps on the images that installed packages ship, with a
checkpoint every third step. One run is left alone. The others are killed again and
again, every second time while a save is under way, and resumed to the end. All arrays
of the last checkpoint and all lines of metrics.jsonl (but times) must be those of the
run that was left alone, bit for bit.
"""

import argparse
import importlib.metadata
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

import jax
import numpy as np

ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from lvmmed_jax import config_files, encoders
from lvmmed_jax.train import checkpoint, writer

_STEPS, _KILLS_A_RUN = 60, 6
_UNFINISHED = "*.orbax-checkpoint-tmp"
_CHANGING = ("second", "wait", "memory")  # in names of metrics that differ by the run
_SETTINGS = {
    "train.steps": _STEPS,
    "train.checkpoint_every_steps": 3,
    "train.evaluate_every_steps": 10,
    "train.log_every_steps": 1,
    "train.num_evaluation_images": 32,
    "data.global_batch": 32,
    "views.size": 32,
    "model.width": 8,
    "optimizer.ema_decay": 0.9,
}


def main(argv: list[str] | None = None) -> int:
    """Runs, prints what was found, and with --json one object on the last line."""
    options = _parse(argv)
    wanted = 8 if options.quick else options.kills
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        _finish(_start("prepare", "packaged", "--out", folder / "shards", "--size=48"))
        whole = folder / "whole"
        _finish(_pretrain(folder, whole))
        kills, during_save, runs, equal = 0, 0, 0, True
        while kills < wanted:
            runs += 1
            workdir = folder / f"killed{runs}"
            for number in range(min(_KILLS_A_RUN, wanted - kills)):
                process = _pretrain(folder, workdir)
                saving = _kill(process, workdir, chance, bool(number % 2))
                if saving is None:  # it had reached the end before
                    break
                kills, during_save = kills + 1, during_save + saving
            _finish(_pretrain(folder, workdir))
            same = _same(whole, workdir)
            equal = equal and same
            print(
                f"run {runs}: {kills} kills so far, {during_save} of them during a "
                f"save; the end is {'equal' if same else 'DIFFERENT'}",
                flush=True,
            )
    found = {
        "kills": kills,
        "equal": equal,
        "during_save": during_save,
        "runs": runs,
        "steps": _STEPS,
        "network": "resnet8, width 8, 32 px",
        "devices": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "versions": {
            name: importlib.metadata.version(name)
            for name in ("jax", "orbax-checkpoint", "grain")
        },
    }
    if options.json:
        print(json.dumps(found))
    return 0 if equal else 1


def _pretrain(folder: pathlib.Path, workdir: pathlib.Path) -> subprocess.Popen:
    overrides = [f"--{name}={value}" for name, value in _SETTINGS.items()]
    shards = folder / "shards"
    words = ("pretrain", "quickstart", "--data", shards, "--workdir", workdir)
    return _start(*words, *overrides)


def _start(*words: object) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "run.py"), *map(str, words)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1"},
    )


def _finish(process: subprocess.Popen) -> None:
    """Waits for the end; one that is not good ends the benchmark."""
    _, errors = process.communicate()
    if process.returncode:
        raise SystemExit(f"exit {process.returncode}: {errors.splitlines()[-1:]}")


def _kill(process, workdir, chance, in_save) -> bool | None:
    """Kills at a random moment; `in_save`: just after a save has begun.

    Moments are counted in steps, so that they do not depend on how busy the machine is;
    one in five comes before the first step, while the run starts or reads.

    Returns:
      Whether a save was under way; None where the process ended before.
    """
    folder = workdir / checkpoint.FOLDER
    starting = not in_save and chance.random() < 0.2
    begun, last = _newest(folder), _STEPS - (6 if in_save else 1)
    target = chance.randint(min(begun + 1, last), min(begun + 12, last))
    if starting:
        time.sleep(chance.uniform(0, 8))
    while process.poll() is None:
        there = starting or (
            _newest(folder) >= target - 3 and any(folder.glob(_UNFINISHED))
            if in_save
            else _last_step(workdir) >= target
        )
        if there:
            time.sleep(chance.uniform(0, 0.03))
            process.send_signal(signal.SIGKILL)
            process.communicate()
            return any(folder.glob(_UNFINISHED))
        time.sleep(0.001 if in_save else 0.01)
    _finish(process)
    return None


def _last_step(workdir: pathlib.Path) -> int:
    lines = writer.read(workdir / writer.FILE)
    return lines[-1]["step"] if lines else 0


def _newest(folder: pathlib.Path) -> int:
    return max(checkpoint.committed_steps(folder), default=0)


def _same(one: pathlib.Path, other: pathlib.Path) -> bool:
    """Whether two runs have ended with the same arrays, position and lines."""
    paths = [workdir / checkpoint.FOLDER / str(_STEPS) for workdir in (one, other)]
    extras = [checkpoint.read_extra(path) for path in paths]
    arrays = [_arrays(path) for path in paths]
    lines = [_lines(workdir) for workdir in (one, other)]
    return (
        all(np.array_equal(*pair) for pair in zip(*arrays, strict=True))
        and all(extras[0][key] == extras[1][key] for key in ("digests", "next_batch"))
        and lines[0] == lines[1]
        and not any((other / checkpoint.FOLDER).glob(_UNFINISHED))
    )


def _arrays(path: pathlib.Path) -> list[np.ndarray]:
    """The averaged encoder; the digests stand for all other arrays."""
    config = config_files.load("quickstart", _SETTINGS)
    assert encoders.run_config(str(path)) == config
    return list(map(np.asarray, jax.tree.leaves(encoders.load(str(path)).variables)))


def _lines(workdir: pathlib.Path) -> list[dict]:
    return [
        {k: v for k, v in line.items() if not any(word in k for word in _CHANGING)}
        for line in writer.read(workdir / writer.FILE)
    ]


def _parse(argv) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50, help="how many, 50")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--quick", action="store_true", help="8 kills, 3 minutes")
    parser.add_argument("--json", action="store_true", help="one object, last line")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
