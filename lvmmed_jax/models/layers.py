"""Convolution and max pooling whose gradients cost what they should on a CPU.

XLA's programs for a CPU spend two to eight times the needed time on the gradients of
convolutions and of pooling. Written as matrix products and selections they are as fast
as the forward pass. Values are those of `lax.conv_general_dilated` and `nn.max_pool`,
up to rounding; on other devices convolutions are XLA's own.
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

# where products of matrices win, by ResNets of 48 to 224 pixels on jax 0.10 and 0.12
_SMALL_MAP = 64  # cells
_MANY_CHANNELS = 128


def conv(
    x: jax.Array,
    kernel: jax.Array,
    strides: tuple[int, int],
    padding: Any,
    **unused: Any,
) -> jax.Array:
    """A convolution for `nn.Conv(conv_general_dilated=conv)`.

    Args:
      x: [B, H, W, C].
      kernel: [k, k, C, D].
      strides: the same along both axes.
      padding: k // 2 on every side.
      **unused: what `nn.Conv` passes besides, all at its default.

    Returns:
      [B, ceil(H / stride), ceil(W / stride), D].
    """
    del padding, unused
    if kernel.shape[:2] == (1, 1):
        # a slice, where an index of a batch of unknown size would be a gather
        for axis in (1, 2):
            x = lax.slice_in_dim(x, 0, None, strides[0], axis)
        return jnp.einsum("brsc,cd->brsd", x, kernel[0, 0])
    if kernel.shape[2] < _MANY_CHANNELS:
        return _native(x, kernel, strides[0])
    return _conv(x, kernel, strides[0])


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _conv(x, kernel, stride):
    forms = {"cpu": _on_cpu, "default": _native}
    forms = {
        name: functools.partial(form, stride=stride) for name, form in forms.items()
    }
    return lax.platform_dependent(x, kernel, **forms)


def _conv_forward(x, kernel, stride):
    return _conv(x, kernel, stride), (x, kernel)


def _conv_backward(stride, operands, cotangent):
    forms = {"cpu": _gradients_on_cpu, "default": _native_gradients}
    forms = {
        name: functools.partial(form, stride=stride) for name, form in forms.items()
    }
    return lax.platform_dependent(*operands, cotangent, **forms)


_conv.defvjp(_conv_forward, _conv_backward)


def _native(x, kernel, stride):
    pad = kernel.shape[0] // 2
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        ((pad, pad), (pad, pad)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _native_gradients(x, kernel, cotangent, stride):
    _, backward = jax.vjp(functools.partial(_native, stride=stride), x, kernel)
    return backward(cotangent)


def _on_cpu(x, kernel, stride):
    if _num_cells(x, stride) > _SMALL_MAP:
        return _native(x, kernel, stride)
    return _product(x, kernel, stride)


def _gradients_on_cpu(x, kernel, cotangent, stride):
    if _num_cells(x, stride) <= _SMALL_MAP:
        _, backward = jax.vjp(functools.partial(_product, stride=stride), x, kernel)
        return backward(cotangent)
    _, backward = jax.vjp(lambda x: _native(x, kernel, stride), x)
    # in this order the cotangent is transposed once for all of the products
    shares = [
        jnp.einsum("brsd,brsc->dc", cotangent, cells)
        for cells in _shifted(x, kernel.shape[0], stride)
    ]
    weights = jnp.swapaxes(jnp.stack(shares), 1, 2).reshape(kernel.shape)
    return *backward(cotangent), weights


def _product(x, kernel, stride):
    """The convolution as one product: [B R S, k k C] x [k k C, D]."""
    patches = jnp.concatenate(_shifted(x, kernel.shape[0], stride), -1)
    return patches @ kernel.reshape(-1, kernel.shape[-1])


def _shifted(x, size, stride, fill=0):
    """What each cell of a kernel lies on: size * size maps [B, R, S, C]."""
    pad = size // 2
    rows, columns = (-(-side // stride) for side in x.shape[1:3])
    low_high = [
        (pad, max((count - 1) * stride + size - pad - side, 0))
        for count, side in zip((rows, columns), x.shape[1:3], strict=True)
    ]
    x = jnp.pad(x, ((0, 0), *low_high, (0, 0)), constant_values=fill)
    return [
        x[
            :,
            i : i + (rows - 1) * stride + 1 : stride,
            j : j + (columns - 1) * stride + 1 : stride,
        ]
        for i in range(size)
        for j in range(size)
    ]


def _num_cells(x, stride):
    return -(-x.shape[1] // stride) * -(-x.shape[2] // stride)


def max_pool(x: jax.Array) -> jax.Array:
    """Maxima of 3x3 windows, stride 2, padding 1.

    The gradient goes to the first of equal maxima, as that of `nn.max_pool`.

    Args:
      x: [B, H, W, C].

    Returns:
      [B, ceil(H / 2), ceil(W / 2), C].
    """
    to_even = [(0, side % 2) for side in x.shape[1:3]]
    return _max_pool(jnp.pad(x, ((0, 0), *to_even, (0, 0)), constant_values=-jnp.inf))


@jax.custom_vjp
def _max_pool(x):
    # padded apart and named, which XLA makes one again: jax2onnx, by which encoders are
    # exported, overlooks a padding in numbers
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-jnp.inf)
    return nn.max_pool(x, window_shape=(3, 3), strides=(2, 2), padding="VALID")


def _max_pool_forward(x):
    """Keeps which cell is a window's largest: to look for the value later is unsafe.

    XLA may compute x anew in the backward pass, and round it otherwise there.
    """
    largest, *others = _shifted(x, 3, 2, fill=-jnp.inf)
    winner = jnp.zeros(largest.shape, jnp.int8)
    for index, cells in enumerate(others, start=1):
        wins = (cells > largest) | jnp.isnan(cells)
        largest = jnp.where(wins, cells, largest)
        winner = jnp.where(wins, jnp.int8(index), winner)
    return largest, winner


def _max_pool_backward(winner, cotangent):
    shares = [jnp.where(winner == index, cotangent, 0) for index in range(9)]
    lines = [_interleave(shares[3 * i : 3 * i + 3], axis=2) for i in range(3)]
    return (_interleave(lines, axis=1),)


def _interleave(shares, axis):
    """What windows give to their three cells along an axis -> what the cells get.

    Cell 2 i is the middle of window i, cell 2 i + 1 its last and the first of i + 1.
    """
    first, middle, last = shares
    size = first.shape[axis]
    next_first = lax.slice_in_dim(first, 1, size, axis=axis)
    pad = [(0, int(each == axis)) for each in range(first.ndim)]
    odd = last + jnp.pad(next_first, pad)
    shape = list(first.shape)
    shape[axis] *= 2
    return jnp.stack([middle, odd], axis + 1).reshape(shape)


_max_pool.defvjp(_max_pool_forward, _max_pool_backward)
