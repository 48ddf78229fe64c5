"""The `report` command: what it prints, where it writes, how it refuses."""

import json
import subprocess
import sys

import pytest

from lvmmed_jax import command_line
from lvmmed_jax.commands import report as command


@pytest.fixture
def workdir(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0}\n')
    return folder


def test_page_goes_to_the_first_work_folder(workdir, capsys):
    assert command.main([str(workdir)]) == 0
    assert capsys.readouterr().out == f"{workdir / 'report.html'}\n"
    assert (workdir / "report.html").is_file()


def test_out_and_json(workdir, tmp_path, capsys):
    out = tmp_path / "page.html"
    assert command.main([str(workdir), "--out", str(out), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["path"] == str(out) and out.is_file()
    assert set(answer) == {"path", "runs"}
    (run,) = answer["runs"]
    assert run["workdir"] == str(workdir) and run["healthy"] is False
    assert run["reasons"][0].startswith("too short to tell")
    assert not (workdir / "report.html").exists()


def test_json_of_several_runs_has_a_comparison(workdir, tmp_path, capsys):
    other = tmp_path / "other"
    other.mkdir()
    (other / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0}\n')
    for folder, seed in ((workdir, 0), (other, 1)):
        (folder / "config.json").write_text(json.dumps({"train": {"seed": seed}}))
    assert command.main([str(workdir), str(other), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [run["workdir"] for run in answer["runs"]] == [str(workdir), str(other)]
    assert answer["config_differences"] == {"train.seed": [0, 1]}
    assert answer["run_differences"] == {} and answer["evaluation"] == []


def test_folder_without_metrics_is_one_line(tmp_path, capsys):
    assert command_line.main(["report", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert str(tmp_path) in error and "metrics.jsonl" in error


def test_help_shows_an_example_and_imports_nothing_heavy():
    code = (
        "import sys; from lvmmed_jax import command_line\n"
        "try: command_line.main(['report', '--help'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "assert not {'numpy', 'matplotlib', 'jax'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "example:" in done.stdout
