"""Losses beside lightly's: stored numbers, and itself where it is installed."""

import method_goldens
import numpy as np
import pytest

NAMES = tuple(method_goldens.CASES)


def _assert_same(name, loss, gradient):
    found_loss, found = method_goldens.ours(name)
    np.testing.assert_allclose(found_loss, loss, rtol=1e-4)
    np.testing.assert_allclose(found, gradient, atol=1e-4 * np.abs(gradient).max())


@pytest.mark.parametrize("name", NAMES)
def test_loss_and_gradient_are_those_that_lightly_gave(name):
    with np.load(method_goldens.FILE) as stored:
        _assert_same(name, stored[f"{name} loss"], stored[f"{name} gradient"])


@pytest.mark.parametrize("name", NAMES)
def test_loss_and_gradient_are_lightlys(name):
    pytest.importorskip("lightly")
    _assert_same(name, *method_goldens.theirs(name))
