import os
import pathlib
import subprocess
import sys

import pytest

from lvmmed_jax import command_line, commands
from lvmmed_jax.commands import report

ROOT = pathlib.Path(__file__).parents[1]


def _raising(monkeypatch, error):
    """Has the command `report` raise `error`."""

    def main(words):
        raise error

    monkeypatch.delenv("LVMMED_TRACEBACK", raising=False)
    monkeypatch.setattr(report, "main", main)


def test_unknown_command_offers_the_nearest(capsys):
    assert command_line.main(["pretrian"]) == 2
    output = capsys.readouterr()
    assert "did you mean 'pretrain'?" in output.err and output.err.count("\n") == 1
    assert not output.out


def test_no_command_is_a_usage_error(capsys):
    assert command_line.main([]) == command_line.main(["--no-compile-cache"]) == 2
    assert command_line.main(["--help"]) == 0
    output = capsys.readouterr().out
    for name, text in commands.COMMANDS.items():
        assert output.count(f"{name} ") >= 3 and output.count(text) == 3


@pytest.mark.parametrize("name", ["", *commands.COMMANDS])
def test_help_needs_no_jax_and_shows_an_example(name):
    words = [name, "--help"] if name else ["--help"]
    code = (
        "import sys; from lvmmed_jax import command_line\n"
        f"try: code = command_line.main({words!r})\n"
        "except SystemExit as stop: code = stop.code\n"
        "assert code == 0\n"
        "assert 'jax' not in sys.modules and 'numpy' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "example" in done.stdout


def test_run_py_hands_on_the_exit_code():
    done = subprocess.run(
        [sys.executable, "run.py", "reprot"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2 and "'report'" in done.stderr


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("the first line\n  and a second"), "the first line and a second"),
        (ValueError(), "ValueError"),
        (PermissionError(13, "Permission denied", "a/b"), "a/b: Permission denied"),
        (FileNotFoundError("no such model"), "no such model"),
        (ModuleNotFoundError("No module named 'x'"), "No module named 'x'"),
    ],
)
def test_a_mistake_is_one_line(monkeypatch, capsys, error, line):
    _raising(monkeypatch, error)
    assert command_line.main(["report", "x"]) == 1
    output = capsys.readouterr()
    assert output.err == f"lvmmed report: error: {line}\n" and not output.out


def test_a_real_mistake_names_the_folder(capsys):
    assert command_line.main(["report", "no/such/folder"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and "no/such/folder" in lines[0]


def test_a_traceback_on_demand_and_for_our_own_mistakes(monkeypatch):
    _raising(monkeypatch, KeyError("ours"))
    with pytest.raises(KeyError):
        command_line.main(["report", "x"])
    _raising(monkeypatch, ValueError("theirs"))
    monkeypatch.setenv("LVMMED_TRACEBACK", "1")
    with pytest.raises(ValueError, match="theirs"):
        command_line.main(["report", "x"])


def test_ctrl_c_ends_with_130(monkeypatch, capsys):
    _raising(monkeypatch, KeyboardInterrupt())
    assert command_line.main(["report", "x"]) == 130
    assert "lvmmed report: interrupted" in capsys.readouterr().err


def test_the_cache_option_is_for_every_command_and_goes_to_none(monkeypatch, tmp_path):
    found = []

    def main(words):
        found.append((words, os.environ.get("JAX_COMPILATION_CACHE_DIR")))
        return 0

    monkeypatch.setattr(report, "main", main)
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert command_line.main(["report", "x", "--no-compile-cache"]) == 0
    assert command_line.main(["--no-compile-cache", "report", "x"]) == 0
    assert command_line.main(["report", "x"]) == 0
    cache = str(tmp_path / "lvmmed")
    assert found == [(["x"], None), (["x"], None), (["x"], cache)]
