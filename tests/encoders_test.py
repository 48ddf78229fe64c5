"""Frozen encoders, with a network of a few channels."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs

from lvmmed_jax import encoders, views
from lvmmed_jax.methods import graph_matching, two_views
from lvmmed_jax.train import saving, sharding, state


@pytest.fixture(scope="module")
def encoder():
    return encoders.random(tiny_runs.CONFIG)


@pytest.fixture(scope="module")
def images():
    generator = np.random.default_rng(0)
    return generator.integers(0, 255, (40, 32, 32, 3), np.uint8)


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
    tx, _ = tiny_runs.adam(1e-3)
    key = jax.random.key(tiny_runs.CONFIG.train.seed)
    first = state.create(method.init, tx, key, mesh)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
        first.params["encoder"],
        encoder.variables["params"],
    )


def test_calibration_normalises_these_images_and_learns_nothing(encoder, images):
    one_batch = images[:32]
    calibrated = encoders.calibrate(encoder, one_batch)
    jax.tree.map(
        np.testing.assert_array_equal,
        calibrated.variables["params"],
        encoder.variables["params"],
    )
    found = encoders.feature_maps(calibrated, one_batch)
    # what BatchNorm makes of these images while it trains
    data = tiny_runs.CONFIG.data
    network = two_views.make_networks(tiny_runs.CONFIG.model).encoder
    inputs = views.normalise(jnp.asarray(one_batch) / 255, data.mean, data.std)
    expected, _ = network.apply(
        encoder.variables, inputs, train=True, mutable=["batch_stats"]
    )
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
    assert np.abs(encoders.feature_maps(encoder, one_batch) - expected).max() > 0.1


def test_calibration_leaves_a_short_last_batch_out(encoder, images):
    whole, first = encoders.calibrate(encoder, images), images[:32]
    jax.tree.map(
        np.testing.assert_array_equal,
        whole.variables["batch_stats"],
        encoders.calibrate(encoder, first).variables["batch_stats"],
    )
    few = encoders.calibrate(encoder, images[:16]).variables["batch_stats"]
    twice = np.concatenate([images[:16], images[:16]])
    jax.tree.map(
        np.testing.assert_array_equal,
        few,
        encoders.calibrate(encoder, twice).variables["batch_stats"],
    )


def test_features_do_not_depend_on_the_rest_of_a_batch(encoder, images):
    whole = encoders.feature_maps(encoder, images)
    assert whole.shape == (40, 2, 2, 16)
    assert whole.dtype == np.float32 and whole.std() > 0.01
    for rows in (slice(0, 1), slice(0, 3), slice(5, 37), slice(30, 40)):
        np.testing.assert_allclose(
            encoders.feature_maps(encoder, images[rows]),
            whole[rows],
            rtol=1e-4,
            atol=1e-5,
        )


@pytest.mark.parametrize("shape", [(9, 5), (9, 5, 3)])
def test_images_become_square_rgb(shape):
    image = np.full(shape, 70, np.uint8)
    found = encoders.resize(image, 8)
    assert found.shape == (8, 8, 3) and found.dtype == np.uint8 and (found == 70).all()


def test_saved_encoders_come_back(tmp_path):
    config = json.loads(json.dumps(dataclasses.asdict(tiny_runs.CONFIG)))
    method = graph_matching.make_task(tiny_runs.CONFIG, sharding.make_mesh(1))
    tx, _ = tiny_runs.adam(3e-3)
    begin = state.create(
        method.init,
        tx,
        jax.random.key(0),
        sharding.make_mesh(1),
    )
    with saving.Saver(tmp_path) as saver:
        for number in (1, 2):
            params = jax.tree.map(lambda x, n=number: n * x, begin.params)
            saved = dataclasses.replace(
                begin, step=jnp.asarray(number, jnp.int32), params=params
            )
            saver.save(number, saved, {"config": config})
    for name, factor in (("", 2), ("checkpoints/1", 1), ("checkpoints/2", 2)):
        found = encoders.load(str(tmp_path / name))
        jax.tree.map(
            lambda a, b, factor=factor: np.testing.assert_array_equal(a, factor * b),
            found.variables["params"],
            begin.params["encoder"],
        )
        assert found.image_size == 32
        assert encoders.run_config(str(tmp_path / name)) == tiny_runs.CONFIG
    assert encoders.work_folder(str(tmp_path)) == tmp_path
    assert encoders.work_folder(str(tmp_path / "checkpoints" / "1")) is None
    with pytest.raises(FileNotFoundError, match=r"checkpoints/7 is no work folder"):
        encoders.load(str(tmp_path / "checkpoints" / "7"))


def test_unknown_models_are_told(tmp_path):
    for model in ("no/such", str(tmp_path)):
        with pytest.raises(FileNotFoundError, match=f"{model} is no work folder"):
            encoders.load(model)
    with pytest.raises(ValueError, match=r"'resnet51'; known: .*resnet50"):
        encoders.load("random:resnet51")
    assert encoders.run_config("random:resnet51") is None
    assert encoders.work_folder("random:resnet51") is None
