"""Readers in processes: in order, bounded, and none is left behind."""

import ctypes
import functools
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from data_pipelines import pool, reading, slices, sources, workers

ROOT = pathlib.Path(__file__).parents[1]
OPTIONS = reading.Options(64, bytes(32))


def read(number, what, _):
    """A reader that may do what broken files do."""
    if what.startswith("lock "):  # as a decoder in C that loops: no other thread runs
        write_pid(what.removeprefix("lock "))
        ctypes.PyDLL(None).sleep(1000)
    if what == "hang":
        time.sleep(1000)
    if what == "die":
        os.kill(os.getpid(), signal.SIGSEGV)
    if what == "grow":
        np.ones(2**40, np.uint8)
    if what.startswith("tell "):
        write_pid(what.removeprefix("tell "))
        time.sleep(1000)
    if what == "late":
        time.sleep(0.3)
    pixels = np.random.default_rng(number).integers(0, 255, (40, 40), np.uint8)
    yield slices.Slice(pixels, "MR", None, None, "x", None, "8bit")


def write_pid(name):
    path = pathlib.Path(name)
    path.with_suffix(".new").write_text(str(os.getpid()))
    path.with_suffix(".new").rename(path)


def read_series(paths):
    """Files that are named after what they do."""
    for file, path in enumerate(paths):
        for piece in read(file + 100 * len(paths), path.name, ()):
            yield piece._replace(file=file)


def inputs(*whats):
    return [
        sources.Input(
            (pathlib.Path("no such file"),),
            "test",
            functools.partial(read, number, what),
            (number,),
        )
        for number, what in enumerate(whats, start=1)
    ]


@pytest.mark.lengthy
def test_broken_files_end_nothing_and_the_order_stays():
    whats = ["late", "", "hang", "", "die", "", "grow", ""]
    limits = pool.Limits(seconds=6, gigabytes=8)
    found = [
        outcome
        for group in workers.read_all(
            inputs(*whats), OPTIONS, num_workers=2, limits=limits
        )
        for outcome in group
    ]
    assert [outcome.file[:5] for outcome in found] == [f"#000{n}" for n in range(1, 9)]
    reasons = [next(iter(outcome.dropped), None) for outcome in found]
    assert reasons == [
        None,
        None,
        "not read within 6 s (--seconds-per-file)",
        None,
        "its reader died",
        None,
        "needs more memory than a file may take (--gigabytes-per-file)",
        None,
    ]


def test_a_file_that_kills_its_reader_does_not_cost_the_series():
    paths = tuple(map(pathlib.Path, ["a", "die", "b", "grow", "c"]))
    entry = sources.Input(
        paths,
        "test",
        read_series,
        (1, 2, 3, 4, 5),
    )
    limits = pool.Limits(seconds=10, gigabytes=8)
    ((*found,),) = workers.read_all([entry], OPTIONS, num_workers=2, limits=limits)
    assert [len(outcome.pieces) for outcome in found] == [1, 0, 1, 0, 1]
    assert found[1].dropped == {"its reader died": 1}
    assert "more memory" in next(iter(found[3].dropped))
    # those left were read together: `read_series` knows of how many
    together = reading.read(entry.only([0, 2, 4]), OPTIONS)
    assert found[4].pieces == together[2].pieces


def test_no_worker_outlives_a_killed_parent(tmp_path):
    """Each reader tells its process, and hangs."""
    whats = [f"tell {tmp_path / 'a'}", f"lock {tmp_path / 'b'}"]
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\n"
        "sys.path[:0] = ['.', 'tests']\n"
        "import workers_test as test\n"
        "from data_pipelines import pool, workers\n"
        "if __name__ == '__main__':\n"
        f"    list(workers.read_all(test.inputs(*{whats!r}), test.OPTIONS,\n"
        "        num_workers=2, limits=pool.Limits()))\n"
    )
    parent = subprocess.Popen([sys.executable, str(script)], cwd=ROOT)
    try:
        _wait_for(lambda: all((tmp_path / name).exists() for name in "ab"))
    finally:
        parent.kill()
        parent.wait()
    pids = [int((tmp_path / name).read_text()) for name in "ab"]
    _wait_for(lambda: not any(map(_is_alive, pids)))


def test_no_worker_is_needed():
    found = list(
        workers.read_all(inputs("", ""), OPTIONS, num_workers=0, limits=pool.Limits())
    )
    assert [len(group[0].pieces) for group in found] == [1, 1]


def _wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _is_alive(pid):
    """A dead one whose new parent has not asked for it yet counts as dead."""
    shown = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True
    )
    return shown.stdout.strip()[:1] not in ("", "Z")
