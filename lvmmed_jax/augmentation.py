"""Random changes of labelled images on the device; masks and boxes follow.

A pixel of the result looks up where it comes from: one map of places for image and
mask, linear for the one and nearest for the other. One key an image: the number of
devices changes no number. Test images go through `plain`.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy import ndimage
from jaxtyping import Array, Float

from lvmmed_jax import config

_HIGHEST = jax.lax.Precision.HIGHEST


class _Draws(NamedTuple):
    """Everything random about one image but noise and knots, uniform in [0, 1)."""

    flip: jax.Array
    flip_rows: jax.Array
    rotation: jax.Array
    scale: jax.Array
    shift_rows: jax.Array
    shift_columns: jax.Array
    elastic: jax.Array
    brightness: jax.Array
    contrast: jax.Array
    gamma: jax.Array
    noise: jax.Array


class _Affine(NamedTuple):
    """result - centre = matrix @ (original - centre) + shift, in pixels."""

    matrix: jax.Array
    shift: jax.Array
    centre: jax.Array


def plain(images: Array) -> Float[Array, "B H W 3"]:
    """uint8 [B, H, W, C] -> [0, 1], grey repeated: what is tested on."""
    values = images.astype(jnp.float32) / 255
    return jnp.broadcast_to(values, (*values.shape[:3], 3))


def augment(
    batch: dict[str, Array], key: Array, settings: config.Augmentation
) -> dict[str, Array]:
    """Draws a changed copy of every image of a training batch.

    Args:
      batch: of `data_pipelines.labels.batches`: "image", uint8 [B, S, S, C], and
        "inner", [B, 2], the part of it that is image; perhaps "mask" [B, S, S], or
        "boxes" [B, M, 4] and "classes" [B, M], -1 where there is none.
      key: the step's key; image b uses `fold_in(key, b)`.
      settings: ranges and probabilities.

    Returns:
      The batch with "image" float32 [B, S, S, 3] in [0, 1], 0 where nothing of the
      original is seen, and its mask there 0; with boxes that are cut at the edges, and
      dropped (-1) where too little of them is left.

    Raises:
      ValueError: there are boxes, and settings that turn or bend images.
    """
    if "boxes" in batch and (settings.rotation or settings.elastic_probability):
        raise ValueError(
            "boxes follow flips, scales and shifts only: set rotation and "
            "elastic_probability to 0"
        )
    names = ("image", "inner", "mask", "boxes", "classes")
    given = {name: batch[name] for name in names if name in batch}
    keys = jax.vmap(lambda index: jax.random.fold_in(key, index))(
        jnp.arange(len(batch["image"]))
    )
    changed = jax.vmap(lambda one, key: _augment(one, key, settings))(given, keys)
    return {**batch, **changed}


def _augment(one, key, settings):
    """One image."""
    drawing, bending, noising = jax.random.split(key, 3)
    draws = _Draws(*jax.random.uniform(drawing, (len(_Draws._fields),)))
    pixels = one["image"].astype(jnp.float32) / 255
    affine = _affine(one["inner"].astype(jnp.float32), draws, settings)
    places = _places(pixels.shape[0], affine)
    if settings.elastic_probability:
        places += _bend(pixels.shape[0], bending, draws, settings)
    last = one["inner"].astype(jnp.float32)[:, None, None] - 1
    seen = jnp.all((places >= -0.5) & (places < last + 0.5), axis=0)
    # content grows over no padding: "inner" says of the result what it said before
    seen &= jnp.all(jnp.indices(seen.shape) <= last, axis=0)
    places = jnp.clip(places, 0.0, last)  # padding does not darken the edge
    image = jax.vmap(lambda plane: _look_up(plane, places, 1), -1, -1)(pixels)
    image = _intensity(image, seen, noising, draws, settings)
    image = jnp.where(seen[..., None], image, 0.0)
    out = {"image": jnp.broadcast_to(image, (*image.shape[:2], 3))}
    if "mask" in one:
        nearest = _look_up(one["mask"], places, 0)
        out["mask"] = jnp.where(seen, nearest, 0)
    if "boxes" in one:
        out |= _boxes(one, affine, settings)
    return out


def _between(draw, low, high):
    return low + draw * (high - low)


def _affine(inner, draws, settings) -> _Affine:
    """Flips, then scale and rotation about the centre of the image, then the shift."""
    angle = jnp.deg2rad(_between(draws.rotation, -settings.rotation, settings.rotation))
    low, high = (math.log(bound) for bound in settings.scale)
    scale = jnp.exp(_between(draws.scale, low, high))
    cos, sin = scale * jnp.cos(angle), scale * jnp.sin(angle)
    flips = jnp.where(
        jnp.stack([draws.flip_rows, draws.flip])
        < jnp.array([settings.flip_rows_probability, settings.flip_probability]),
        -1.0,
        1.0,
    )
    matrix = jnp.stack([jnp.stack([cos, -sin]), jnp.stack([sin, cos])]) * flips[None]
    shift = jnp.stack([draws.shift_rows, draws.shift_columns])
    shift = _between(shift, -settings.shift, settings.shift) * inner
    return _Affine(matrix, shift, inner / 2)


def _places(side, affine: _Affine):
    """[2, S, S]: where each pixel of the result lies in the original, in indices."""
    inverse = jnp.linalg.inv(affine.matrix)
    centres = jnp.stack(jnp.meshgrid(*[jnp.arange(side) + 0.5] * 2, indexing="ij"))
    away = centres - (affine.centre + affine.shift)[:, None, None]
    back = jnp.einsum("ab,bij->aij", inverse, away, precision=_HIGHEST)
    return back + affine.centre[:, None, None] - 0.5


def _bend(side, key, draws, settings):
    """[2, S, S] pixels: a smooth random displacement, a cubic spline of few knots."""
    knots = jax.random.normal(key, (2, settings.elastic_knots, settings.elastic_knots))
    basis = _splines(side, settings.elastic_knots)
    smooth = jnp.einsum("ik,akl,jl->aij", basis, knots, basis, precision=_HIGHEST)
    on = draws.elastic < settings.elastic_probability
    return jnp.where(on, settings.elastic_pixels * smooth, 0.0)


def _splines(side, num_knots):
    """[S, K] cubic B-splines, knots from edge to edge; rows sum to 1."""
    at = jnp.linspace(0.0, num_knots - 1.0, side)
    away = jnp.abs(at[:, None] - jnp.arange(num_knots)[None])
    near = 2 / 3 - away**2 + away**3 / 2
    far = jnp.maximum(2 - away, 0) ** 3 / 6
    weights = jnp.where(away < 1, near, far)
    return weights / jnp.sum(weights, axis=1, keepdims=True)


def _look_up(plane, places, order):
    return ndimage.map_coordinates(plane, list(places), order=order, mode="nearest")


def _intensity(image, seen, key, draws, settings):
    """Gamma, brightness, contrast about the mean, noise; clipped to [0, 1]."""

    def factor(draw, strength):
        return _between(draw, 1 - strength, 1 + strength)

    low, high = (math.log(bound) for bound in settings.gamma)
    exponent = jnp.exp(_between(draws.gamma, low, high))
    image = jnp.maximum(image, 1e-6) ** exponent
    image *= factor(draws.brightness, settings.brightness)
    total = jnp.maximum(jnp.sum(seen) * image.shape[-1], 1)
    mean = jnp.sum(image * seen[..., None]) / total
    image = mean + (image - mean) * factor(draws.contrast, settings.contrast)
    strength = draws.noise * settings.noise
    image += strength * jax.random.normal(key, image.shape)
    return jnp.clip(image, 0.0, 1.0)


def _boxes(one, affine: _Affine, settings):
    """Boxes under flips, scale and shift, cut at the image's edges."""
    edges = one["boxes"].reshape(-1, 2, 2)  # M corner (row, column)
    scale, centre, shift = (
        each[None, None]
        for each in (jnp.diagonal(affine.matrix), affine.centre, affine.shift)
    )
    moved = (edges - centre) * scale + centre + shift
    low, high = jnp.min(moved, axis=1), jnp.max(moved, axis=1)
    limit = one["inner"].astype(jnp.float32)
    cut = jnp.clip(jnp.stack([low, high], axis=1), 0.0, limit[None, None])
    area = jnp.prod(high - low, axis=1)
    left = jnp.prod(cut[:, 1] - cut[:, 0], axis=1)
    kept = (one["classes"] >= 0) & (left > settings.least_box_share * area)
    return {
        "boxes": jnp.where(kept[:, None], cut.reshape(-1, 4), -1.0),
        "classes": jnp.where(kept, one["classes"], -1),
    }
