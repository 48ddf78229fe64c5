"""Resizing of tables beside jax.image, where the two mean the same."""

import jax
import numpy as np
import pytest

from lvmmed_jax.models import position

TABLE = np.random.default_rng(0).standard_normal((14, 9, 3), np.float32)


@pytest.mark.parametrize("grid", [(14, 9), (7, 9), (20, 30), (3, 2), (1, 40)])
@pytest.mark.parametrize(
    ("resampling", "method", "antialias"),
    [(position.LINEAR, "linear", False), (position.TIMM, "cubic", True)],
)
def test_resizing_is_that_of_jax(grid, resampling, method, antialias):
    expected = jax.image.resize(TABLE, (*grid, 3), method, antialias=antialias)
    found = position.resize(TABLE, grid, resampling)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "resampling", [position.LINEAR, position.TIMM, position.DINOV2]
)
def test_what_is_constant_stays_and_what_fits_is_not_touched(resampling):
    for num_out in (3, 14, 40):
        weights = position.resizing_matrix(14, num_out, resampling)
        np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-6)
    np.testing.assert_array_equal(position.resize(TABLE, (14, 9), resampling), TABLE)


def test_relative_entries_are_differences_of_places():
    found = position.relative_matrix(4)
    rows, columns = np.indices((4, 4))
    np.testing.assert_array_equal(found - 3, rows - columns)
