import pathlib
import subprocess
import sys

import pytest

from lvmmed_jax import command_line, commands

ROOT = pathlib.Path(__file__).parents[1]


def test_unknown_command_offers_the_nearest(capsys):
    assert command_line.main(["pretrian"]) == 2
    assert "did you mean 'pretrain'?" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", *commands.COMMANDS])
def test_help_needs_no_jax_and_shows_an_example(name):
    words = [name, "--help"] if name else ["--help"]
    code = (
        "import sys; from lvmmed_jax import command_line\n"
        f"try: command_line.main({words!r})\n"
        "except SystemExit: pass\n"
        "assert 'jax' not in sys.modules and 'numpy' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "example" in done.stdout


def test_a_mistake_is_one_line(capsys):
    assert command_line.main(["report", "no/such/folder"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and "no/such/folder" in lines[0]


def test_system_errors_name_the_file():
    error = FileNotFoundError(2, "No such file or directory", "x.png")
    assert command_line.one_line(error) == "x.png: No such file or directory"
