"""Two random views of an image, made on the device, with their locations.

Crop, flip and resize are one pair of small matrices (rows and columns), so a view costs
two matrix products instead of a gather; so is the blur. One key an image: the number of
devices changes no number.
"""

import dataclasses
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from lvmmed_jax import config

_SMALL, _SOLARISED = 2, 3  # of an image's key, beside its two views
_HIGHEST = jax.lax.Precision.HIGHEST
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
_TO_YIQ = np.array([_LUMA, (0.596, -0.274, -0.322), (0.211, -0.523, 0.312)])
_TO_RGB = np.linalg.inv(_TO_YIQ)


def make_views(
    images: UInt8[Array, "B H W C"],
    sizes: Int[Array, "B 2"],
    key: Array,
    settings: config.Views,
    centres: tuple[np.ndarray, np.ndarray],
) -> tuple[Float[Array, "B 2 h w 3"], Float[Array, "B 2 R S 2"]]:
    """Draws two views of every image (step 1 of the paper's algorithm).

    Args:
      images: [B, H, W, C], uint8, zero-padded at bottom and right; C is 1 or 3.
      sizes: [B, 2], the true height and width of each.
      key: the step's key; image b uses `fold_in(key, b)`.
      settings: sizes, ranges and probabilities.
      centres: [R] and [S], where the rows and columns of the encoder's feature map are
        centred in a view, in [0, 1].

    Returns:
      Views [B, 2, h, w, 3] in [0, 1], grey repeated over the channels, and the centres
      of the feature map's cells in the original image, [B, 2, R, S, 2] as (row, column)
      divided by the image's height and width.
    """
    keys = jax.vmap(lambda index: jax.random.fold_in(key, index))(
        jnp.arange(images.shape[0])
    )

    def two(image, size, key):
        return jax.vmap(lambda key: _view(image, size, key, settings, centres))(
            jax.random.split(key, 2)
        )

    made, locations = jax.vmap(two)(images, sizes, keys)
    if settings.solarise_probability:
        second = _solarise(made[:, 1], keys, settings.solarise_probability)
        made = made.at[:, 1].set(second)
    return made, locations


def make_small_views(
    images: UInt8[Array, "B H W C"],
    sizes: Int[Array, "B 2"],
    key: Array,
    settings: config.Views,
    centres: tuple[np.ndarray, np.ndarray],
) -> tuple[Float[Array, "B V h w 3"], Float[Array, "B V R S 2"]]:
    """Draws V = `settings.small_crops` further views of every image, of another size.

    They are smaller, and of smaller parts of the image (SwAV's multi-crop, Caron et
    al. 2020, section 3.2); all else is as in `make_views`, whose views stay the same.
    """
    settings = dataclasses.replace(
        settings,
        size=settings.small_size,
        crop_area=settings.small_crop_area,
    )

    def several(image, size, index):
        of_image = jax.random.fold_in(jax.random.fold_in(key, index), _SMALL)
        return jax.vmap(lambda key: _view(image, size, key, settings, centres))(
            jax.random.split(of_image, settings.small_crops)
        )

    return jax.vmap(several)(images, sizes, jnp.arange(images.shape[0]))


def normalise(
    views: Float[Array, "*B h w 3"], mean: tuple[float, ...], std: tuple[float, ...]
) -> Float[Array, "*B h w 3"]:
    """(view - mean) / std per channel; values of RGB in [0, 1]."""
    return (views - jnp.asarray(mean).reshape((1,) * (views.ndim - 1) + (3,))) / (
        jnp.asarray(std).reshape((1,) * (views.ndim - 1) + (3,))
    )


class _Draws(NamedTuple):
    """Everything random about one view, uniform in [0, 1): one draw of a vector."""

    area: jax.Array
    ratio: jax.Array
    top: jax.Array
    left: jax.Array
    flip: jax.Array
    jitter: jax.Array
    brightness: jax.Array
    contrast: jax.Array
    saturation: jax.Array
    hue: jax.Array
    blur: jax.Array
    blur_sigma: jax.Array


def _between(draw, low, high):
    return low + draw * (high - low)


def _view(image, size, key, settings, centres):
    draws = _Draws(*jax.random.uniform(key, (len(_Draws._fields),)))
    top, left, height, width = _crop(size.astype(jnp.float32), draws, settings)
    flip = draws.flip < settings.flip_probability
    rows = _resampling(image.shape[0], size[0], settings.size, top, height, False)
    columns = _resampling(image.shape[1], size[1], settings.size, left, width, flip)
    view = _separable(rows, image.astype(jnp.float32) / 255, columns)
    view = _blur(_jitter(view, draws, settings), draws, settings)
    locations = _locations(size, top, left, height, width, flip, centres)
    return jnp.broadcast_to(view, (*view.shape[:2], 3)), locations


def _separable(rows, image, columns):
    """rows [h, H] @ image [H, W, C] @ columns^T [W, w], a channel each."""
    return jnp.einsum("hH,HWC,wW->hwC", rows, image, columns, precision=_HIGHEST)


def _crop(size, draws, settings):
    """A box (top, left, height, width) in pixels, of random area and aspect."""
    area = _between(draws.area, *settings.crop_area) * size[0] * size[1]
    bounds = (math.log(bound) for bound in settings.crop_ratio)
    ratio = jnp.exp(_between(draws.ratio, *bounds))
    height = jnp.minimum(jnp.sqrt(area / ratio), size[0])
    width = jnp.minimum(jnp.sqrt(area * ratio), size[1])
    return draws.top * (size[0] - height), draws.left * (size[1] - width), height, width


def _resampling(num_source, size, num_target, start, extent, flip):
    """[target, source] weights: linear, with antialiasing, nothing from the padding."""
    target = jnp.arange(num_target)
    target = jnp.where(flip, num_target - 1 - target, target)
    step = extent / num_target
    centre = start + (target + 0.5) * step - 0.5
    source = jnp.arange(num_source)
    distance = jnp.abs(centre[:, None] - source[None])
    weights = jnp.maximum(0.0, 1.0 - distance / jnp.maximum(step, 1.0))
    weights *= (source < size)[None]
    return weights / jnp.sum(weights, axis=1, keepdims=True)


def _locations(size, top, left, height, width, flip, centres):
    """[R, S, 2] centres of the cells in the original image, in [0, 1]."""
    column = jnp.where(flip, 1 - centres[1], centres[1])
    rows = (top + centres[0] * height) / size[0]
    columns = (left + column * width) / size[1]
    return jnp.stack(jnp.meshgrid(rows, columns, indexing="ij"), axis=-1)


def _jitter(view, draws, settings):
    """Brightness, contrast and, for colour, saturation and hue; clipped to [0, 1]."""

    def factor(draw, strength):
        return _between(draw, 1 - strength, 1 + strength)

    jittered = view * factor(draws.brightness, settings.brightness)
    mean = jnp.mean(_grey(jittered))
    jittered = mean + (jittered - mean) * factor(draws.contrast, settings.contrast)
    if view.shape[-1] == 3:
        grey = _grey(jittered)
        saturation = factor(draws.saturation, settings.saturation)
        jittered = grey + (jittered - grey) * saturation
        turn = _between(draws.hue, -settings.hue, settings.hue)
        jittered = _turn_hue(jittered, 2 * jnp.pi * turn)
    on = draws.jitter < settings.jitter_probability
    return jnp.clip(jnp.where(on, jittered, view), 0.0, 1.0)


def _grey(view):
    if view.shape[-1] == 1:
        return view
    return jnp.dot(view, jnp.asarray(_LUMA), precision=_HIGHEST)[..., None]


def _turn_hue(view, angle):
    """Turns the two chroma axes; luma and grey pixels stay."""
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    luma, in_phase, quadrature = (np.outer(_TO_RGB[:, c], _TO_YIQ[c]) for c in range(3))
    across = np.outer(_TO_RGB[:, 2], _TO_YIQ[1]) - np.outer(_TO_RGB[:, 1], _TO_YIQ[2])
    matrix = luma + cos * (in_phase + quadrature) + sin * across
    return jnp.einsum("hwc,dc->hwd", view, matrix, precision=_HIGHEST)


def _blur(view, draws, settings):
    """Gaussian blur as a banded matrix on rows and on columns."""
    sigma = _between(draws.blur_sigma, *settings.blur_sigma)
    pixels = jnp.arange(view.shape[0])
    distances = jnp.square(pixels[:, None] - pixels[None])
    kernel = jnp.exp(-distances / (2 * jnp.square(sigma)))
    kernel /= jnp.sum(kernel, axis=1, keepdims=True)
    on = draws.blur < settings.blur_probability
    kernel = jnp.where(on, kernel, jnp.eye(view.shape[0]))
    return _separable(kernel, view, kernel)


def _solarise(views, keys, probability):
    """Inverts what is brighter than a half, in some of the views [B, h, w, 3]."""

    def one(view, key):
        draw = jax.random.uniform(jax.random.fold_in(key, _SOLARISED))
        inverted = jnp.where(view >= 0.5, 1 - view, view)
        return jnp.where(draw < probability, inverted, view)

    return jax.vmap(one)(views, keys)
