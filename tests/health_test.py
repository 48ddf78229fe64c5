"""The verdict on metrics made up, and on four short trainings."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs
from metric_lines import make_metrics

from data_pipelines import mni
from lvmmed_jax import config_files, health
from lvmmed_jax.methods import graph_matching
from lvmmed_jax.train import sharding, state, step


def changed(lines, **changes):
    """The lines with each metric replaced by a function of (value, share done)."""
    return [
        line
        | {
            key: change(line[key], line["step"] / lines[-1]["step"])
            for key, change in changes.items()
            if key in line
        }
        for line in lines
    ]


def test_healthy_run_is_healthy():
    assert health.judge(make_metrics()) == health.Verdict(True, ())


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"embedding_rank": lambda value, done: 58 - 57 * done}, "rank"),
        ({"embedding_rank": lambda value, done: 58 - 45 * done}, "rank"),
        ({"embedding_rank": lambda value, done: 9 - 7.5 * done}, "rank"),
        ({"embedding_std": lambda value, done: 0.53 * (1 - done)}, "spread"),
        (
            {
                "affinity_true": lambda value, done: 0.95 + 0.04 * done,
                "affinity_other": lambda value, done: 0.72 + 0.265 * done,
            },
            "affinity",
        ),
    ],
)
def test_each_sign_of_collapse_is_one_reason(changes, word):
    verdict = health.judge(changed(make_metrics(), **changes))
    assert not verdict.healthy
    assert len(verdict.reasons) == 1
    assert verdict.reasons[0].startswith("collapsing: ") and word in verdict.reasons[0]


@pytest.mark.parametrize(
    "changes",
    [
        # measured in runs that learned: rank 16 at a learning rate of 1e-2
        {"embedding_rank": lambda value, done: 58 - 42 * done},
        # Barlow Twins, a head of 512 channels
        {"embedding_rank": lambda value, done: 272 - 216 * done},
        # a drift of raw z: cosine 0.85 of different images
        {"embedding_std": lambda value, done: 0.53 - 0.14 * done},
        # a random encoder of raw z: 0.95 and 0.72 all along
        {"affinity_true": lambda v, d: 0.95, "affinity_other": lambda v, d: 0.72},
        # hard data: near chance, but rising
        {"matching_accuracy": lambda value, done: 0.07 + 0.08 * done},
    ],
)
def test_what_runs_that_learned_showed_is_healthy(changes):
    assert health.judge(changed(make_metrics(), **changes)).healthy


def test_matching_that_stays_near_chance_is_not_learning():
    lines = changed(make_metrics(), matching_accuracy=lambda value, done: 0.11)
    verdict = health.judge(lines)
    assert not verdict.healthy
    assert [reason.split(":")[0] for reason in verdict.reasons] == ["not learning"]
    early = [line | {"step": line["step"] // 5} for line in lines[::5]]
    assert health.judge(early).healthy, "60 steps are too few to say so"


@pytest.mark.parametrize("lines", [[], make_metrics()[:11], [{"step": 1, "loss": 3.0}]])
def test_short_run_is_too_short_to_tell(lines):
    assert health.judge(lines) == health.Verdict(False, (health.TOO_SHORT,))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None])
def test_loss_that_is_not_finite_is_named_with_its_step(value):
    lines = make_metrics(num_steps=20)
    lines[2]["loss"] = value
    verdict = health.judge(lines)
    assert verdict == health.Verdict(
        False, ("diverged: loss is not finite at step 10",)
    )


def test_parameters_that_are_swept_away_are_named():
    lines = changed(
        make_metrics(), parameter_norm=lambda value, done: value * 20 ** (done > 0.5)
    )
    verdict = health.judge(lines)
    assert [reason.split(":")[0] for reason in verdict.reasons] == ["diverging"]


def skipping(counts, lines):
    """The lines with `skipped_steps`, in training lines as the loop logs it."""
    numbers = iter(counts)
    return [
        {**line, "skipped_steps": next(numbers)} if "loss" in line else line
        for line in lines
    ]


@pytest.mark.parametrize(
    ("last", "healthy"),
    [(2, True), (3, True), (4, False), (40, False)],
)
def test_more_than_one_step_in_a_hundred_skipped_is_diverging(last, healthy):
    lines = make_metrics()  # 300 steps
    verdict = health.judge(skipping([*[0] * (len(lines) - 1), last], lines))
    assert verdict.healthy == healthy
    if not healthy:
        assert verdict.reasons == (
            f"diverging: {last} of 300 steps had a loss or gradient that is not finite "
            "and were skipped",
        )


def test_two_skipped_steps_of_few_are_no_sign():
    lines = make_metrics(num_steps=10)
    assert health.judge(skipping([0, 1, 2], lines)).reasons == (health.TOO_SHORT,)
    (reason,) = health.judge(skipping([0, 1, 3], lines)).reasons
    assert reason.startswith("diverging: 3 of 10 steps")


def test_resumed_steps_count_once_and_the_later_line_wins():
    lines = [{"step": 0, "loss": 3.0}, {"step": 10, "loss": 9.0}]
    lines += [{"step": 20, "loss": 8.0}, {"step": 10, "loss": 2.0}]
    assert health.series(lines, "loss") == {0: 3.0, 10: 2.0, 20: 8.0}
    assert health.ends(lines, "loss") == (3.0, 8.0)
    assert health.ends(lines, "embedding_rank") is None


def test_chance_follows_the_size_of_the_graph():
    lines = changed(make_metrics(), matching_accuracy=lambda value, done: 0.13)
    assert not health.judge(lines, graph_size=16).healthy
    assert health.judge(lines, graph_size=32).healthy


RATE = 3e-3
TINY = config_files.load(
    "quickstart",
    {
        "data.global_batch": 32,
        "views.size": 32,
        "model.width": 8,
        "model.projection_width": 32,
        "matching.num_cells": 3,
        "matching.num_starts": 4,
        "matching.num_steps": 48,
    },
)


@pytest.fixture(scope="module")
def slices():
    """120 slices of a brain, [120, 73, 73, 1]."""
    brain = mni.load()
    pieces = mni.cube_slices(brain, part="training", per_plane=40)
    return np.stack([piece.cut(brain) for piece in pieces])[..., None]


@pytest.fixture(scope="module")
def compiled():
    mesh = sharding.make_mesh(1)
    method = graph_matching.make_task(TINY, mesh)
    return method, step.make_evaluate(method.evaluate, mesh)


def _train(
    compiled, images, *, every=40, change=lambda params: params, learning_rate=RATE
):
    """Up to 120 steps; the verdict at the first that is not healthy, or at the end."""
    method, evaluate = compiled
    mesh = sharding.make_mesh(1)
    tx, schedule = tiny_runs.adam(learning_rate)
    now = state.create(method.init, tx, jax.random.key(0), mesh)
    now = dataclasses.replace(now, params=change(now.params))
    run = step.make_train_step(method.loss_fn, tx, schedule, mesh)
    generator = np.random.default_rng(0)

    def batch(count=32):
        chosen = images[generator.integers(0, len(images), count)]
        size = np.full((count, 2), images.shape[1], np.int32)
        return {"image": chosen, "size": size}

    fixed, lines = sharding.put_batch(batch(128), mesh), []
    for index in range(121):
        if index % every == 0:
            found = evaluate(now.params, now.model_state, fixed, jax.random.key(1))
            values = {name: float(value) for name, value in found.items()}
            lines.append({"step": index, **values})
            verdict = health.judge(lines)
            if not verdict.healthy and verdict.reasons != (health.TOO_SHORT,):
                break
        now, _ = run(now, sharding.put_parts(batch(), mesh, 1))
    return verdict


@pytest.mark.lengthy
def test_training_on_a_brain_is_healthy(compiled, slices):
    assert _train(compiled, slices) == health.Verdict(True, ())


@pytest.mark.lengthy
def test_one_image_repeated_is_warned_of(compiled, slices):
    verdict = _train(compiled, np.repeat(slices[20:21], 2, axis=0))
    assert any(reason.startswith("not learning") for reason in verdict.reasons)


@pytest.mark.lengthy
def test_constant_encoder_is_warned_of(compiled, slices):
    def constant(params):
        return {**params, "encoder": jax.tree.map(jnp.zeros_like, params["encoder"])}

    verdict = _train(compiled, slices, every=10, change=constant)
    assert any(reason.startswith("collapsing") for reason in verdict.reasons)


@pytest.mark.lengthy
def test_learning_rate_a_thousand_times_too_high_is_warned_of(compiled, slices):
    verdict = _train(compiled, slices, every=10, learning_rate=1000 * RATE)
    assert any(reason.startswith("diverg") for reason in verdict.reasons)
