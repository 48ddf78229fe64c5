"""Runs of a study one after the other: what is done once, told of, and gone on with."""

import csv
import json
import multiprocessing

import pytest
import studies

from lvmmed_jax.study import finished, jobs, results, running, tuning


def _run(study, workdir, done=None, index=0, count=1, actions=None):
    part = jobs.part(study, index, count)
    return running.run(study, workdir, part, actions or studies.actions(done))


def _table(workdir):
    with (workdir / results.FILE).open() as file:
        return list(csv.DictReader(file))


def test_every_run_is_made_once_and_has_its_rows(tmp_path, capsys):
    study, done = studies.make(tmp_path), []
    assert _run(study, tmp_path, done) == running.Outcome([], 0)
    names = ["matching-0", "simclr-0", "matching-1", "simclr-1"]
    assert done == [
        (word, f"runs/{name}") for name in names for word in ("train", "evaluate")
    ]
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "[1/4] runs/matching-0"
    # a run of 6 steps took 12 s, and 3 s to measure
    assert told[1:] == [
        "[2/4] runs/simclr-0, about 45 s left",
        "[3/4] runs/matching-1, about 30 s left",
        "[4/4] runs/simclr-1, about 15 s left",
    ]
    rows = _table(tmp_path)
    assert [(row["variant"], row["seed"], row["data"]) for row in rows] == [
        (*name.split("-"), data) for name in names for data in ("brain", "cells")
    ]
    first = rows[0]
    assert (first["images"], first["seconds"], first["steps"]) == ("192", "12.0", "6")
    assert float(first["value"]) == pytest.approx(0.585, abs=0.005)
    assert (first["metric"], first["random"], first["stage"]) == (
        "accuracy",
        "0.5",
        "full",
    )
    assert _run(study, tmp_path, done) == running.Outcome([], 0)
    assert len(done) == 8 and not capsys.readouterr().err


def test_a_run_that_was_ended_is_gone_on_with_and_nothing_else(tmp_path):
    study, done = studies.make(tmp_path), []
    whole = studies.actions(done)

    def ended(job):
        return 143 if job.name == "runs/matching-1" else whole.train(job)

    stopped = _run(study, tmp_path, actions=whole._replace(train=ended))
    assert stopped == running.Outcome([], 143)
    assert [name for _, name in done] == ["runs/matching-0"] * 2 + ["runs/simclr-0"] * 2
    assert len(_table(tmp_path)) == 4
    # killed between training and measuring
    done.clear()
    studies.train(jobs.full(study, tmp_path, "matching", 1, {}))
    assert _run(study, tmp_path, done).exit_code == 0
    assert done == [
        ("evaluate", "runs/matching-1"),
        ("train", "runs/simclr-1"),
        ("evaluate", "runs/simclr-1"),
    ]
    assert len(_table(tmp_path)) == 8


def test_a_run_without_measures_has_a_row(tmp_path):
    study = studies.make(tmp_path)

    def fail(job):
        raise OSError("no such data")

    outcome = _run(study, tmp_path, actions=studies.actions()._replace(evaluate=fail))
    assert outcome.failed[0] == "runs/matching-0: no such data"
    rows = _table(tmp_path)
    assert len(rows) == len(outcome.failed) == 4
    assert rows[0]["images"] == "192" and rows[0]["value"] == ""


def test_a_run_that_fails_is_told_of_and_tried_again(tmp_path, capsys):
    study, done = studies.make(tmp_path), []
    whole = studies.actions(done)

    def fail(job):
        if job.variant == "simclr":
            raise ValueError("the loss is not finite")
        return whole.train(job)

    outcome = _run(study, tmp_path, actions=whole._replace(train=fail))
    assert outcome.failed == [
        f"runs/simclr-{seed}: the loss is not finite" for seed in (0, 1)
    ]
    assert capsys.readouterr().err.count("failed: runs/simclr") == 2
    done.clear()
    assert _run(study, tmp_path, done) == running.Outcome([], 0)
    assert {name for _, name in done} == {"runs/simclr-0", "runs/simclr-1"}


def test_a_run_that_diverged_is_a_result_and_is_not_tried_again(tmp_path, capsys):
    study, done = studies.make(tmp_path), []
    whole = studies.actions(done)

    def diverge(job):
        if job.name != "runs/simclr-1":
            return whole.train(job)
        studies.train(job)
        (job.folder / "pictures" / "pretrain.npz").unlink()
        finished.write_diverged(job, "the loss is not finite")
        raise ValueError("the loss is not finite")

    actions = whole._replace(train=diverge)
    assert _run(study, tmp_path, actions=actions) == running.Outcome([], 0)
    assert "runs/simclr-1: the loss is not finite" in capsys.readouterr().err
    rows = _table(tmp_path)
    assert [row["outcome"] for row in rows] == ["trained"] * 6 + ["diverged"]
    assert (rows[-1]["variant"], rows[-1]["seed"], rows[-1]["value"]) == (
        "simclr",
        "1",
        "",
    )
    done.clear()
    assert _run(study, tmp_path, actions=actions) == running.Outcome([], 0)
    assert not done


def test_the_table_keeps_what_other_calls_made(tmp_path):
    whole = studies.make(tmp_path)
    for name, own in whole.variants.items():
        one = studies.make(tmp_path, variants={name: own}, baseline=name)
        part = jobs.part(one, 0, 1)
        running.run(one, tmp_path, part, studies.actions(), whole)
    assert {row["variant"] for row in _table(tmp_path)} == {"matching", "simclr"}


def test_other_data_to_measure_on_measures_again(tmp_path):
    study, done = studies.make(tmp_path), []
    _run(study, tmp_path)
    fewer = studies.make(tmp_path, evaluation=study.evaluation.__class__(("brain",)))
    _run(fewer, tmp_path, done)
    assert [word for word, _ in done] == ["evaluate"] * 4
    assert len(_table(tmp_path)) == 4


def test_a_folder_of_other_settings_is_refused(tmp_path):
    _run(studies.make(tmp_path), tmp_path)
    longer = studies.make(tmp_path, overrides={"train.steps": 8})
    with pytest.raises(ValueError, match=r"matching-0 .*train\.steps: 8, there 6"):
        _run(longer, tmp_path)


def test_the_best_of_the_short_runs_is_taken_and_written_down(tmp_path, capsys):
    study, done = studies.make(tmp_path, tuning=studies.TUNING), []
    assert _run(study, tmp_path, done) == running.Outcome([], 0)
    trained = [name for word, name in done if word == "train"]
    assert trained[:3] == [f"tuning/matching-{x}" for x in ("0.0015", "0.003", "0.006")]
    assert len(trained) == 2 * 3 + 4 and trained[6] == "runs/matching-0"
    written = json.loads((tmp_path / "tuning" / "simclr.json").read_text())
    assert written["chosen"] == {"optimizer.learning_rate": 0.006}
    scores = {each["value"]: each["score"] for each in written["tried"]}
    assert max(scores, key=scores.get) == 0.006 and len(scores) == 3
    rate = json.loads((tmp_path / "runs/simclr-1/config.json").read_text())
    assert rate["optimizer"]["learning_rate"] == 0.006
    assert "matching: optimizer.learning_rate=0.006" in capsys.readouterr().err
    stages = [row["stage"] for row in _table(tmp_path)]
    assert (stages.count("tuning"), stages.count("full")) == (6, 8)


def test_a_variant_whose_short_run_failed_is_not_made(tmp_path):
    study, done = studies.make(tmp_path, tuning=studies.TUNING), []
    whole = studies.actions(done)

    def fail(job):
        if job.name == "tuning/simclr-0.003":
            raise ValueError("the loss is not finite")
        return whole.train(job)

    outcome = _run(study, tmp_path, actions=whole._replace(train=fail))
    assert len(outcome.failed) == 2
    assert "simclr: its tuning has no result" in outcome.failed[1]
    runs = {name for _, name in done if name.startswith("runs/")}
    assert runs == {"runs/matching-0", "runs/matching-1"}
    assert tuning.chosen(study, tmp_path, "simclr") is None


def test_a_short_run_that_diverges_is_a_result(tmp_path):
    """Its value is not taken; the others decide, and nothing is tried again."""
    study, done = studies.make(tmp_path, tuning=studies.TUNING), []
    whole = studies.actions(done)

    def diverge(job):
        if job.name == "tuning/simclr-0.006":
            job.folder.mkdir(parents=True, exist_ok=True)
            finished.write_diverged(job, "10 steps in a row")
            raise ValueError("10 steps in a row")
        return whole.train(job)

    outcome = _run(study, tmp_path, actions=whole._replace(train=diverge))
    assert outcome == running.Outcome([], 0)
    written = json.loads((tmp_path / "tuning" / "simclr.json").read_text())
    assert written["chosen"] == {"optimizer.learning_rate": 0.003}
    assert written["tried"][2] == {"value": 0.006, "score": None, "diverged": True}
    done.clear()
    assert _run(study, tmp_path, done) == running.Outcome([], 0)
    assert not done


def test_other_settings_are_refused_before_anything_is_made(tmp_path):
    study, done = studies.make(tmp_path), []
    _run(study, tmp_path)
    path = tmp_path / "runs" / "simclr-1" / "config.json"
    path.write_text(path.read_text().replace('"steps": 6', '"steps": 9'))
    (tmp_path / "runs" / "matching-0" / "evaluation.json").unlink()
    with pytest.raises(ValueError, match=r"simclr-1 .*train\.steps: 6, there 9"):
        _run(study, tmp_path, done)
    assert not done


def _part(study, folder, index):
    _run(study, folder, index=index, count=2)


def test_two_parts_at_once_leave_every_row_once(tmp_path):
    study, context = studies.make(tmp_path), multiprocessing.get_context("spawn")
    parts = [context.Process(target=_part, args=(study, tmp_path, n)) for n in (0, 1)]
    for each in parts:
        each.start()
    for each in parts:
        each.join()
        assert each.exitcode == 0
    rows = [(row["variant"], row["seed"], row["data"]) for row in _table(tmp_path)]
    assert len(rows) == len(set(rows)) == 8
