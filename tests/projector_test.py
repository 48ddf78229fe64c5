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
