"""The `study` command: a real study at tests' size, and how it refuses."""

import csv
import json

import labelled_files
import numpy as np
import pytest
import studies
import tiny_runs

from lvmmed_jax import command_line
from lvmmed_jax.commands import study as command

_STUDY = '''
"""Two methods."""

from lvmmed_jax.study import grid


def get_study():
    return grid.Study(
        config="{config}",
        variants={{"matching": {{}}, "simclr": {{"train.method": "simclr"}}}},
        evaluation=grid.Evaluation(("kinds",), {evaluation}),
        baseline="matching",
        seeds=(0,),
    )
'''


def _text(folder, evaluation="tasks=('knn',)"):
    """A study's file."""
    config = tiny_runs.write_config(folder)
    return _STUDY.format(config=config, evaluation=evaluation)


def _study(*words):
    return command_line.main(["study", *map(str, words)])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The study's file, and where its data is."""
    folder = tmp_path_factory.mktemp("study")
    path = folder / "study.py"
    path.write_text(_text(folder))
    labelled_files.class_folders(folder / "kinds", dark=12, bright=12)
    return path, tiny_runs.make_shards(folder), folder


@pytest.fixture
def words(made, tmp_path):
    """Of the command, in a folder of its own."""
    path, shards, labelled = made
    return [path, "--data", shards, "--labelled", labelled, "--workdir", tmp_path]


@pytest.fixture
def made_up(monkeypatch):
    """Runs that nobody trains."""
    monkeypatch.setattr(command, "_train", lambda job, *_: studies.train(job))
    monkeypatch.setattr(command, "_evaluate", lambda job, *_: studies.evaluate(job))


@pytest.mark.lengthy
def test_a_run_is_a_work_folder_and_is_measured(words, tmp_path, capsys):
    """Really trained, for two steps."""
    assert _study(*words, "--train.steps=2", "--only", "matching") == 0
    output = capsys.readouterr()
    assert output.out.startswith(f"{tmp_path / 'results.csv'}: all runs")
    assert "[1/1] runs/matching-0" in output.err
    with (tmp_path / "results.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["variant"], row["steps"], row["task"]) == ("matching", "2", "knn")
    assert (row["num_train"], row["num_test"]) == ("18", "6")
    run = tmp_path / "runs" / "matching-0"
    with np.load(run / "evaluation.npz") as arrays:
        assert arrays["pretrained_0"].mean() == pytest.approx(float(row["value"]))
        assert arrays["random_0"].shape == (6,)
    before = (run / "metrics.jsonl").read_bytes()
    assert _study(*words, "--train.steps=2", "--only", "matching") == 0
    assert "[" not in capsys.readouterr().err  # nothing is done again
    assert (run / "metrics.jsonl").read_bytes() == before
    assert command_line.main(["report", str(run)]) == 0
    assert "Does pre-training help?" in (run / "report.html").read_text()


def test_the_report_compares_the_variants(words, tmp_path, made_up, capsys):
    assert _study(*words, "--seeds", "0,1", "--part", "1/2") == 0
    assert _study(*words, "--seeds", "0,1", "--part", "2/2") == 0
    with (tmp_path / "results.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 4
    capsys.readouterr()
    assert command_line.main(["report", str(tmp_path), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["missing"] == [] and len(answer["results"]) == 3
    assert (tmp_path / "summary.md").is_file() and (tmp_path / "report.html").is_file()
    assert command_line.main(["report", str(tmp_path), "--baseline", "random"]) == 0
    assert "less random" in (tmp_path / "summary.md").read_text()
    run = tmp_path / "runs" / "simclr-0"
    capsys.readouterr()
    assert command_line.main(["report", str(tmp_path), str(run)]) == 1
    assert "report it alone" in capsys.readouterr().err
    assert command_line.main(["report", str(run), "--baseline", "simclr"]) == 1
    assert "--baseline is for a study" in capsys.readouterr().err


def test_other_settings_need_another_folder(words, made_up, capsys):
    assert _study(*words) == 0
    capsys.readouterr()
    assert _study(*words, "--train.steps=3") == 1
    assert "train.steps: 3, there unset" in capsys.readouterr().err


def test_failures_are_one_line_at_the_end(words, monkeypatch, made_up, capsys):
    def fail(job, *_):
        raise ValueError(f"{job.name} was\nnot finite")

    monkeypatch.setattr(command, "_train", fail)
    assert _study(*words) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("lvmmed study: error: 2 of its jobs failed, the first runs/")
    assert last.endswith("was not finite; the same command tries them again")


def test_a_signal_is_the_exit_code(words, monkeypatch, made_up):
    monkeypatch.setattr(command, "_train", lambda *_: 143)
    assert _study(*words) == 143


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--only", "moco"], "--only: no variant 'moco'; there are matching, simclr"),
        (["--train.stps=3"], "did you mean 'train.steps'"),
        (["--train.method=simclr"], "train.method is what the study varies (simclr)"),
        (["--labelled", "/none"], "no kinds in /none (--labelled)"),
    ],
)
def test_a_mistake_is_one_line(words, capsys, wrong, message):
    assert _study(*words, *wrong) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and message in error


def test_a_config_of_a_run_is_told_from_a_study(made, tmp_path, capsys):
    words = ["--data", made[1], "--workdir", tmp_path]
    assert _study("quickstart", *words) == 1
    assert "it is of a run, for `pretrain`" in capsys.readouterr().err
    assert _study("ablatons", *words) == 1
    assert "did you mean 'ablations'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["--part", "3/2"], ["--part", "0/2"], ["--part", "x"], ["--seeds", "a"]]
)
def test_misuse_ends_with_2(words):
    with pytest.raises(SystemExit) as end:
        command.main(["quickstart", "--data", "x", "--workdir", "y", *words])
    assert end.value.code == 2


@pytest.mark.parametrize(
    ("evaluation", "message"),
    [
        ("tasks=('knm',)", "tasks are knn, linear_probe, not knm"),
        ("tasks=()", "not none"),
        ("few_labels='x'", "neither a share such as 5%"),
        ("part='val'", "kinds: has no val/ beside train/"),
    ],
)
def test_what_evaluate_would_refuse_is_told_before_anything_runs(
    made, tmp_path, capsys, evaluation, message
):
    _, shards, labelled = made
    path = tmp_path / "study.py"
    path.write_text(_text(tmp_path, evaluation))
    words = [path, "--data", shards, "--labelled", labelled]
    assert _study(*words, "--workdir", tmp_path / "w") == 1
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "w").exists()
