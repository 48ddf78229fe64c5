"""The depthwise convolution beside XLA's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from lvmmed_jax.models import depthwise


def _native(x, kernel):
    pad = kernel.shape[0] // 2
    return lax.conv_general_dilated(
        x,
        kernel,
        (1, 1),
        ((pad, pad), (pad, pad)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x.shape[-1],
    )


@pytest.mark.parametrize("shape", [(2, 9, 12, 5), (1, 3, 4, 2), (3, 1, 1, 4)])
@pytest.mark.parametrize("size", [3, 7])
def test_values_and_gradients_are_those_of_xla(shape, size):
    keys = jax.random.split(jax.random.key(0), 3)
    x, cotangent = (jax.random.normal(key, shape) for key in keys[:2])
    kernel = jax.random.normal(keys[2], (size, size, 1, shape[-1]))
    found, expected = (
        jax.jit(lambda x, k, f=f: (f(x, k), jax.vjp(f, x, k)[1](cotangent)))(x, kernel)
        for f in (lambda x, k: depthwise.conv(x, k, (1, 1), "SAME"), _native)
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4),
        found,
        expected,
    )


def test_bfloat16_is_added_up_in_float32():
    x = jnp.ones((1, 9, 9, 2), jnp.bfloat16)
    kernel = jnp.full((7, 7, 1, 2), 1 + 2**-7, jnp.bfloat16)
    y, backward = jax.vjp(
        lambda *both: depthwise.conv(*both, (1, 1), "SAME"), x, kernel
    )
    assert {each.dtype for each in (y, *backward(y))} == {jnp.dtype("bfloat16")}
    assert abs(float(y[0, 4, 4, 0]) - 49 * (1 + 2**-7)) < 0.2


def test_other_devices_get_the_convolution_of_xla():
    x, kernel = jnp.ones((2, 8, 8, 4)), jnp.ones((7, 7, 1, 4))

    def gradient(x, kernel):
        return jax.grad(lambda k: depthwise.conv(x, k, (1, 1), "SAME").sum())(kernel)

    traced = jax.jit(gradient).trace(x, kernel)
    loops = {
        platform: traced.lower(lowering_platforms=(platform,))
        .as_text()
        .count("stablehlo.while")
        for platform in ("cpu", "cuda", "tpu")
    }
    assert loops["cpu"] > 0 and loops["cuda"] == loops["tpu"] == 0
