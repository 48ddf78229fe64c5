"""Losses of downstream tasks beside NumPy's arithmetic."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lvmmed_jax.tasks import losses

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(2, 3, 5, 4)).astype(np.float32) * 3
LABELS = RNG.integers(0, 4, (2, 3, 5))
COUNTS = np.ones((2, 3, 5), np.float32)
COUNTS[1, :, 3:] = 0  # beside the second image


def _softmax(logits):
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("focal", [0.0, 2.0])
@pytest.mark.parametrize("weights", [(), (0.5, 2.0, 0.0, 1.0)])
def test_cross_entropy_with_counts_weights_and_focus(focal, weights):
    own = np.take_along_axis(_softmax(LOGITS), LABELS[..., None], -1)[..., 0]
    weight = COUNTS * np.array(weights or np.ones(4))[LABELS]
    expected = (-weight * (1 - own) ** focal * np.log(own)).sum() / weight.sum()
    found = losses.cross_entropy(
        LOGITS, LABELS, counts=COUNTS, class_weights=weights, focal=focal
    )
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("focal", [0.0, 2.0])
def test_each_label_has_its_own_cross_entropy(focal):
    logits, labels = LOGITS[0, 0], (LABELS[0, 0, :, None] == np.arange(4)).astype(float)
    weights = (1.0, 3.0, 0.5, 2.0)
    chance = 1 / (1 + np.exp(-logits))
    there = -np.array(weights) * (1 - chance) ** focal * np.log(chance)
    absent = -(chance**focal) * np.log(1 - chance)
    expected = np.mean(labels * there + (1 - labels) * absent)
    found = losses.binary_cross_entropy(
        logits, labels, positive_weights=weights, focal=focal
    )
    assert found == pytest.approx(expected, rel=1e-5)


def test_soft_dice_is_over_the_batch_with_background():
    chances, truth = _softmax(LOGITS), np.eye(4)[LABELS]
    inside = COUNTS.astype(bool)
    chances, truth = chances[inside], truth[inside]
    both, total = (chances * truth).sum(0), chances.sum(0) + truth.sum(0)
    expected = 1 - np.mean((2 * both + 1e-6) / (total + 1e-6))
    assert losses.soft_dice(LOGITS, LABELS, COUNTS) == pytest.approx(expected, rel=1e-5)


def test_pixels_beside_the_image_change_nothing():
    other = np.where(COUNTS[..., None] > 0, LOGITS, -LOGITS + 5)
    for loss in (
        lambda logits: losses.soft_dice(logits, LABELS, COUNTS),
        lambda logits: losses.cross_entropy(logits, LABELS, counts=COUNTS),
    ):
        assert loss(LOGITS) == pytest.approx(float(loss(other)), rel=1e-6)
        gradient = jax.grad(loss)(jnp.asarray(LOGITS))
        assert not np.any(np.asarray(gradient)[COUNTS == 0])


def test_a_focused_loss_of_a_sure_pixel_has_a_finite_gradient():
    sure = jnp.array([[100.0, -100.0]])
    gradient = jax.grad(
        lambda logits: losses.cross_entropy(logits, jnp.array([0]), focal=0.5)
    )(sure)
    assert np.isfinite(gradient).all()
