"""Functions in a plain form: the same values, and no primitive that only jax has."""

import jax
import jax.numpy as jnp
import numpy as np

from lvmmed_jax.models import depthwise, layers
from lvmmed_jax.release import plain


def _primitives(function, *arguments):
    return {e.primitive.name for e in jax.make_jaxpr(function)(*arguments).jaxpr.eqns}


def _net(x, kernel, deep):
    y = layers.max_pool(layers.conv(x, kernel, (2, 2), None))
    y = jax.lax.optimization_barrier(jax.nn.relu(y))
    return depthwise.conv(jax.checkpoint(jnp.sin)(y), deep, (1, 1), None), y.mean()


def test_values_stay_and_wrappers_go():
    generator = np.random.default_rng(0)
    shapes = (2, 12, 12, 128), (3, 3, 128, 8), (3, 3, 1, 8)
    arrays = [generator.normal(size=shape).astype(np.float32) for shape in shapes]
    form = plain.form(_net)
    jax.tree.map(
        lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4),
        form(*arrays),
        _net(*arrays),
    )
    before, after = (_primitives(each, *arrays) for each in (_net, form))
    odd = {"custom_vjp_call", "optimization_barrier", "jit", "cond", "platform_index"}
    assert before & odd and not after & odd
    assert "conv_general_dilated" in after and "reduce_window_max" in after
