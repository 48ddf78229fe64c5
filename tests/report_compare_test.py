"""What differs between runs, and the comparison as JSON."""

import json
import pathlib

from work_folders import make_evaluation, make_run

from lvmmed_jax.report import compare


def test_only_fields_that_differ_are_listed():
    first = {"train": {"seed": 0, "steps": 9}, "views": {"size": 64, "area": [0.5, 1]}}
    second = {"train": {"seed": 1, "steps": 9}, "views": {"size": 64, "area": [0.1, 1]}}
    runs = [make_run([], config=one) for one in (first, second, first)]
    assert compare.config_differences(runs) == {
        "train.seed": [0, 1, 0],
        "views.area": [[0.5, 1], [0.1, 1], [0.5, 1]],
    }
    assert compare.config_differences([runs[0], runs[2]]) == {}


def test_field_that_an_older_config_lacks_is_absent():
    old, new = {"model": {"width": 8}}, {"model": {"width": 8, "skip": None}}
    runs = [make_run([], config=one) for one in (old, new)]
    found = compare.config_differences(runs)
    assert found == {"model.skip": ["absent", None]}
    assert compare.config_differences(runs[::-1]) == {"model.skip": [None, "absent"]}


def test_run_without_a_config_makes_no_difference():
    config = {"train": {"seed": 0}}
    runs = [make_run([], config=one) for one in ({}, config, config)]
    assert compare.config_differences(runs) == {}
    runs.append(make_run([], config={"train": {"seed": 1}}))
    found = compare.config_differences(runs)
    assert found == {"train.seed": ["absent", 0, 0, 1]}


def test_facts_of_data_devices_versions_and_evaluation_are_compared():
    about = {"devices": "8 x cpu", "versions": {"jax": "0.10"}, "data": {"records": 9}}
    other = {"devices": "1 x gpu", "versions": {"jax": "0.12"}, "data": {"records": 8}}
    evaluation = make_evaluation()
    runs = [
        make_run([], about={**about, "command": "a"}, evaluation=evaluation),
        make_run([], about={**other, "command": "b"}, evaluation=None),
        make_run(
            [], about=other, evaluation={**evaluation, "seconds": 1, "part": "val"}
        ),
    ]
    assert compare.run_differences(runs) == {
        "run.data.records": [9, 8, 8],
        "run.devices": ["8 x cpu", "1 x gpu", "1 x gpu"],
        "run.versions.jax": ["0.10", "0.12", "0.12"],
        "evaluation.part": ["absent", "absent", "val"],
    }


def test_summary_is_json_with_a_place_for_every_run():
    evaluation = make_evaluation()
    evaluation["results"] = evaluation["results"][:1]
    better = json.loads(json.dumps(evaluation))
    better["results"][0]["pretrained"] = {"value": 0.95, "low": 0.93, "high": 0.97}
    runs = [
        make_run([], "a", evaluation=evaluation),
        make_run([], "b", evaluation=None),
        make_run([], "c", evaluation=better),
    ]
    summary = json.loads(json.dumps(compare.summary(runs)))
    assert set(summary) == {"config_differences", "run_differences", "evaluation"}
    (row,) = summary["evaluation"]
    names = ("data", "part", "task", "target", "class", "metric")
    assert [row[name] for name in names] == [
        "shards",
        "test",
        "knn",
        "plane",
        None,
        "accuracy",
    ]
    assert [bool(result) for result in row["results"]] == [True, False, True]
    assert row["results"][2]["pretrained"]["value"] == 0.95
    assert row["results"][0]["num_test"] == 225
    assert row["highest"] == str(pathlib.Path("c"))
