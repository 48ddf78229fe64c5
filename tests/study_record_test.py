"""study.json: what is kept of earlier calls, and what is refused."""

import json

import pytest
import studies
import tiny_runs

from lvmmed_jax.study import record


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return tiny_runs.make_shards(tmp_path_factory.mktemp("one"))


def _labelled(folder):
    for name in ("brain", "cells"):
        (folder / name).mkdir(exist_ok=True)
    return folder


def test_more_variants_and_seeds_are_added(tmp_path, shards):
    inputs = record.Inputs(shards, None, _labelled(tmp_path))
    workdir = tmp_path / "study"
    record.write(studies.make(tmp_path), workdir, inputs)
    more = {"matching": {}, "narrow": {"model.width": 2}}
    other = studies.make(tmp_path, variants=more, seeds=(1, 2))
    whole = record.write(other, workdir, inputs)
    assert list(whole.variants) == ["matching", "simclr", "narrow"]
    assert whole.seeds == (0, 1, 2)
    found = json.loads((workdir / record.FILE).read_text())
    assert list(found["variants"]) == ["matching", "simclr", "narrow"]
    assert found["seeds"] == [0, 1, 2] and found["baseline"] == "matching"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"overrides": {"train.steps": 8}}, "train.steps: 8, there unset"),
        ({"tuning": studies.TUNING}, "tuning"),
        ({"variants": {"matching": {"model.width": 2}}}, "variant matching"),
    ],
)
def test_other_settings_are_refused_and_change_nothing(
    tmp_path, shards, changes, named
):
    inputs = record.Inputs(shards, None, _labelled(tmp_path))
    workdir = tmp_path / "study"
    record.write(studies.make(tmp_path), workdir, inputs)
    before = (workdir / record.FILE).read_bytes()
    with pytest.raises(ValueError, match=rf"other settings \({named}\)"):
        record.write(studies.make(tmp_path, **changes), workdir, inputs)
    assert (workdir / record.FILE).read_bytes() == before


def test_other_shards_are_refused(tmp_path, shards):
    labelled, workdir = _labelled(tmp_path), tmp_path / "study"
    study = studies.make(tmp_path)
    record.write(study, workdir, record.Inputs(shards, None, labelled))
    others = tiny_runs.make_shards(tmp_path / "other", seed=1)
    for flag, inputs in {
        "--data": record.Inputs(others, None, labelled),
        "--held-out": record.Inputs(shards, others, labelled),
    }.items():
        with pytest.raises(ValueError, match=f"other shards than {flag} names"):
            record.write(study, workdir, inputs)


def test_what_is_not_there_is_named_before_anything_runs(tmp_path, shards):
    study, workdir = studies.make(tmp_path), tmp_path / "study"
    with pytest.raises(FileNotFoundError, match="no brain in --labelled"):
        record.write(study, workdir, record.Inputs(shards, None, None))
    nothing = record.Inputs(tmp_path / "none", None, _labelled(tmp_path))
    with pytest.raises(FileNotFoundError, match="none"):
        record.write(study, workdir, nothing)
    assert not workdir.exists()


def test_data_sets_lie_below_the_labelled_folder(tmp_path):
    inputs = record.Inputs(tmp_path, None, _labelled(tmp_path))
    assert inputs.place("packaged:mni") == "packaged:mni"
    assert inputs.place("brain") == str(tmp_path / "brain")
    with pytest.raises(FileNotFoundError, match=r"no heart in .*\(--labelled\)"):
        inputs.place("heart")


def test_every_data_set_of_a_study_is_looked_for(tmp_path, shards):
    study = studies.make(tmp_path, knn_data="lungs")
    assert study.labelled == ["brain", "cells", "lungs"]
    inputs = record.Inputs(shards, None, _labelled(tmp_path))
    with pytest.raises(FileNotFoundError, match="no lungs"):
        record.write(study, tmp_path / "study", inputs)
