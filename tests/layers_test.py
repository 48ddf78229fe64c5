"""Convolution and pooling of our own beside those of XLA and flax."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from lvmmed_jax.models import layers

# the suite's programs are hardly optimised (conftest.py): the fault would not show
_AS_USERS = {"xla_backend_optimization_level": 3}


@pytest.mark.parametrize(
    ("side", "channels", "kernel", "stride"),
    [
        (12, 3, 1, 1),
        (9, 3, 1, 2),
        (12, 3, 7, 2),
        (9, 4, 3, 2),
        (10, 128, 3, 1),
        (18, 128, 3, 2),
        (19, 128, 3, 2),
        (7, 128, 3, 1),
        (7, 128, 3, 2),
        (1, 128, 3, 2),
    ],
)
def test_convolution_is_that_of_xla(side, channels, kernel, stride):
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(keys[0], (2, side, side + 1, channels))
    weights = jax.random.normal(keys[1], (kernel, kernel, channels, 5))
    padding = ((kernel // 2, kernel // 2),) * 2

    def reference(x, weights):
        numbers = ("NHWC", "HWIO", "NHWC")
        strides = (stride, stride)
        return lax.conv_general_dilated(
            x, weights, strides, padding, dimension_numbers=numbers
        )

    def ours(x, weights):
        return layers.conv(x, weights, (stride, stride), padding)

    y = reference(x, weights)
    cotangent = jax.random.normal(keys[2], y.shape)
    found, expected = (
        jax.jit(lambda x, w, f=f: (f(x, w), jax.vjp(f, x, w)[1](cotangent)))(x, weights)
        for f in (ours, reference)
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4),
        found,
        expected,
    )


def test_other_devices_get_the_convolution_of_xla():
    """A CPU's program has products of the shifted maps; a GPU's has convolutions."""
    x, weights = jnp.ones((2, 16, 16, 128)), jnp.ones((3, 3, 128, 8))

    def gradients(x, weights):
        padding = ((1, 1), (1, 1))
        return jax.grad(lambda w: layers.conv(x, w, (1, 1), padding).sum())(weights)

    traced = jax.jit(gradients).trace(x, weights)
    count = {
        platform: traced.lower(lowering_platforms=(platform,))
        .as_text()
        .count("stablehlo.dot_general")
        for platform in ("cpu", "cuda", "tpu")
    }
    assert count == {"cpu": 9, "cuda": 0, "tpu": 0}


def test_convolution_in_bfloat16_stays_there():
    x, weights = (
        jnp.ones((1, 9, 9, 64), "bfloat16"),
        jnp.ones((3, 3, 64, 2), "bfloat16"),
    )
    y, backward = jax.vjp(
        lambda *both: layers.conv(*both, (1, 1), ((1, 1), (1, 1))), x, weights
    )
    assert {each.dtype for each in (y, *backward(y))} == {jnp.dtype("bfloat16")}


def _flax_max_pool(x):
    return nn.max_pool(x, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))


@pytest.mark.parametrize("shape", [(2, 8, 8, 3), (1, 7, 10, 2), (1, 1, 3, 1)])
@pytest.mark.parametrize("ties", [False, True])
def test_max_pool_is_that_of_flax(shape, ties):
    keys = jax.random.split(jax.random.key(0), 2)
    x = jax.random.normal(keys[0], shape)
    if ties:  # the first of a window takes it all
        x = jnp.round(x)
    y = _flax_max_pool(x)
    np.testing.assert_array_equal(layers.max_pool(x), y)
    cotangent = jax.random.normal(keys[1], y.shape)
    (found, (gradient,)), (_, (expected,)) = (
        (y, backward(cotangent))
        for y, backward in (jax.vjp(f, x) for f in (layers.max_pool, _flax_max_pool))
    )
    np.testing.assert_array_equal(found, y)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-6)


def test_max_pool_after_what_is_computed_anew_in_the_backward_pass():
    """As in an encoder, after BatchNorm and ReLU: XLA rounds the two copies apart."""
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(keys[0], (4, 24, 24, 64))
    weights = jnp.exp(jax.random.normal(keys[1], (1, 1, 1, 64)) / 3)
    cotangent = jax.random.normal(keys[2], (4, 12, 12, 64))

    def gradients(pool, x, weights):
        def layer(x, weights):
            x = x - x.mean((0, 1, 2), keepdims=True)
            variance = jnp.square(x).mean((0, 1, 2), keepdims=True)
            x = x * jax.lax.rsqrt(variance + 1e-5)
            return pool(nn.relu(x * weights + jnp.log(weights)))

        return jax.vjp(layer, x, weights)[1](cotangent)

    found, expected = (
        jax.jit(functools.partial(gradients, pool), compiler_options=_AS_USERS)(
            x, weights
        )
        for pool in (layers.max_pool, _flax_max_pool)
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4),
        found,
        expected,
    )


def test_max_pool_passes_on_what_is_no_number():
    x = jnp.zeros((1, 8, 8, 1)).at[0, 3, 3, 0].set(jnp.nan)
    for y in (layers.max_pool(x), jax.vjp(layers.max_pool, x)[0]):
        np.testing.assert_array_equal(y, _flax_max_pool(x))
