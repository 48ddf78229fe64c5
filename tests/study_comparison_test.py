"""Variants beside each other, their tables and the page, on made-up runs."""

import csv
import json
import math
import re

import numpy as np
import pytest
import studies
from scipy import stats

from lvmmed_jax.study import comparison, jobs, record, running, sheet, tables


def _make(folder, value=studies.value_of, **changes):
    """A finished study, and study.json as the command writes it."""
    study = studies.make(folder, **changes)
    for name in study.evaluation.data:
        (folder / name).mkdir(exist_ok=True)
    shards = folder / "shards"
    shards.mkdir(exist_ok=True)
    whole = studies.actions()
    actions = whole._replace(evaluate=lambda job: studies.evaluate(job, value))
    assert running.run(study, folder, jobs.part(study, 0, 1), actions).failed == []
    content = record._content(study)
    (folder / record.FILE).write_text(json.dumps(content))
    return study


def _noise(job):
    """SimCLR is 0.1 better, but for what a seed does to both and to each."""
    own = np.random.default_rng([job.seed, len(job.variant)]).normal(0, 0.01)
    return 0.4 + 0.09 * job.seed + own + 0.1 * (job.variant == "simclr")


def test_differences_are_paired_over_seeds(tmp_path):
    _make(tmp_path, _noise, seeds=(0, 1, 2, 3))
    found = comparison.read(tmp_path)
    assert list(found.cells) == ["random", "matching", "simclr"]
    assert found.labels == [f"{name}, k-NN: kind (accuracy)" for name in found_names()]
    values = {
        name: [
            run.evaluation["results"][0]["pretrained"]["value"]
            for run in by_seed.values()
        ]
        for name, by_seed in found.variants.items()
    }
    cell = found.cells["simclr"][0]
    assert cell.spread.mean == pytest.approx(np.mean(values["simclr"]))
    assert cell.spread.sd == pytest.approx(np.std(values["simclr"], ddof=1))
    expected = stats.ttest_rel(values["simclr"], values["matching"])
    assert cell.paired.p == pytest.approx(expected.pvalue)
    # not paired, what a seed does to both would hide the difference
    assert stats.ttest_ind(values["simclr"], values["matching"]).pvalue > 0.2
    assert cell.paired.p < 0.01 and cell.is_clear
    assert found.cells["matching"][0].paired is None
    start = found.cells["random"][0]
    assert start.spread.mean == pytest.approx(0.515) and start.paired.value < 0


def found_names():
    return ("brain", "cells")


def test_the_start_is_a_baseline_and_each_has_its_own(tmp_path):
    _make(tmp_path)
    found = comparison.read(tmp_path, "random")
    for name in ("matching", "simclr"):
        cell = found.cells[name][0]
        own = [
            run.evaluation["results"][0]["difference"]["value"]
            for run in found.variants[name].values()
        ]
        assert cell.paired.value == pytest.approx(np.mean(own))
        assert cell.by_image.low < cell.paired.value < cell.by_image.high
    assert found.cells["random"][0].paired is None
    with pytest.raises(ValueError, match=r"'moco'; has random, matching, simclr"):
        comparison.read(tmp_path, "moco")


def test_other_encoders_have_another_start(tmp_path):
    study = _make(tmp_path)
    path = tmp_path / "runs" / "simclr-0" / "evaluation.json"
    content = json.loads(path.read_text())
    content["results"][0]["random"]["value"] = 0.4
    path.write_text(json.dumps(content))
    found = comparison.read(tmp_path)
    assert list(found.cells)[:2] == ["random (matching)", "random (simclr)"]
    assert study.seeds == (0, 1)


def test_starts_of_other_seeds_are_not_taken_for_one(tmp_path):
    _make(tmp_path)
    for name in ("matching-0", "simclr-1"):
        (tmp_path / "runs" / name / "evaluation.json").unlink()
    found = comparison.read(tmp_path)
    assert list(found.cells)[:2] == ["random (matching)", "random (simclr)"]


def test_a_study_under_way_is_compared_as_far_as_it_is(tmp_path):
    _make(tmp_path)
    for name in ("matching-0", "matching-1", "simclr-1"):
        (tmp_path / "runs" / name / "evaluation.json").unlink()
    (tmp_path / "runs" / "matching-1" / "diverged.json").write_text("{}")
    found = comparison.read(tmp_path)
    assert found.missing == ["matching-0", "matching-1 (diverged)", "simclr-1"]
    assert found.baseline == "random"  # none of the study's own is there
    cell = found.cells["simclr"][0]
    assert (cell.paired.count, cell.paired.high) == (1, math.inf)
    assert not cell.is_clear
    text = " ".join(tables.meaning(found))
    assert "One seed says nothing about another training" in text
    assert "Not finished: matching-0, matching-1 (diverged), simclr-1" in sheet.page(
        found
    )
    (tmp_path / "runs" / "simclr-0" / "evaluation.json").unlink()
    with pytest.raises(ValueError, match="no run of this study is finished"):
        comparison.read(tmp_path)


def test_without_values_of_images_only_seeds_speak(tmp_path):
    _make(tmp_path, _noise, seeds=(0, 1, 2, 3))
    for path in tmp_path.glob("runs/*/evaluation.npz"):
        path.unlink()
    cell = comparison.read(tmp_path).cells["simclr"][0]
    assert cell.by_image is None and cell.is_clear
    assert len(tables.difference(cell)) == 1


def test_tables_have_the_numbers(tmp_path):
    _make(tmp_path, _noise, seeds=(0, 1, 2, 3))
    found = comparison.read(tmp_path)
    markdown, table = tables.write(found)
    cell = found.cells["simclr"][0]
    lines = markdown.read_text().splitlines()
    assert len({line.count("|") for line in lines if line.startswith("|")}) == 1
    (line, *_) = [each for each in lines if each.startswith("| simclr |")]
    mean, sd = 100 * cell.spread.mean, 100 * cell.spread.sd
    assert f"| {mean:.1f} ± {sd:.1f} ▲ |" in line
    assert "2.48" not in lines[-1] and "1.59" in lines[-1]  # of four seeds
    with table.open() as file:
        rows = list(csv.DictReader(file))
    (row,) = [
        row for row in rows if (row["variant"], row["data"]) == ("simclr", "brain")
    ]
    assert float(row["difference"]) == pytest.approx(cell.paired.value)
    assert float(row["p"]) == pytest.approx(cell.paired.p)
    assert (row["seeds"], row["baseline"], row["clear"]) == ("4", "matching", "True")
    assert len(rows) == 3 * 2


def test_the_page_has_results_tuning_runs_and_curves(tmp_path):
    _make(tmp_path, tuning=studies.TUNING)
    text = sheet.page(comparison.read(tmp_path))
    heads = re.findall("<h2>(.*?)</h2>", text)
    assert heads == [
        "What came out",
        "What was chosen by short runs",
        "The runs",
        "Curves",
    ]
    assert "learning rate 0.006<small>at the edge</small>" in text
    assert "train.method=simclr" in text and "over time" in text
    assert "all variants saw the same images" in text
    assert "Retrieval accuracy" in text and "Embedding rank" in text
    assert text.count("<svg") > 6


def test_curves_of_a_variant_are_the_mean_of_its_seeds(tmp_path):
    from lvmmed_jax.report import curves

    _make(tmp_path)
    found = comparison.read(tmp_path)
    group = list(found.variants["matching"].values())
    points = curves._points(group, "retrieval_accuracy", "images", 100)
    np.testing.assert_allclose(points.across, [0, 96, 192])
    np.testing.assert_allclose(points.value, [0.05, 0.08, 0.11])
    np.testing.assert_allclose(points.low, [0.0, 0.03, 0.06])
    np.testing.assert_allclose(points.high, [0.1, 0.13, 0.16])
