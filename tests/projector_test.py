import jax
import jax.numpy as jnp
import numpy as np

from lvmmed_jax.models import projector

MAPS = jax.random.normal(jax.random.key(0), (12, 2, 3, 8))


def test_linear_on_the_mean_over_cells():
    network = projector.Projector(5)
    variables = network.init(jax.random.key(1), MAPS)
    layer = variables["params"]["Dense_0"]
    expected = np.asarray(MAPS).mean(axis=(1, 2)) @ np.asarray(layer["kernel"])
    expected += np.asarray(layer["bias"])
    np.testing.assert_allclose(network.apply(variables, MAPS), expected, atol=1e-5)


def test_hidden_layer_is_normalised_over_the_batch():
    network = projector.Projector(5, hidden=16)
    variables = network.init(jax.random.key(1), MAPS)
    assert variables["params"]["Dense_0"]["kernel"].shape == (8, 16)
    found, state = network.apply(variables, MAPS, mutable=["batch_stats"])
    louder, _ = network.apply(variables, 3.0 * MAPS + 1, mutable=["batch_stats"])
    assert found.shape == (12, 5) and state["batch_stats"]
    np.testing.assert_allclose(found, louder, atol=1e-3)
    assert jnp.std(found) > 0.1


def test_norms_and_widths_of_an_mlp():
    vectors = jnp.mean(MAPS, axis=2)  # 12 2 8
    network = projector.MLP((16, 6), last_norm=True)
    params = network.init(jax.random.key(1), vectors)["params"]
    assert params["BatchNorm_0"]["scale"].shape == (16,)
    assert "BatchNorm_1" not in params and "bias" not in params["Dense_1"]
    found = np.asarray(network.apply({"params": params}, vectors)).reshape(24, 6)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(found.std(axis=0), 1, atol=1e-3)


def test_an_mlp_without_norms_is_its_layers():
    network = projector.MLP((16, 6), norm=False, activation=jnp.tanh)
    variables = network.init(jax.random.key(1), MAPS)
    layers = jax.device_get(variables["params"])
    first, second = (layers[f"Dense_{number}"] for number in (0, 1))
    hidden = np.tanh(np.asarray(MAPS) @ first["kernel"] + first["bias"])
    expected = hidden @ second["kernel"] + second["bias"]
    np.testing.assert_allclose(network.apply(variables, MAPS), expected, atol=1e-5)


def test_batchnorm_is_numpys():
    network = projector.BatchNorm()
    variables = network.init(jax.random.key(0), MAPS)
    params = jax.tree.map(lambda x: 2 * x + 1, variables["params"])
    flat = np.asarray(MAPS).reshape(-1, 8)
    expected = 3 * (flat - flat.mean(axis=0)) / np.sqrt(flat.var(axis=0) + 1e-5) + 1
    found = network.apply({"params": params}, MAPS).reshape(-1, 8)
    np.testing.assert_allclose(found, expected, atol=1e-4)
