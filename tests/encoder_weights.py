"""Random variables of an encoder, the same wherever they are made."""

import jax
import jax.numpy as jnp
import numpy as np

from lvmmed_jax.models import encoder_table


def make(encoder, width):
    """The Flax module."""
    return encoder_table.find(encoder).make(encoder, width, jnp.float32, False)


def random_variables(encoder, width, size, channels=3):
    """Variables of an encoder whose position tables are for images of `size`.

    Each leaf is drawn by itself, and such that maps neither vanish nor grow, attention
    is not uniform, and scales, biases and statistics matter.
    """
    images = jax.ShapeDtypeStruct((1, size, size, channels), jnp.float32)
    shapes = jax.eval_shape(
        lambda key, x: make(encoder, width).init(key, x, train=False),
        jax.random.key(0),
        images,
    )
    return draw(shapes)


def draw(shapes):
    """A tree of arrays of these shapes, drawn by their names."""
    leaves, structure = jax.tree_util.tree_flatten_with_path(shapes)
    drawn = [_draw(index, path[-1].key, x) for index, (path, x) in enumerate(leaves)]
    return jax.tree_util.tree_unflatten(structure, drawn)


def random_images(batch, height, width, channels=3):
    """Normalised images."""
    generator = np.random.default_rng(1)
    return generator.standard_normal((batch, height, width, channels), np.float32)


def _draw(seed, name, leaf):
    values = np.random.default_rng(seed).standard_normal(leaf.shape, np.float32)
    if name == "kernel":
        return values / np.float32(np.prod(leaf.shape[:-1]) ** 0.5)
    if name == "scale":
        return 1 + values / 8
    if name == "var":
        return np.exp(values / 4)
    return values / 4
