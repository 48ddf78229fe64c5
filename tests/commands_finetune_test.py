"""`finetune`, then `evaluate` and `predict`: whole runs, small."""

import csv
import itertools
import json
import shutil

import numpy as np
import PIL.Image
import pytest
import tiny_finetunes
import tiny_runs

from lvmmed_jax import command_line, mask_metrics
from lvmmed_jax.downstream import intervals, trained, training
from lvmmed_jax.train import checkpoint, writer

LONGER = ("--train.fixed_steps=12", "--train.num_evaluations=3", "--train.keep_last=9")
SEGMENTS = ("--model.task=segmentation", "--model.head=unet")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finetune")
    tiny_finetunes.write_encoder(folder)
    return folder


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr(intervals, "_NUM_DRAWS", 20)


@pytest.fixture(scope="module")
def classes(folder):
    return tiny_finetunes.bright_and_dark(folder / "classes", 16)


@pytest.fixture(scope="module")
def masks(folder):
    return tiny_finetunes.squares(folder / "masks", 24)


@pytest.fixture(scope="module")
def classifier(folder, classes):
    assert tiny_finetunes.finetune(folder, classes, folder / "c", *LONGER) == 0
    return folder / "c"


@pytest.fixture(scope="module")
def segmenter(folder, masks):
    more = (*SEGMENTS, "--train.fixed_steps=30", "--train.num_evaluations=1")
    assert tiny_finetunes.finetune(folder, masks, folder / "s", *more) == 0
    return folder / "s"


def _evaluate(capsys, *words):
    capsys.readouterr()
    assert command_line.main(["evaluate", *map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def _value(result, metric, class_name=None):
    (row,) = (
        row
        for row in result["results"]
        if (row["metric"], row["class"]) == (metric, class_name)
    )
    return row


def _fails(capsys, words, message):
    capsys.readouterr()
    assert command_line.main(list(map(str, words))) == 1
    output = capsys.readouterr()
    assert message in output.err.splitlines()[-1], output.err
    assert not output.out


@pytest.mark.lengthy
def test_classes_are_learned_and_told(classifier, classes, folder, capsys):
    result = _evaluate(
        capsys, classifier, "--task", "classification", "--data", classes
    )
    accuracy = _value(result, "accuracy")
    assert accuracy["value"] >= 0.8 and accuracy["num_test"] == 8
    assert json.loads((classifier / "scores.json").read_text())["results"]
    out = folder / "classes_out"
    words = ["predict", classifier, classes, "--out", out]
    assert command_line.main(list(map(str, words))) == 0
    with (out / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows[:2]] == ["bright/0", "bright/1"]
    right = [row["path"].split("/")[0] == row["prediction"] for row in rows]
    assert np.mean(right) >= 0.8
    for row in rows:
        chances = {name: float(row[name]) for name in ("bright", "dark")}
        assert sum(chances.values()) == pytest.approx(1, abs=1e-5)
        assert row["prediction"] == max(chances, key=chances.get)


@pytest.mark.lengthy
def test_all_of_external_data_is_tested_and_nothing_written(
    classifier, folder, classes, capsys
):
    elsewhere = tiny_finetunes.bright_and_dark(folder / "elsewhere", 7, seed=5)
    before = sorted(path.stat().st_mtime_ns for path in classifier.rglob("*"))
    words = ("--task", "classification", "--external")
    result = _evaluate(capsys, classifier, *words, "--data", elsewhere)
    accuracy = _value(result, "accuracy")
    assert accuracy["num_test"] == 14 and accuracy["num_train"] == [18]
    assert accuracy["value"] >= 0.8 and accuracy["in_training"] is None
    assert sorted(path.stat().st_mtime_ns for path in classifier.rglob("*")) == before
    words = ["evaluate", classifier, *words, "--data"]
    _fails(capsys, [*words, classes], "leave --external out")
    (elsewhere / "dark").rename(elsewhere / "green")
    _fails(capsys, [*words, elsewhere], "bright, green, and the network tells")
    for path in (elsewhere / "green").iterdir():
        path.unlink()
    (elsewhere / "green").rmdir()
    result = _evaluate(capsys, *words[1:], elsewhere)
    assert _value(result, "accuracy")["num_test"] == 7
    assert _value(result, "auc")["value"] is None
    assert _value(result, "accuracy")["absent"] == ["dark"]


@pytest.mark.slow
def test_masks_are_learned_and_drawn_in_the_size_of_the_picture(
    segmenter, masks, folder, capsys
):
    words = (segmenter, "--task", "segmentation", "--data", masks)
    result = _evaluate(capsys, *words)
    dice = _value(result, "dice")
    assert dice["value"] > 0.6
    assert dice["leakage"] is None and dice["absent"] == []
    kept = (segmenter / "scores.json").read_bytes()
    official = _evaluate(capsys, *words, "--protocol", "official")
    assert _value(official, "dice")["value"] != dice["value"]
    assert (segmenter / "scores.json").read_bytes() == kept
    out = folder / "masks_out"
    new = tiny_finetunes.squares(folder / "new", 2, size=(50, 61), seed=9)
    (new / "images" / "0.png").write_bytes(b"no picture")
    words = ["predict", segmenter, new / "images", "--out", out, "--json"]
    capsys.readouterr()
    assert command_line.main(list(map(str, words))) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["predicted"] == 1
    (flaw,) = found["left_out"]
    assert "#0001" in flaw and "0.png" not in flaw
    mask = np.asarray(PIL.Image.open(out / "1.png"))
    assert mask.shape == (50, 61) and set(np.unique(mask)) <= {0, 255}
    truth = np.asarray(PIL.Image.open(new / "labels" / "1.png"))
    assert mask_metrics.dice(truth, mask, 255) > 0.4
    assert command_line.main(list(map(str, words))) == 0  # nothing is left to do
    assert json.loads(capsys.readouterr().out)["before"] == 1


@pytest.mark.lengthy
def test_a_run_that_was_stopped_goes_on_bit_for_bit(
    classifier, folder, classes, monkeypatch
):
    parts, train, calls = folder / "parts", training.train, itertools.count()

    def stop_once(run, should_stop):
        return train(run, should_stop=lambda: next(calls) == 7)

    with monkeypatch.context() as patch:
        patch.setattr(training, "train", stop_once)
        tiny_finetunes.finetune(folder, classes, parts, *LONGER)
    assert checkpoint.committed_steps(parts / "checkpoints")[-1] == 7
    assert tiny_finetunes.finetune(folder, classes, parts, *LONGER) == 0
    runs = (classifier, parts)
    saved = [checkpoint.read_extra(path / "checkpoints" / "12") for path in runs]
    assert saved[0]["digests"] == saved[1]["digests"]
    lines = [tiny_runs.timeless(writer.read(path / writer.FILE)) for path in runs]
    assert lines[0] == lines[1]


@pytest.mark.lengthy
def test_seeds_are_compared_pair_by_pair(classifier, classes, folder, capsys):
    other = folder / "c1"
    more = ("--train.fixed_steps=2", "--train.seed=1", "--data.labels=3")
    assert tiny_finetunes.finetune(folder, classes, other, *more) == 0
    words = ("--task", "classification", "--data", classes, "--baseline", other)
    result = _evaluate(capsys, classifier, other, *words)
    row = _value(result, "accuracy")
    alone = [
        _value(json.loads((path / "scores.json").read_text()), "accuracy")["value"]
        for path in (classifier, other)
    ]
    assert row["by_seed"] == alone
    assert row["value"] == pytest.approx(np.mean(alone))
    assert row["std"] == pytest.approx(np.std(alone, ddof=1))
    assert row["difference"]["value"] == pytest.approx(np.mean(alone) - alone[1])
    assert row["num_train"] == [18, 6]
    same = _evaluate(capsys, other, *words)
    assert set(_value(same, "auc")["difference"].values()) == {0.0}


@pytest.mark.lengthy
def test_the_best_checkpoint_is_used_and_damage_changes_no_metric(
    classifier, tmp_path, monkeypatch
):
    run, asked = tmp_path / "run", []
    shutil.copytree(classifier, run)
    assert checkpoint.committed_steps(run / "checkpoints") == [4, 8, 12]

    def best_step(folder, metric):
        asked.append(metric)
        return 8, 0.9

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "best_step", best_step)
        assert trained.load(str(run)).step == 8
        for path in (run / "checkpoints" / "12").rglob("*"):
            if path.is_file():
                path.write_bytes(b"damaged")
        assert trained.load(str(run)).step == 8
    assert asked == ["val_accuracy"] * 2
    monkeypatch.setattr(checkpoint, "best_step", lambda *_: None)
    assert trained.load(str(run)).step == 8  # the newest sound one


@pytest.mark.slow
def test_a_linear_probe_leaves_the_encoder_and_its_statistics(folder, classes):
    workdir = folder / "probe"
    more = ("--model.tuning=linear_probe", "--train.keep_last=9")
    assert tiny_finetunes.finetune(folder, classes, workdir, *more) == 0
    folder = workdir / "checkpoints"
    first, last = (
        checkpoint.read_extra(folder / str(step))["digests"]["model"] for step in (2, 4)
    )
    changed = {name for name in first if first[name] != last[name]}
    assert changed and all("head" in name for name in changed)
    frozen = [name for name in first if "batch_stats" in name]
    assert frozen and not set(frozen) & changed


def test_wrong_words_end_in_a_line(classifier, classes, masks, folder, capsys):
    config = tiny_finetunes.write_config(folder)
    base = ["finetune", config, "--init", folder / "resnet8.safetensors"]
    new = ["--workdir", folder / "never", "--splits", folder / "never.json"]
    for words, message in (
        (
            [*base, "--data", masks, *new[:2]],
            "has masks; model.task=classification takes",
        ),
        (
            [*base, "--data", classes, *new, "--model.head=unet"],
            "model.head='unet' must be one of linear, ordinal",
        ),
        (
            [*base, "--data", classes, *new, "--data.global_batch=12"],
            "data.global_batch=12 does not cut on 8 device(s): use a multiple of 8",
        ),
        (
            [*base, "--data", classes, *new, "--train.best_metric=val_dice"],
            "one of val_accuracy, val_balanced_accuracy, val_auc",
        ),
        (
            [*base[:2], "--init", "nowhere", "--data", classes, *new],
            "--init nowhere is no exported file",
        ),
        (
            ["finetune", "quickstart", "--init", "x", "--data", classes, *new],
            "get_config returned a Config, not a Finetune",
        ),
        (
            [*base, "--data", classes, "--workdir", classifier],
            "holds a run with another config (train.fixed_steps: 4, there 12",
        ),
        (
            ["evaluate", classifier, "--task", "segmentation", "--data", masks],
            "was trained for classification",
        ),
        (
            ["evaluate", classifier, "--task", "classification", "--data", masks],
            "has masks; model.task=classification takes",
        ),
        (["predict", folder, classes, "--out", folder / "o"], "no work folder of"),
    ):
        _fails(capsys, words, message)


@pytest.mark.parametrize(
    "words",
    [
        ["a", "b", "--task", "knn"],
        ["a", "--flips"],
        ["a", "--protocol", "official"],
        ["a", "--external"],
        ["a", "--task", "classification", "--seeds", "3"],
        ["a", "--task", "classification", "--few-labels"],
    ],
)
def test_options_of_another_task_are_a_usage_error(words, capsys):
    with pytest.raises(SystemExit) as stop:
        command_line.main(["evaluate", *words, "--data", "d"])
    assert stop.value.code == 2 and "--task" in capsys.readouterr().err
