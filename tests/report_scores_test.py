import json

import numpy as np
import pytest
import work_folders

from lvmmed_jax.report import page, runs, scores


def _row(metric, value, **more):
    row = {
        "metric": metric,
        "class": None,
        "unit": None,
        "protocol": "own",
        "value": value,
        "low": None if value is None else value - 0.1,
        "high": None if value is None else value + 0.1,
        "undefined": 0,
        "absent": [],
        "num_train": [12],
        "num_test": 6,
        "num_groups": 5,
        "leakage": None,
    }
    return {**row, **more}


def _workdir(folder, masks=True):
    lines = [
        {"step": 0, "images": 0, "seconds": 1.0, "val_dice": 0.1},
        {"step": 2, "images": 16, "seconds": 2.0, "loss": 1.5, "learning_rate": 0.1},
        {"step": 2, "images": 16, "seconds": 2.5, "val_dice": 0.7},
    ]
    work_folders.write_metrics(folder, lines)
    results = [
        _row("dice", 0.8, absent=["gland"]),
        _row("hd95", None, unit="pixels", undefined=6),
        _row("dice", 0.7, **{"class": "<liver>"}),
    ]
    told = {"results": results, "steps": [2], "part": "test", "data": "my/data"}
    (folder / "scores.json").write_text(json.dumps(told))
    (folder / "run.json").write_text(json.dumps({"kind": "finetune"}))
    (folder / "config.json").write_text('{"model": {"task": "segmentation"}}')
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, (2, 32, 32)).astype(np.int32)
    words = np.array(["a", "b"])
    (folder / "pictures").mkdir()
    np.savez(
        folder / "pictures" / "cases.npz",
        image=rng.integers(0, 255, (2, 32, 32, 3), np.uint8),
        inner=np.array([[32, 20], [16, 32]]),
        kind=np.array(["best", "worst"]),
        score=np.array([0.9, 0.1]),
        truth=truth if masks else words,
        prediction=truth if masks else words[::-1],
        class_names=np.array(["background", "liver"]),
    )
    return folder


@pytest.mark.parametrize("masks", [True, False])
def test_the_page_tells_scores_and_cases(tmp_path, masks):
    found = runs.read([_workdir(tmp_path / "r", masks)])
    text = page.page(found)
    for words in (
        "Fine-tuning run r",
        "0.800 [0.700, 0.900]",
        "absent: gland",
        "undefined for 6 images",
        "dice, &lt;liver&gt;",
        "hd95 (pixels)",
        "not looked for (evaluate --against SHARDS)",
        "best, 0.900",
        "Dice" if masks else "called b",
    ):
        assert words in text, words
    assert "healthy" not in text and "matching" not in text.lower()


def test_a_run_that_was_not_tested_says_how(tmp_path):
    folder = _workdir(tmp_path / "r")
    (folder / "scores.json").unlink()
    (folder / "pictures" / "cases.npz").unlink()
    (run,) = runs.read([folder])
    told = scores.section([run])
    assert f"lvmmed evaluate {folder} --task segmentation --data DATA" in told
    assert "not evaluated" in scores.cases(run)


def test_several_runs_stand_side_by_side(tmp_path):
    found = runs.read([_workdir(tmp_path / "a"), _workdir(tmp_path / "b")])
    text = page.page(found)
    assert "Fine-tuning runs a, b" in text and text.count("0.800 [0.700, 0.900]") == 2


def test_runs_of_two_kinds_are_not_compared(tmp_path):
    other = work_folders.make_workdir(tmp_path / "pretrained")
    with pytest.raises(ValueError, match="report on them apart"):
        runs.read([_workdir(tmp_path / "a"), other])


def test_scores_without_results_are_refused(tmp_path):
    folder = _workdir(tmp_path / "r")
    (folder / "scores.json").write_text('{"results": []}')
    with pytest.raises(ValueError, match="has no results"):
        runs.read([folder])
