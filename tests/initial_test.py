"""`pretrain --init`: where a run begins, what it refuses, and what it keeps of it."""

import json
import re

import jax
import numpy as np
import pytest
import tiny_runs

from lvmmed_jax import command_line, config, config_files, encoders, initial, planning
from lvmmed_jax.weights import exported

pytestmark = pytest.mark.lengthy

NOTICE = {"name": "terms", "notice": "for study only"}
VIT = {"model.encoder": "sam_b16", "model.width": 1, "matching.num_cells": 2}


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return tiny_runs.make_shards(tmp_path_factory.mktemp("data"))


@pytest.fixture
def write(tmp_path):
    """(overrides, seed, size, mean) -> path of a file with a random encoder."""

    def write_file(overrides=(), seed=5, size=32, mean=None, name="a"):
        overrides = {**dict(overrides), "train.seed": seed, "views.size": size}
        found = config.override(tiny_runs.CONFIG, overrides)
        model = {"encoder": found.model.encoder, "width": found.model.width}
        about = {
            "version": exported.VERSION,
            "layout": exported.LAYOUT,
            "encoder": model,
            "input": {
                "mean": list(mean or found.data.mean),
                "std": list(found.data.std)[: len(mean or found.data.std)],
                "size": size,
            },
            "source": {"file": "theirs.pth"},
            "licence": NOTICE,
            "num_batches_tracked": None,
            "run": None,
        }
        variables = jax.device_get(encoders.random(found).variables)
        statistics = variables["batch_stats"]
        variables["batch_stats"] = jax.tree.map(lambda x: x + 0.25, statistics)
        path = tmp_path / f"{name}.safetensors"
        exported.write(path, exported.Exported(variables, about))
        return path

    return write_file


def _start(overrides, path):
    settings = config.override(tiny_runs.CONFIG, overrides)
    start = initial.read(str(path), settings)
    plan = planning.make(settings, tables=start.about["tables"])
    return plan, start, initial.first_state(plan, start)


def _equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_run_begins_with_these_weights_and_a_head_of_its_own(write):
    path = write()
    plan, start, first = _start({"optimizer.ema_decay": 0.9}, path)
    plain = planning.first_state(plan)
    found = exported.read(path).variables
    for model in (first.model, {"params": first.params, **vars(first)}):
        _equal(model["params"]["encoder"], found["params"])
        _equal(model["model_state"]["batch_stats"], found["batch_stats"])
        _equal(model["params"]["projector"], plain.params["projector"])
    assert jax.tree.map(lambda x: x.sharding, first) == jax.tree.map(
        lambda x: x.sharding, plan.abstract
    )
    assert start.about["licence"] == NOTICE and start.about["tables"] == {}


@pytest.mark.slow
def test_position_tables_keep_their_size(write):
    path = write(VIT, size=64)
    plan, start, first = _start(VIT, path)
    assert start.about["tables"]["positions"] == [1, 4, 4, 12]
    assert start.about["tables"]["Block_2/attention/relative_rows"] == [7, 1]
    assert len(start.about["tables"]) == 9  # and no table of a window
    shapes = [leaf.shape for leaf in jax.tree.leaves(plan.abstract)]
    assert shapes == [leaf.shape for leaf in jax.tree.leaves(first)]
    images = np.random.default_rng(0).integers(0, 255, (4, 32, 32, 3), np.uint8)
    found = encoders.of_model(plan.config, first.model)
    np.testing.assert_array_equal(
        encoders.feature_maps(found, images),
        encoders.feature_maps(encoders.load(str(path)), images),
    )


@pytest.mark.parametrize(
    ("file", "run", "message"),
    [
        (
            {"overrides": {"model.width": 8}},
            {},
            "another encoder than the config's (encoder resnet8, width 4): give "
            "--model.encoder=resnet8 --model.width=8",
        ),
        (
            {"mean": (0.5, 0.5, 0.5)},
            {},
            "give --data.mean=0.5,0.5,0.5 --data.std=0.229,0.224,0.225",
        ),
        ({"mean": (0.5,)}, {}, "takes images of 1 channel(s); a run's are RGB"),
    ],
)
def test_weights_that_do_not_fit_are_told(write, file, run, message):
    path = write(**file)
    with pytest.raises(ValueError) as error:
        initial.read(str(path), config.override(tiny_runs.CONFIG, run))
    assert message in str(error.value) and str(path) in str(error.value)


def test_flags_that_a_refusal_names_are_taken(write):
    path = write({"model.width": 8}, mean=(0.5, 0.25, 0.125))
    settings = tiny_runs.CONFIG
    for _ in range(2):
        with pytest.raises(ValueError) as error:
            initial.read(str(path), settings)
        words = [w for w in str(error.value).replace(", ", " ").split() if "=" in w]
        flags = dict(word.removeprefix("--").split("=") for word in words)
        settings = config.override(settings, flags)
    initial.read(str(path), settings)


def test_other_arrays_are_told(write):
    path = write()
    found = exported.read(path)
    found.variables["params"]["Conv_0"]["kernel"] = np.zeros((3, 3, 3, 5), np.float32)
    del found.variables["params"]["Block_0"]["Conv_0"]
    exported.write(path, found)
    with pytest.raises(ValueError, match=r"does not fit resnet8: 2 arrays .*Block_0"):
        initial.read(str(path), tiny_runs.CONFIG)


def test_what_is_no_model_is_told(tmp_path):
    for name in ("random:resnet8", str(tmp_path), str(tmp_path / "absent")):
        with pytest.raises(FileNotFoundError, match="is no exported file"):
            initial.read(name, tiny_runs.CONFIG)


def _pretrain(capsys, shards, workdir, *words, code=0):
    capsys.readouterr()
    path = tiny_runs.write_config(workdir.parent)
    words = [str(path), "--data", str(shards), "--workdir", str(workdir), *words]
    assert command_line.main(["pretrain", *words]) == code
    return capsys.readouterr().err


@pytest.mark.lengthy
def test_run_resumes_from_the_same_start_only(write, shards, tmp_path, capsys):
    path, other, workdir = write(), write(seed=6, name="b"), tmp_path / "w"
    steps = "--train.steps=2"
    said = _pretrain(capsys, shards, workdir, steps, "--init", str(path))
    assert f"starting from {path} (SHA-256 " in said and "for study only" in said
    found = json.loads((workdir / "run.json").read_text())["init"]
    digest = exported.digest_path(path).read_text().split()[0]
    assert found == {"model": str(path), "sha256": digest, "licence": NOTICE}
    for words in (("--init", str(path)), ()):
        said = _pretrain(capsys, shards, workdir, steps, *words)
        assert "already trained" in said and "for study only" in said
    said = _pretrain(capsys, shards, workdir, steps, "--init", str(other), code=1)
    assert f"began from {path} (SHA-256 {digest[:12]}), not from {other}" in said
    # what is made of the run keeps its terms
    out = tmp_path / "out.safetensors"
    assert command_line.main(["convert", str(workdir), str(out)]) == 0
    about = exported.read_about(out)
    assert about["licence"] == NOTICE
    assert about["source"]["origin"] == {"file": "theirs.pth"}
    # and so does a run that goes on from it
    again = tmp_path / "again"
    _pretrain(capsys, shards, again, steps, "--init", str(workdir))
    assert json.loads((again / "run.json").read_text())["init"]["licence"] == NOTICE
    said = _pretrain(capsys, shards, again, steps, "--init", str(again), code=1)
    assert f"began from {workdir} (" in said


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 2])
def test_transformer_of_another_size_trains_resumes_and_is_exported(
    write, shards, tmp_path, capsys, rank
):
    path, workdir = write(VIT, size=64), tmp_path / "w"
    words = [f"--{name}={value}" for name, value in VIT.items()]
    words += ["--init", str(path), f"--model.lora_rank={rank}"]
    words += ["--train.checkpoint_every_steps=1", "--train.steps=2"]
    _pretrain(capsys, shards, workdir, *words)
    (workdir / "checkpoints" / "2").rename(tmp_path / "2")
    said = _pretrain(capsys, shards, workdir, *words)
    assert "going on from step 1 of 2; the run began from" in said
    out = tmp_path / "out.safetensors"
    assert command_line.main(["convert", str(workdir), str(out)]) == 0
    images = np.random.default_rng(0).integers(0, 255, (4, 32, 32, 3), np.uint8)
    maps = [
        encoders.feature_maps(encoders.load(str(model)), images)
        for model in (out, workdir, path)
    ]
    np.testing.assert_allclose(maps[0], maps[1], rtol=1e-5, atol=1e-5)
    assert np.abs(maps[0] - maps[2]).max() > 1e-3
    leaves = [jax.tree.leaves(exported.read(each).variables) for each in (path, out)]
    changed = [np.any(a != b) for a, b in zip(*leaves, strict=True)]
    assert sum(changed) == 24 if rank else sum(changed) > 100


def _laptop_flags(name):
    """The flags that a shipped config's docstring names for a laptop."""
    text = (config_files.shipped_folder() / f"{name}.py").read_text()
    return re.findall(r"--(\w+\.\w+)=(\S+)", text)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lvmmed_resnet50_imagenet", "lvmmed_vit_b"])
def test_laptop_variants_train_from_weights(write, shards, tmp_path, capsys, name):
    flags = dict(_laptop_flags(name))
    found = config_files.load(name, flags)
    model = {"encoder": found.model.encoder, "width": found.model.width}
    path = write({f"model.{key}": value for key, value in model.items()}, size=64)
    words = [f"--{key}={value}" for key, value in flags.items()]
    words = ["--data", str(shards), "--workdir", str(tmp_path / "w"), *words]
    assert command_line.main(["pretrain", name, "--init", str(path), *words]) == 0
    assert f"starting from {path}" in capsys.readouterr().err
    assert encoders.run_config(str(tmp_path / "w")) == found
