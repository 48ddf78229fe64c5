"""A whole run: nothing wasted, its options, averaged weights, parts of a batch."""

import dataclasses
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs
from PIL import Image

from data_pipelines import mixture
from lvmmed_jax import command_line, config, encoders, planning, pretraining
from lvmmed_jax.train import checkpoint, step, trace, writer


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return tiny_runs.make_shards(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def compiles():
    """Names of functions in the order in which they are compiled."""
    names = []

    def listen(event, duration, **about):
        if event == "/jax/core/compile/backend_compile_duration":
            names.append(about["fun_name"])

    jax.monitoring.register_event_duration_secs_listener(listen)
    return names


def _run(shards, workdir, overrides=(), options=()):
    settings = config.override(tiny_runs.CONFIG, dict(overrides))
    extra = {"config": json.loads(json.dumps(dataclasses.asdict(settings)))}
    plan = planning.make(settings)
    workdir.mkdir(parents=True, exist_ok=True)
    return pretraining.prepare(
        plan,
        data=shards,
        held_out=None,
        workdir=workdir,
        extra={**extra, "data_sha256": "0", "held_out_sha256": None},
        options=pretraining.Options(**dict(options)),
    )


def _train(*arguments, **keywords):
    return pretraining.train(_run(*arguments, **keywords), should_stop=lambda: False)


@pytest.mark.lengthy
def test_fifty_steps_compile_each_program_once(shards, tmp_path, compiles):
    del compiles[:]
    rare = {"train.checkpoint_every_steps": 20, "train.evaluate_every_steps": 10}
    run, marks = _run(shards, tmp_path, {"train.steps": 50, **rare}), []

    def note_and_go_on():
        marks.append(len(compiles))
        return False

    pretraining.train(run, should_stop=note_and_go_on)
    ours = ("jit(step)", "jit(measure)", "jit(create_state)", "jit(pictures)")
    assert [compiles.count(name) for name in ours] == [1, 1, 1, 1]
    # after the first save nothing is compiled, by the second neither
    assert compiles[marks[21] : marks[49]] == []


def test_compiled_step_talks_to_no_host(shards, tmp_path):
    run = _run(shards, tmp_path)
    batch = planning.abstract_batch(run.plan, mixture.read_manifest(shards))
    compiled, flops = step.compile_step(run.plan.step_fn, run.plan.abstract, batch)
    text = compiled.as_text()
    for word in ("callback", "infeed", "outfeed", " send(", " recv("):
        assert word not in text, word
    assert flops > 1e6


@pytest.mark.lengthy
def test_averaged_weights_are_evaluated_and_resumed(shards, tmp_path):
    overrides = {"optimizer.ema_decay": 0.5, "train.steps": 4}
    _train(shards, tmp_path, overrides)
    again = _run(shards, tmp_path, overrides).train_state
    differ = jax.tree.map(
        lambda a, b: bool(np.any(a != b)), again.params, again.averaged["params"]
    )
    assert any(jax.tree.leaves(differ))
    found = encoders.load(str(tmp_path)).variables["params"]
    jax.tree.map(
        np.testing.assert_array_equal, found, again.averaged["params"]["encoder"]
    )
    measured = writer.latest(writer.read(tmp_path / writer.FILE))
    (evaluation,) = _run(shards, tmp_path, overrides).evaluations
    assert float(evaluation.measure(again)["parameter_norm"]) == pytest.approx(
        measured["parameter_norm"], rel=1e-6
    )


@pytest.mark.lengthy
@pytest.mark.parametrize(
    "overrides",
    [
        {"optimizer.accumulate": 2, "data.global_batch": 64},
        pytest.param(
            {
                "model.dtype": "bfloat16",
                "model.remat": True,
                "optimizer.name": "lars",
                "optimizer.weight_decay": 0.05,
                "optimizer.schedule": "cosine",
                "optimizer.warmup": 0.5,
                "optimizer.clip_norm": 1.0,
            },
            marks=pytest.mark.slow,
        ),
    ],
)
def test_settings_of_the_update_train(shards, tmp_path, overrides):
    result = _train(shards, tmp_path, {**overrides, "train.steps": 3})
    assert result["step"] == 3 and result["skipped_steps"] == 0
    assert np.isfinite(result["loss"]) and result["gradient_norm"] > 0
    saved = _run(shards, tmp_path, {**overrides, "train.steps": 3}).train_state
    assert {leaf.dtype.name for leaf in jax.tree.leaves(saved.params)} == {"float32"}


def test_batch_that_does_not_cut_into_parts_is_refused(shards, tmp_path):
    with pytest.raises(ValueError, match=r"in 3 parts: use a multiple of 96, e.g. 96"):
        _run(shards, tmp_path / "w", {"optimizer.accumulate": 3})
    assert not (tmp_path / "w").exists()


def test_trace_of_a_few_steps(tmp_path):
    traced = trace.Trace(tmp_path, start=10)
    value = jnp.ones(3)
    for number in range(10, 20):
        traced(number, value)
        assert (tmp_path / "profile").exists() == (number >= 18)
        value = value + 1
    traced.close()
    found = [path.name for path in (tmp_path / "profile").rglob("*") if path.is_file()]
    assert "perfetto_trace.json.gz" in found
    assert any(name.endswith(".xplane.pb") for name in found)


def test_trace_of_a_run_that_ends_early_is_written(tmp_path):
    traced = trace.Trace(tmp_path, start=0)
    for number in range(5):
        traced(number, jnp.ones(3))
    traced.close()
    assert list(tmp_path.rglob("*.xplane.pb"))


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("los_no_noise", r"'los_no_noise' is not measured: one of loss_no_noise, mat"),
        ("knn_accuracy", r"'knn_accuracy' is not measured \(it needs --knn-data\)"),
    ],
)
def test_metric_that_is_not_measured_cannot_choose(shards, tmp_path, metric, message):
    with pytest.raises(ValueError, match=message):
        _run(shards, tmp_path, {"train.best_metric": metric})


def _classes(folder):
    """Bright and dark images in train/, and as many again in test/."""
    generator = np.random.default_rng(0)
    for part in ("train", "test"):
        for name, base in (("bright", 180), ("dark", 20)):
            (folder / part / name).mkdir(parents=True)
            for number in range(12):
                pixels = generator.integers(base, base + 60, (40, 40), np.uint8)
                Image.fromarray(pixels).save(folder / part / name / f"{number}.png")
    return str(folder)


@pytest.mark.lengthy
def test_online_knn_is_logged_and_may_choose_the_best(shards, tmp_path, capsys):
    labelled = _classes(tmp_path / "labelled")
    words = ["pretrain", str(tiny_runs.write_config(tmp_path)), "--data", str(shards)]
    words += ["--workdir", str(tmp_path / "w"), "--knn-data", labelled, "--json"]
    words += ["--train.knn_every_epochs=2", "--train.best_metric=knn_accuracy"]
    assert command_line.main(words) == 0
    result = json.loads(capsys.readouterr().out)
    lines = writer.read(tmp_path / "w" / writer.FILE)
    # two epochs of 40 records in batches of 32, every save, and the end
    assert {line["step"] for line in lines if "knn_accuracy" in line} == {0, 2, 4, 6}
    assert all("skipped_steps" in line for line in lines)  # the verdict reads it
    assert result["knn_accuracy"] == 1.0
    assert result["best"]["knn_accuracy"] == 1.0
    folder = tmp_path / "w" / "checkpoints"
    assert result["best"]["step"] in checkpoint.committed_steps(folder)


def test_folder_that_knn_cannot_use_is_told_before_training(shards, tmp_path, capsys):
    words = ["pretrain", str(tiny_runs.write_config(tmp_path)), "--data", str(shards)]
    words += ["--workdir", str(tmp_path / "w"), "--knn-data", str(tmp_path / "no")]
    assert command_line.main(words) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search("/no: no such folder", line)
