"""The report on made-up work folders: what it reads, says, draws and escapes."""

import json
import pathlib
import re

import numpy as np
import pytest
from metric_lines import make_metrics

from lvmmed_jax import report, report_figures, report_page

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


def make_result(task, value, difference, class_name=None):
    def around(centre, half):
        return {"value": centre, "low": centre - half, "high": centre + half}

    return {
        "task": task,
        "target": "plane" if class_name is None else "tissue",
        "metric": "accuracy" if class_name is None else "dice",
        "class": class_name,
        "num_train": 675,
        "num_test": 225,
        "random": around(value, 0.05),
        "pretrained": around(value + difference, 0.045),
        "difference": around(difference, 0.04),
    }


def make_evaluation():
    return {
        "model": "runs/quickstart",
        "data": "shards",
        "input_size": 64,
        "seconds": 12.5,
        "results": [
            make_result("knn", 0.72, 0.09),
            make_result("linear_probe", 0.74, 0.02),
            make_result("linear_probe", 0.61, -0.06, "grey matter"),
            make_result("linear_probe", 0.66, 0.08, "white matter"),
        ],
    }


def blobs(rng, count, side):
    """Smooth grey images, so that a person sees where the pictures are."""
    grid = np.linspace(-1, 1, side)
    row, column = np.meshgrid(grid, grid, indexing="ij")
    image = np.zeros((count, side, side))
    for _ in range(6):
        y, x, width = rng.uniform(-0.7, 0.7, (3, count, 1, 1))
        width = 0.1 + width**2
        image += np.exp(-((row - y) ** 2 + (column - x) ** 2) / width)
    return (255 * image / image.max(axis=(1, 2), keepdims=True)).astype(np.uint8)


def make_training_pictures(rng):
    side, grid, cells = 64, 4, 16
    views = np.stack([blobs(rng, 8, side)] * 2, axis=1)
    views[:, 1] = np.roll(views[:, 1], 8, axis=-1)
    centres = (np.arange(grid) + 0.5) / grid
    locations = np.stack(np.meshgrid(centres, centres, indexing="ij"), axis=-1)
    locations = np.broadcast_to(locations, (8, 2, grid, grid, 2))
    order = np.argsort(rng.random((8, cells)), axis=1)[:, :10]
    affinity = rng.normal(0.1, 0.15, (16, 16)) + 0.5 * np.eye(16)
    found = np.eye(16, dtype=int)[[1, 0, 2, 4, 3, *range(5, 16)]]
    return {
        "contact": np.repeat(blobs(rng, 24, side)[..., None], 3, axis=-1),
        "contact_modality": np.array(["MR", "CT", "US", "XR"] * 6),
        "views": np.repeat(views[..., None], 3, axis=-1),
        "locations": locations,
        "matches_location": np.stack([order, order], axis=-1),
        "matches_feature": np.stack([order, order[:, ::-1]], axis=-1),
        "vertex_affinity": affinity,
        "matching": found,
    }


def make_evaluation_pictures(rng):
    images = blobs(rng, 3, 72)
    images[:, 60:] = 0  # padding below
    truth = np.digitize(images, [90, 170])
    return {
        "images": images,
        "truth": truth,
        "random": np.where(rng.random(truth.shape) < 0.3, 0, truth),
        "pretrained": np.where(rng.random(truth.shape) < 0.1, 0, truth),
        "class_names": np.array(["background", "grey matter", "white matter"]),
    }


def write_metrics(workdir, lines):
    workdir.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    (workdir / "metrics.jsonl").write_text(text)
    return workdir


def make_workdir(workdir, seed=0):
    """A whole work folder, every optional file in it."""
    rng = np.random.default_rng(seed)
    write_metrics(workdir, make_metrics(seed=seed))
    about = {
        "versions": {"jax": "0.10.2", "flax": "0.12.8"},
        "devices": "8 x cpu",
        "data": {"records": 900, "modalities": {"MR": 430, "CT": 470}, "skipped": 61},
        "parameters": 700000,
        "command": "python run.py pretrain quickstart --data shards",
    }
    config = {"train": {"num_steps": 300, "seed": seed}, "matching": {"sigma": 1.0}}
    for name, content in (
        ("config", config),
        ("run", about),
        ("evaluation", make_evaluation()),
    ):
        (workdir / f"{name}.json").write_text(json.dumps(content))
    (workdir / "pictures").mkdir()
    np.savez(workdir / "pictures" / "pretrain.npz", **make_training_pictures(rng))
    np.savez(workdir / "pictures" / "evaluation.npz", **make_evaluation_pictures(rng))
    return workdir


def page_of(*workdirs):
    return report_page.page(report.read_runs(workdirs))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return make_workdir(tmp_path_factory.mktemp("runs") / "whole")


@pytest.fixture(scope="module")
def whole_page(whole):
    return page_of(whole)


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
    for panel in report_figures.PANELS:
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


def test_line_cut_in_half_is_left_out_and_told(tmp_path):
    workdir = write_metrics(tmp_path / "run", make_metrics())
    with (workdir / "metrics.jsonl").open("a") as file:
        file.write('{"step": 305, "lo')
    (run,) = report.read_runs([workdir])
    assert run.num_unreadable == 1 and len(run.metrics) == 61
    assert "run: 1 damaged lines were left out" in report_page.page([run])


def test_missing_optional_files_are_named(tmp_path):
    text = page_of(write_metrics(tmp_path / "run", make_metrics()))
    assert tuple(re.findall(r"<h2>(.*?)</h2>", text)) == SECTIONS
    assert text.count("pictures/pretrain.npz is not there") == 3
    assert text.count("pictures/evaluation.npz is not there") == 1
    assert f"lvmmed evaluate {tmp_path / 'run'} --data SHARDS" in text


def test_run_without_any_line_still_gives_a_page(tmp_path):
    text = page_of(write_metrics(tmp_path / "run", []))
    assert "too short to tell" in text and "It trained for – steps" in text


def test_nothing_that_was_read_becomes_markup(whole, tmp_path):
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
    text = page_of(workdir, whole)
    assert "<script" not in text and "<b>" not in text
    assert text.count("&lt;script&gt;") > 10


def test_several_runs_share_axes_and_stand_side_by_side(whole, tmp_path):
    other = make_workdir(tmp_path / "other", seed=1)
    text = page_of(whole, other)
    assert "<td>whole</td>" not in text
    assert '<th scope="col">whole</th><th scope="col">other</th>' in text
    keys = re.findall(r"var\(--series-(\d)\)\"></span>(\w+)</span>", text)
    assert keys == [("0", "whole"), ("1", "other")]
    assert '<th scope="row">train.seed</th><td>0</td><td>1</td>' in text
    assert "matching.sigma" not in text
    assert text.count('aria-label="Loss"') == 1
    assert "The pictures are those of whole." in text


def test_runs_of_one_name_are_told_apart_by_their_paths(tmp_path):
    paths = [tmp_path / "a" / "run", tmp_path / "b" / "run"]
    runs = report.read_runs([write_metrics(path, make_metrics()) for path in paths])
    assert [run.name for run in runs] == [str(path) for path in paths]


def test_diverged_run_is_drawn(tmp_path):
    lines = make_metrics()
    lines[30]["loss"], lines[40]["loss"] = float("nan"), float("inf")
    text = page_of(write_metrics(tmp_path / "run", lines))
    assert "✗ not healthy" in text
    assert "run: diverged: loss is not finite at step 150." in text


@pytest.mark.parametrize("name", ["config.json", "run.json", "evaluation.json"])
@pytest.mark.parametrize("content", ["{", "[1]"])
def test_damaged_json_is_named(tmp_path, name, content):
    workdir = write_metrics(tmp_path / "run", make_metrics())
    (workdir / name).write_text(content)
    with pytest.raises(ValueError, match=re.escape(str(workdir / name))):
        report.read_runs([workdir])


def test_result_without_its_keys_is_named(tmp_path):
    workdir = write_metrics(tmp_path / "run", make_metrics())
    (workdir / "evaluation.json").write_text('{"results": [{"task": "knn"}]}')
    with pytest.raises(ValueError, match="result 0 lacks target, metric, random"):
        report.read_runs([workdir])


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"no archive"])
def test_damaged_pictures_are_named(tmp_path, content):
    workdir = write_metrics(tmp_path / "run", make_metrics())
    (workdir / "pictures").mkdir()
    (workdir / "pictures" / "pretrain.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"pretrain\.npz is damaged"):
        report.read_runs([workdir])


def test_write_replaces_the_page_and_leaves_nothing_else(whole, tmp_path):
    path = tmp_path / "new" / "page.html"
    for _ in range(2):
        report_page.write(report.read_runs([whole]), path)
    assert [entry.name for entry in path.parent.iterdir()] == ["page.html"]
    assert path.read_text().startswith("<!doctype html>")


def test_page_that_cannot_be_written_leaves_nothing(whole, tmp_path):
    path = tmp_path / "page.html"
    path.mkdir()
    with pytest.raises(OSError):
        report_page.write(report.read_runs([whole]), path)
    assert list(tmp_path.iterdir()) == [path]


def test_label_is_no_formula():
    assert "$a_{$" in report_figures.intervals(["$a_{$"], [make_result("knn", 0.5, 0)])


def test_long_curves_are_thinned():
    values = np.random.default_rng(0).random(20_000)
    lines = [{"step": step, "loss": value} for step, value in enumerate(values)]
    run = report.Run("run", pathlib.Path(), tuple(lines), 0, {}, {}, None, {}, {})
    (loss, *_) = report_figures.PANELS
    assert len(report_figures.curves([run], loss)) < 40_000


def test_large_pictures_are_made_small(tmp_path):
    workdir = make_workdir(tmp_path / "large")
    rng = np.random.default_rng(0)
    images = blobs(rng, 20, 512) // 2 + rng.integers(0, 9, (20, 512, 512), np.uint8)
    masks = dict.fromkeys(("truth", "random", "pretrained"), images // 64)
    names = np.array(["background", "a", "b"])
    path = workdir / "pictures" / "evaluation.npz"
    np.savez(path, images=images, class_names=names, **masks)
    text = page_of(workdir)
    assert len(text) < 3e6
    assert text.count('alt="truth"') == 8


def test_shrink_is_the_mean_of_blocks():
    image = np.arange(16, dtype=np.uint8).reshape(4, 4)
    np.testing.assert_array_equal(report_figures.shrink(image, 2), [[2, 4], [10, 12]])
    np.testing.assert_array_equal(report_figures.shrink(image, 4), image)


def test_overlay_tints_classes_only():
    image = np.full((1, 3), 100, np.uint8)
    tinted = report_figures.overlay(image, np.array([[0, 1, 2]]))
    np.testing.assert_array_equal(tinted[0, 0], [100, 100, 100])
    expected = [0.45 * 100 + 0.55 * c for c in report_figures.CLASS_COLOURS[0]]
    np.testing.assert_array_equal(tinted[0, 1], np.floor(expected))
    assert (tinted[0, 2] != tinted[0, 1]).any()
