"""Frozen encoders on labelled data, with a network of a few channels."""

import dataclasses

import jax
import numpy as np
import pytest
import tiny_runs

from data_pipelines import labelled
from lvmmed_jax import encoders, evaluation
from lvmmed_jax.methods import graph_matching
from lvmmed_jax.train import sharding, state, step


@pytest.fixture(scope="module")
def encoder():
    return encoders.random(tiny_runs.CONFIG)


@pytest.fixture(scope="module")
def images():
    generator = np.random.default_rng(0)
    return generator.integers(0, 255, (40, 32, 32, 3), np.uint8)


def _examples():
    """Bright and dark images with a mask of the brighter square in each."""
    generator = np.random.default_rng(1)
    pictures, labels, masks = [], [], []
    for number in range(24):
        label = number % 2
        image = generator.integers(0, 60, (30, 40)).astype(np.uint8) + 100 * label
        mask = np.zeros((30, 40), np.int32)
        mask[5:20, 10:30] = 1
        image[mask == 1] += 60
        pictures.append(image.astype(np.uint8))
        labels.append(label)
        masks.append(mask)
    return labelled.Labelled(
        images=pictures,
        labels=np.array(labels),
        class_names=("dark", "bright"),
        masks=masks,
        mask_names=("other", "square"),
        is_test=np.arange(24) >= 16,
    )


def test_random_encoder_depends_on_the_seed_only(encoder):
    again = encoders.random(tiny_runs.CONFIG)
    train = dataclasses.replace(tiny_runs.CONFIG.train, seed=1)
    other = encoders.random(dataclasses.replace(tiny_runs.CONFIG, train=train))
    first, second, third = (
        jax.tree.leaves(one.variables["params"]) for one in (encoder, again, other)
    )
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, third, strict=True))


def test_random_encoder_is_the_start_of_the_run(encoder):
    mesh = sharding.make_mesh(8)
    method = graph_matching.make_task(tiny_runs.CONFIG, mesh)
    tx, _ = step.make_optimizer(1e-3, (), 6)
    key = jax.random.key(tiny_runs.CONFIG.train.seed)
    first = state.create(method.init, tx, key, sharding.replicated(mesh))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
        first.params["encoder"],
        encoder.variables["params"],
    )


def test_calibration_touches_statistics_only_and_normalises(encoder, images):
    calibrated = encoders.calibrate(encoder, images)
    jax.tree.map(
        np.testing.assert_array_equal,
        calibrated.variables["params"],
        encoder.variables["params"],
    )
    again = encoders.calibrate(calibrated, images)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4),
        calibrated.variables["batch_stats"],
        again.variables["batch_stats"],
    )
    means = jax.tree.leaves(calibrated.variables["batch_stats"])
    assert any(np.abs(np.asarray(leaf)).max() > 0.05 for leaf in means)


def test_features_do_not_depend_on_the_rest_of_a_batch(encoder, images):
    whole = encoders.feature_maps(encoder, images)
    assert whole.shape == (40, 2, 2, 16)
    np.testing.assert_allclose(
        encoders.feature_maps(encoder, images[:3]), whole[:3], rtol=1e-4, atol=1e-5
    )


def test_unknown_models_are_told():
    with pytest.raises(FileNotFoundError, match="no/such is no work folder"):
        encoders.load("no/such")
    with pytest.raises(ValueError, match="resnet50"):
        encoders.load("random:resnet51")


def test_rows_have_intervals_and_a_paired_difference(encoder):
    models = {"random": encoder, "pretrained": encoder}
    found = evaluation.evaluate(models, _examples(), evaluation.TASKS, seed=0)
    assert [(row["task"], row["metric"]) for row in found.results] == [
        ("knn", "accuracy"),
        ("linear_probe", "accuracy"),
        ("linear_probe", "dice"),
    ]
    for row in found.results:
        assert row["num_train"] == 16 and row["num_test"] == 8
        assert row["difference"] == {"value": 0.0, "low": 0.0, "high": 0.0}
        bounds = row["random"]
        assert bounds["low"] <= bounds["value"] <= bounds["high"]
    assert found.results[1]["random"]["value"] > 0.8
    assert (
        found.pictures["truth"].shape == found.pictures["random"].shape == (6, 40, 40)
    )


def test_one_model_has_no_difference(encoder):
    found = evaluation.evaluate({"random": encoder}, _examples(), ("knn",), seed=0)
    assert "difference" not in found.results[0] and found.pictures is None
