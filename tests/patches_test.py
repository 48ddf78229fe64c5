import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from lvmmed_jax.models import patches


@pytest.mark.parametrize("shape", [(2, 8, 12, 3), (1, 11, 4, 1)])
def test_tiles_give_the_convolution_of_xla(shape):
    keys = jax.random.split(jax.random.key(0), 2)
    x = jax.random.normal(keys[0], shape)
    kernel = jax.random.normal(keys[1], (4, 4, shape[-1], 5))

    def reference(x, kernel):
        numbers = ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(
            x, kernel, (4, 4), "VALID", dimension_numbers=numbers
        )

    def ours(x, kernel):
        return patches.conv(x, kernel, (4, 4), "VALID")

    found, expected = (
        (
            f(x, kernel),
            jax.grad(lambda x, k, f=f: (f(x, k) ** 2).sum(), (0, 1))(x, kernel),
        )
        for f in (ours, reference)
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4),
        found,
        expected,
    )


def test_images_are_padded_below_and_to_the_right():
    found = patches.pad(jnp.ones((1, 5, 8, 2)), 4)
    assert found.shape == (1, 8, 8, 2)
    np.testing.assert_array_equal(found[0, 5:], 0)
    assert patches.pad(found, 4) is found


@pytest.mark.parametrize(
    ("num_cells", "size", "patch", "expected"),
    [
        (2, 32, 16, [0.25, 0.75]),
        (3, 40, 16, [0.2, 0.6, 0.9]),  # the last tile has 8 pixels in the image
        (3, 100, 32, [0.16, 0.48, 0.8]),  # what is left is in no tile
    ],
)
def test_centres_are_the_middles_of_tiles(num_cells, size, patch, expected):
    np.testing.assert_allclose(patches.cell_centres(num_cells, size, patch), expected)
