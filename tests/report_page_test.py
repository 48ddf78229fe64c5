"""The page on made-up work folders: what it says, draws and escapes."""

import json
import re

import numpy as np
import pytest
from metric_lines import make_metrics
from work_folders import (
    make_evaluation,
    make_evaluation_pictures,
    make_training_pictures,
    make_workdir,
    write_metrics,
)

from lvmmed_jax.report import page, panels, runs

SECTIONS = (
    "Numbers",
    "Curves",
    "Two views and their matched cells",
    "Affinity of two views of 16 images",
    "Does pre-training help?",
    "Tissue found by the frozen encoders",
    "The data",
    "Configuration and environment",
)


def page_of(*workdirs):
    return page.page(runs.read(workdirs))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    workdir = make_workdir(tmp_path_factory.mktemp("runs") / "whole")
    lines = [
        {**line, "knn_accuracy": 0.7} if "matching_accuracy" in line else line
        for line in make_metrics()
    ]
    return write_metrics(workdir, lines)


@pytest.fixture(scope="module")
def whole_page(whole):
    return page_of(whole)


@pytest.fixture(scope="module")
def compared_page(whole):
    """Of the whole run and a short one with another config, devices and seed."""
    other = make_workdir(whole.parent / "other", seed=1)
    write_metrics(other, make_metrics(num_steps=50))
    config = {"train": {"num_steps": 300, "seed": 1}, "matching": {}}
    (other / "config.json").write_text(json.dumps(config))
    about = json.loads((whole / "run.json").read_text()) | {"devices": "4 x gpu"}
    (other / "run.json").write_text(json.dumps(about))
    return page_of(whole, other)


def test_page_has_every_section_in_order(whole_page):
    heads = re.findall(r"<h2>(.*?)</h2>", whole_page)
    assert tuple(heads) == SECTIONS
    assert "No pictures" not in whole_page


def test_page_says_what_ran_and_who_is_higher(whole_page):
    assert (
        "It trained for 300 steps on 900 records (MR 430, CT 470, files skipped: 61) "
        "and saw 19,200 images in 1 min 42 s on 8 x cpu." in whole_page
    )
    assert (
        "clearly higher on 2 of 4 measures and clearly lower on 1; on 1 " in whole_page
    )
    assert "pretrained 0.810, random 0.720, difference +0.090 [+0.050, +0.130]" in (
        whole_page
    )
    assert "✓ healthy" in whole_page


def test_page_draws_every_panel(whole_page):
    for panel in panels.PANELS:
        assert f'aria-label="{panel.title}"' in whole_page
    assert whole_page.count('aria-label="Matched cells"') == 8
    assert re.findall(r"(\d+) of 16 are right", whole_page) == ["12"]


def test_page_is_self_contained_and_small(whole_page):
    links = re.findall(r"""(?:src|href)="([^"]*)""", whole_page)
    assert len(links) > 40 and all(
        link.startswith(("data:image/png", "#")) for link in links
    )
    assert "url(http" not in whole_page and "@import" not in whole_page
    assert len(whole_page) < 3e6


def test_same_run_gives_the_same_page(whole, whole_page):
    assert page_of(whole) == whole_page


def test_line_cut_in_half_is_told(tmp_path):
    workdir = write_metrics(tmp_path / "run", [])
    with (workdir / "metrics.jsonl").open("a") as file:
        file.write('{"step": 305, "lo')
    (run,) = runs.read([workdir])
    assert "run: 1 damaged lines were left out" in page.page([run])


def test_missing_optional_files_are_named(tmp_path):
    text = page_of(write_metrics(tmp_path / "run", []))
    assert tuple(re.findall(r"<h2>(.*?)</h2>", text)) == SECTIONS
    assert text.count("pictures/pretrain.npz is not there") == 3
    assert text.count("pictures/evaluation.npz is not there") == 1
    assert f"lvmmed evaluate {tmp_path / 'run'} --data SHARDS" in text


def test_run_without_any_line_still_gives_a_page(tmp_path):
    text = page_of(write_metrics(tmp_path / "run", []))
    assert "too short to tell" in text and "It trained for – steps" in text


def test_nothing_that_was_read_becomes_markup(tmp_path):
    evil = "<script>alert('$x_1$')</script>\"&"
    workdir = make_workdir(tmp_path / "<b>_$run$")
    (workdir / "config.json").write_text(json.dumps({evil: {evil: evil}}))
    about = {"devices": evil, "versions": {evil: evil}, "command": evil}
    about["data"] = {"records": 1, "modalities": {evil: evil}}
    (workdir / "run.json").write_text(json.dumps(about))
    evaluation = make_evaluation() | {"model": evil, "data": evil}
    evaluation["results"][0] |= {"task": evil, "target": evil, "class": evil}
    (workdir / "evaluation.json").write_text(json.dumps(evaluation))
    arrays = make_training_pictures(np.random.default_rng(0))
    arrays["contact_modality"] = np.array([evil] * 24)
    np.savez(workdir / "pictures" / "pretrain.npz", **arrays)
    arrays = make_evaluation_pictures(np.random.default_rng(0))
    arrays["class_names"] = np.array(["background", evil, evil])
    np.savez(workdir / "pictures" / "evaluation.npz", **arrays)
    other = make_workdir(tmp_path / "<b>_$other$")
    for path in (workdir, other):  # few charts
        write_metrics(path, [{"step": 1, "images": 64, "seconds": 1.0, "loss": 2.0}])
    text = page_of(workdir, other)
    assert "<script" not in text and "<b>" not in text
    assert text.count("&lt;script&gt;") > 10


def test_several_runs_stand_side_by_side(compared_page):
    heads = re.findall(r"<h2>(.*?)</h2>", compared_page)
    assert tuple(heads) == ("What differs", *SECTIONS)
    assert '<th scope="col">whole</th><th scope="col">other</th>' in compared_page
    assert "✓ healthy</span> whole:" in compared_page
    assert "? too short to tell</span> other:" in compared_page
    assert "The pictures are those of whole." in compared_page


def test_differences_of_settings_and_facts_are_listed(compared_page):
    assert '<th scope="row">train.seed</th><td>0</td><td>1</td>' in compared_page
    row = '<th scope="row">run.devices</th><td>8 x cpu</td><td>4 x gpu</td>'
    assert row in compared_page
    assert '<th scope="row">matching.sigma</th><td>1.0</td><td>absent</td>' in (
        compared_page
    )
    section = compared_page.split("<h2>")[1]
    assert "train.num_steps" not in section and "run.parameters" not in section


def test_several_runs_share_charts_that_a_key_explains(compared_page):
    for over in ("images seen", "steps", "time"):
        for title in ("Loss, without noise", "Loss, with noise", "Embedding rank"):
            assert compared_page.count(f'aria-label="{title} over {over}"') == 1
    keys = re.findall(
        r'aria-label="(line \d)".*?</svg>\s*(\w+)</span>', compared_page, re.S
    )
    assert keys == [("line 1", "whole"), ("line 2", "other")]
    assert re.findall(r"<label[^>]*>(.*?)</label>", compared_page) == [
        "over images seen",
        "over steps",
        "over time",
    ]
    assert len(compared_page) < 3e6


def test_runs_with_the_same_files_do_not_differ(tmp_path):
    paths = [write_metrics(tmp_path / name, []) for name in "ab"]
    for path in paths:
        (path / "config.json").write_text('{"train": {"seed": 0}}')
    text = page_of(*paths)
    assert "The runs have the same settings, data and devices." in text
    assert "a: run.json is not there, so it is not compared." in text
    assert "config.json is not there" not in text


def test_diverged_run_is_drawn(tmp_path):
    lines = make_metrics()
    lines[30]["loss"], lines[40]["loss"] = float("nan"), float("inf")
    text = page_of(write_metrics(tmp_path / "run", lines))
    assert "✗ not healthy" in text
    assert "run: diverged: loss is not finite at step 150." in text


def test_write_replaces_the_page_and_leaves_nothing_else(tmp_path):
    workdir = write_metrics(tmp_path / "run", [])
    path = tmp_path / "new" / "page.html"
    for _ in range(2):
        page.write(page_of(workdir), path)
    assert [entry.name for entry in path.parent.iterdir()] == ["page.html"]
    assert path.read_text().startswith("<!doctype html>")


def test_page_that_cannot_be_written_leaves_nothing(tmp_path):
    workdir = write_metrics(tmp_path / "run", [])
    path = tmp_path / "new" / "page.html"
    path.mkdir(parents=True)
    with pytest.raises(OSError):
        page.write(page_of(workdir), path)
    assert list(path.parent.iterdir()) == [path]
