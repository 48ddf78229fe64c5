"""The examples run, and do what they say."""

import pathlib
import runpy

import jax
import matplotlib
import pytest

FOLDER = pathlib.Path(__file__).parents[1] / "examples"


@pytest.fixture(autouse=True)
def as_a_user_runs_it():
    with jax.numpy_rank_promotion("allow"):
        yield


@pytest.mark.lengthy
def test_keypoint_matching_learns(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        matplotlib, "rcParams", matplotlib.rcParams | {"backend": "agg"}
    )
    example = runpy.run_path(str(FOLDER / "keypoint_matching.py"))
    before, after = example["train"](num_steps=12)
    right = [float(example["test"](weights)[2]) for weights in (before, after)]
    assert right[1] > right[0] + 0.1
    assert "right" in capsys.readouterr().out
    example["draw"](tmp_path / "picture.png", {"before": before, "after": after})
    assert (tmp_path / "picture.png").stat().st_size > 5000


@pytest.mark.slow
def test_keypoint_matching_as_its_text_says():
    example = runpy.run_path(str(FOLDER / "keypoint_matching.py"))
    _, after = example["train"](num_steps=301)
    assert float(example["test"](after)[2]) > 0.9
