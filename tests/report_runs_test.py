"""Work folders read back: names, damage, dotted names."""

import re

import pytest
from metric_lines import make_metrics
from work_folders import write_metrics

from lvmmed_jax.report import runs


def test_line_cut_in_half_is_left_out_and_counted(tmp_path):
    workdir = write_metrics(tmp_path / "run", make_metrics())
    with (workdir / "metrics.jsonl").open("a") as file:
        file.write('{"step": 305, "lo')
    (run,) = runs.read([workdir])
    assert run.num_unreadable == 1 and len(run.metrics) == 61


def test_missing_optional_files_are_empty(tmp_path):
    (run,) = runs.read([write_metrics(tmp_path / "run", [])])
    assert run.config == run.about == run.training_pictures == {}
    assert run.evaluation is None and run.evaluation_pictures == {}


def test_runs_of_one_name_are_told_apart_by_their_paths(tmp_path):
    paths = [tmp_path / "a" / "run", tmp_path / "b" / "run"]
    all_runs = runs.read([write_metrics(path, make_metrics()) for path in paths])
    assert [run.name for run in all_runs] == [str(path) for path in paths]


@pytest.mark.parametrize("name", ["config.json", "run.json", "evaluation.json"])
@pytest.mark.parametrize("content", ["{", "[1]"])
def test_damaged_json_is_named(tmp_path, name, content):
    workdir = write_metrics(tmp_path / "run", make_metrics())
    (workdir / name).write_text(content)
    with pytest.raises(ValueError, match=re.escape(str(workdir / name))):
        runs.read([workdir])


def test_result_without_its_keys_is_named(tmp_path):
    workdir = write_metrics(tmp_path / "run", make_metrics())
    (workdir / "evaluation.json").write_text('{"results": [{"task": "knn"}]}')
    with pytest.raises(ValueError, match="result 0 lacks target, metric, random"):
        runs.read([workdir])


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"no archive"])
def test_damaged_pictures_are_named(tmp_path, content):
    workdir = write_metrics(tmp_path / "run", make_metrics())
    (workdir / "pictures").mkdir()
    (workdir / "pictures" / "pretrain.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"pretrain\.npz is damaged"):
        runs.read([workdir])


def test_flatten_gives_dotted_names():
    nested = {"a": {"b": {"c": 1}, "d": [2]}, "e": None}
    assert runs.flatten(nested) == {"a.b.c": 1, "a.d": [2], "e": None}
