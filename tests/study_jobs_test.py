"""Which runs a study has, in which part, and that all of a seed see the same images."""

import itertools

import numpy as np
import pytest
import studies
import tiny_runs

from data_pipelines import mixture
from lvmmed_jax import planning
from lvmmed_jax.study import jobs


@pytest.mark.parametrize("tuning", [None, studies.TUNING])
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_parts_are_the_study_and_share_nothing(tmp_path, tuning, count):
    variants = {name: {} for name in "abcd"}
    study = studies.make(
        tmp_path, variants=variants, baseline="a", seeds=(3, 4, 5), tuning=tuning
    )
    parts = [jobs.part(study, index, count) for index in range(count)]
    pairs = [pair for part in parts for pair in part.runs]
    assert sorted(pairs) == sorted(itertools.product(variants, (3, 4, 5)))
    tuned = [name for part in parts for name in part.tuned]
    assert sorted(tuned) == (list(variants) if tuning else [])
    for part in parts:
        if tuning:  # a variant is whole in a part
            assert {name for name, _ in part.runs} == set(part.tuned)
        seeds = [seed for _, seed in part.runs]
        assert seeds == sorted(seeds)
    if not tuning:
        sizes = [len(part.runs) for part in parts]
        assert max(sizes) - min(sizes) <= 1


def test_a_run_has_the_studys_settings_its_variants_and_its_seed(tmp_path):
    study = studies.make(tmp_path, overrides={"train.steps": 5, "model.width": 8})
    job = jobs.full(study, tmp_path, "simclr", 7, {"optimizer.learning_rate": 0.5})
    assert job.folder == tmp_path / "runs" / "simclr-7" and job.name == "runs/simclr-7"
    config = job.config
    assert (config.train.method, config.train.seed) == ("simclr", 7)
    assert (config.train.steps, config.model.width) == (5, 8)
    assert config.optimizer.learning_rate == 0.5
    assert job.evaluation == study.evaluation


def test_short_runs_are_as_many_for_each_variant(tmp_path):
    variants = {"a": {}, "b": {"optimizer.learning_rate": 0.1}}
    study = studies.make(
        tmp_path,
        variants=variants,
        baseline="a",
        tuning=studies.TUNING,
        overrides={"train.steps": 9},
    )
    found = {name: jobs.trials(study, tmp_path, name) for name in variants}
    assert list(found["a"]) == [0.0015, 0.003, 0.006]  # the config's is 0.003
    assert list(found["b"]) == [0.05, 0.1, 0.2]
    job = found["b"][0.2]
    assert job.folder == tmp_path / "tuning" / "b-0.2"
    assert (job.config.train.steps, job.config.train.seed) == (3, 100)
    assert job.config.optimizer.learning_rate == 0.2
    assert job.evaluation == studies.TUNING.evaluation


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"matching.sgma": 1.0}, "did you mean 'matching.sigma'"),
        ({"matching.alpha": 2.0}, "between 0 and 1"),
        ({"matching.alpha": "x"}, "not a float"),
    ],
)
def test_a_variant_that_cannot_be_is_named(tmp_path, own, message):
    study = studies.make(tmp_path, variants={"matching": {}, "wrong": own})
    with pytest.raises(ValueError, match=f"variant 'wrong': .*{message}"):
        jobs.check(study)
    jobs.check(studies.make(tmp_path, tuning=studies.TUNING))


def test_variants_with_other_batches_are_told_apart(tmp_path):
    variants = {
        "matching": {},
        "simclr": {"train.method": "simclr", "optimizer.learning_rate": 0.5},
        "other": {"data.global_batch": 64},
        "graphs": {"matching.graph_size": 8},
        "cut": {"matching.graph_size": 8, "model.width": 8},
    }
    groups = jobs.by_images(studies.make(tmp_path, variants=variants))
    assert groups == [["matching", "simclr"], ["other"], ["graphs", "cut"]]


def test_variants_of_one_group_see_the_same_images_in_the_same_order(tmp_path):
    """On shards: batches depend on the seed, not on what else a variant changes."""
    shards = tiny_runs.make_shards(tmp_path)
    variants = {
        "matching": {"model.width": 8},
        "simclr": {"train.method": "simclr", "optimizer.learning_rate": 0.5},
    }
    study = studies.make(tmp_path, variants=variants)
    assert len(jobs.by_images(study)) == 1

    def indices(variant, seed):
        config = jobs.full(study, tmp_path, variant, seed, {}).config
        batches = mixture.host_batches(
            shards,
            global_batch=config.data.global_batch,
            seed=config.train.seed,
            start=0,
            num_workers=0,
            mix=planning.mix(config),
        )
        found = np.stack([next(batches)["index"] for _ in range(3)])
        batches.close()
        return found

    np.testing.assert_array_equal(indices("matching", 0), indices("simclr", 0))
    assert np.any(indices("matching", 0) != indices("matching", 1))
