import jax.numpy as jnp
import numpy as np

from lvmmed_jax.methods import barlow_twins

GENERATOR = np.random.default_rng(0)
FIRST, SECOND = GENERATOR.normal(size=(2, 12, 5)).astype(np.float32)


def _loss(first, second, weight=0.0051):
    return barlow_twins.redundancy(jnp.asarray(first), jnp.asarray(second), weight)


def test_loss_is_that_of_the_paper_written_out():
    """Correlations as np.corrcoef gives them, entry by entry."""
    total = 0.0
    for i in range(5):
        for j in range(5):
            c = np.corrcoef(FIRST[:, i], SECOND[:, j])[0, 1]
            total += (1 - c) ** 2 if i == j else 0.0051 * c**2
    np.testing.assert_allclose(_loss(FIRST, SECOND), total, rtol=1e-4)


def test_scale_and_offset_of_a_feature_do_not_count_its_sign_does():
    scale = np.array([3, 0.5, 2, 7, 1], np.float32)
    offset = np.array([1, -2, 0, 4, 9], np.float32)
    expected = _loss(FIRST, SECOND)
    np.testing.assert_allclose(
        _loss(FIRST * scale + offset, SECOND), expected, rtol=1e-4
    )
    np.testing.assert_allclose(
        _loss(FIRST, SECOND * scale + offset), expected, rtol=1e-4
    )
    assert abs(float(_loss(-FIRST, SECOND) - expected)) > 0.1


def test_equal_views_of_features_that_do_not_correlate_are_without_loss():
    whitened = np.linalg.qr(FIRST - FIRST.mean(0))[0].astype(np.float32) * 10
    assert _loss(whitened, whitened, 1.0) < 1e-4
