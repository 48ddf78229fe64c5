import jax
import numpy as np
import pytest

from lvmmed_jax.models import message_passing


@pytest.mark.parametrize("skip", [False, True])
def test_two_layers_of_equation_1(skip):
    nodes = jax.random.normal(jax.random.key(0), (2, 4, 3))
    operator = jax.random.uniform(jax.random.key(1), (2, 4, 4))
    layers = message_passing.MessagePassing(num_layers=2, skip=skip)
    found, variables = layers.init_with_output(jax.random.key(2), nodes, operator)
    first, second = (
        np.asarray(variables["params"][name]["kernel"])
        for name in ("Dense_0", "Dense_1")
    )
    for graph in range(2):
        p, h = np.asarray(operator[graph]), np.asarray(nodes[graph])
        expected = p @ np.maximum(p @ h @ first, 0) @ second + (h if skip else 0)
        np.testing.assert_allclose(found[graph], expected, rtol=1e-5, atol=1e-5)
