"""Depthwise convolution, which XLA's program for a CPU computes 5 to 20 times slower.

A loop over the kernel's rows adds up shifted maps; the kernel's gradient is a loop over
the rows of the map. On other devices it is XLA's own convolution.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax


def conv(
    x: jax.Array,
    kernel: jax.Array,
    strides: tuple[int, int],
    padding: Any,
    **unused: Any,
) -> jax.Array:
    """A convolution of every channel for `nn.Conv(conv_general_dilated=conv)`.

    Args:
      x: [B, R, S, C].
      kernel: [k, k, 1, C], k odd.
      strides: 1, 1.
      padding: k // 2 on every side.
      **unused: what `nn.Conv` passes besides; as many groups as channels.

    Returns:
      [B, R, S, C].
    """
    del strides, padding, unused
    return _conv(x, kernel)


@jax.custom_vjp
def _conv(x, kernel):
    return lax.platform_dependent(x, kernel, cpu=_on_cpu, default=_native)


def _conv_forward(x, kernel):
    return _conv(x, kernel), (x, kernel)


def _conv_backward(operands, cotangent):
    return lax.platform_dependent(
        *operands, cotangent, cpu=_gradients_on_cpu, default=_native_gradients
    )


_conv.defvjp(_conv_forward, _conv_backward)


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


def _native_gradients(x, kernel, cotangent):
    _, backward = jax.vjp(_native, x, kernel)
    return backward(cotangent)


def _on_cpu(x, kernel):
    size, (_, rows, columns, _) = kernel.shape[0], x.shape
    padded, kernel = _padded(x, size), kernel.astype(_sum_type(x))

    def add_row(i, total):
        lines = lax.dynamic_slice_in_dim(padded, i, rows, axis=1)
        weights = lax.dynamic_index_in_dim(kernel, i, keepdims=False)  # k 1 C
        weights = weights[:, None, None]
        shifted = (lines[:, :, j : j + columns] * weights[j] for j in range(size))
        return functools.reduce(jnp.add, shifted, total)

    total = lax.fori_loop(0, size, add_row, jnp.zeros_like(padded, shape=x.shape))
    return total.astype(x.dtype)


def _gradients_on_cpu(x, kernel, cotangent):
    gradient = _on_cpu(cotangent, kernel[::-1, ::-1])
    size, (batch, rows, columns, channels) = kernel.shape[0], x.shape
    padded = _padded(x, size)

    def add_line(index, total):
        place = (index // rows, index % rows, 0, 0)
        lines = lax.dynamic_slice(padded, place, (1, size, *padded.shape[2:]))[0]
        along = lax.dynamic_slice(cotangent, place, (1, 1, columns, channels))[0]
        shifted = [lines[:, j : j + columns] * along for j in range(size)]
        return total + jnp.stack(shifted, 1)  # k k S C

    total = jnp.zeros_like(padded, shape=(size, size, columns, channels))
    total = lax.fori_loop(0, batch * rows, add_line, total)
    return gradient, total.sum(2)[:, :, None].astype(kernel.dtype)


def _padded(x, size):
    pad = (size // 2, size // 2)
    return jnp.pad(x.astype(_sum_type(x)), ((0, 0), pad, pad, (0, 0)))


def _sum_type(x):
    """What bfloat16 is added up in."""
    return jnp.promote_types(x.dtype, jnp.float32)
