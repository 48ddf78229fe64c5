"""Images of a report: made smaller, and tinted by class."""

import numpy as np

from lvmmed_jax.report import images


def test_shrink_is_the_mean_of_blocks():
    image = np.arange(16, dtype=np.uint8).reshape(4, 4)
    np.testing.assert_array_equal(images.shrink(image, 2), [[2, 4], [10, 12]])
    np.testing.assert_array_equal(images.shrink(image, 4), image)


def test_overlay_tints_classes_only():
    image = np.full((1, 3), 100, np.uint8)
    tinted = images.overlay(image, np.array([[0, 1, 2]]))
    np.testing.assert_array_equal(tinted[0, 0], [100, 100, 100])
    expected = [0.45 * 100 + 0.55 * c for c in images.CLASS_COLOURS[0]]
    np.testing.assert_array_equal(tinted[0, 1], np.floor(expected))
    assert (tinted[0, 2] != tinted[0, 1]).any()
