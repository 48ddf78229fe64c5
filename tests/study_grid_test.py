"""What a study may be, and how the command line changes it."""

import dataclasses
import re

import pytest
import studies

from lvmmed_jax.study import grid, jobs


def test_overrides_are_of_all_runs(tmp_path):
    study = studies.make(tmp_path, overrides={"model.width": 4, "train.steps": 8})
    found = grid.override(study, {"train.steps": "5"})
    assert found.overrides == {"model.width": 4, "train.steps": "5"}
    assert dataclasses.replace(found, overrides=study.overrides) == study


@pytest.mark.parametrize(
    ("key", "who"),
    [
        ("train.method", "the study varies (simclr)"),
        ("optimizer.learning_rate", "the study varies (its tuning)"),
        ("train.seed", "--seeds"),
    ],
)
def test_what_the_study_varies_is_not_overridden(tmp_path, key, who):
    study = studies.make(tmp_path, tuning=studies.TUNING)
    with pytest.raises(ValueError, match=rf"{key}.*{re.escape(who)}"):
        grid.override(study, {key: "1"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"variants": {}}, "needs a variant"),
        ({"seeds": ()}, "and a seed"),
        ({"seeds": (1, 1)}, "twice"),
        ({"variants": {"a-1": {}}}, "variant 'a-1'"),
        ({"variants": {"random": {}}, "baseline": "random"}, "is not 'random'"),
        ({"variants": {"a": {"train.seed": 3}}, "baseline": "a"}, "has the seeds"),
        ({"baseline": "moco"}, "there are random, matching, simclr"),
        ({"evaluation": grid.Evaluation(())}, "needs data"),
        (
            {"tuning": grid.Tuning(grid.Evaluation(("brain",)))},
            "never on test images",
        ),
        (
            {"tuning": dataclasses.replace(studies.TUNING, factors=(1.0, 1.0))},
            "two factors",
        ),
        ({"tuning": dataclasses.replace(studies.TUNING, share=0.0)}, "share"),
        ({"tuning": dataclasses.replace(studies.TUNING, key="rate")}, "section.key"),
        ({"evaluation": grid.Evaluation(("a",), part="tests")}, "test or val"),
    ],
)
def test_a_study_that_cannot_be_is_refused(tmp_path, changes, message):
    study = studies.make(tmp_path, **changes)
    with pytest.raises(ValueError, match=re.escape(message)):
        jobs.check(study)


def test_the_random_start_is_a_baseline(tmp_path):
    grid.validate(studies.make(tmp_path, baseline=grid.RANDOM))
