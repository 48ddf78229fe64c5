import jax.numpy as jnp
import numpy as np
import pytest

from lvmmed_jax import method_config
from lvmmed_jax.methods import vicreg

GENERATOR = np.random.default_rng(0)
EMBEDDING = (0.8 * GENERATOR.normal(size=(9, 3, 5))).astype(np.float32)
WEIGHTS = method_config.VICReg()


def _variance(x):
    deviations = [np.sqrt(np.var(x[:, j], ddof=1) + 1e-4) for j in range(x.shape[1])]
    return np.mean([max(0.0, 1 - each) for each in deviations])


def _covariance(x):
    covariance = np.cov(x.T)
    width = x.shape[1]
    return (
        sum(covariance[i, j] ** 2 for i in range(width) for j in range(width) if i != j)
        / width
    )


def test_loss_of_two_views_is_that_of_the_paper_written_out():
    a, b = EMBEDDING[:, 0].astype(float), EMBEDDING[:, 1].astype(float)
    expected = (
        25 * np.mean([np.mean((x - y) ** 2) for x, y in zip(a, b, strict=True)])
        + 25 * (_variance(a) + _variance(b)) / 2
        + _covariance(a)
        + _covariance(b)
    )
    found = vicreg.loss_of_views(jnp.asarray(EMBEDDING[:, :2]), vicreg.of_two(WEIGHTS))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_small_views_meet_the_large_ones_only():
    views = [EMBEDDING[:, v].astype(float) for v in range(3)]
    apart = [np.mean((views[a] - views[b]) ** 2) for a, b in ((0, 1), (0, 2), (1, 2))]
    expected = (
        25 * (2 * apart[0] + apart[1] + apart[2]) / 4
        + 25 * np.mean([_variance(x) for x in views])
        + np.mean([_covariance(x) for x in views])
    )
    found = vicreg.loss_of_views(jnp.asarray(EMBEDDING), WEIGHTS)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert vicreg.pairs(4) == [(0, 1), (0, 2), (0, 3), (1, 0), (1, 2), (1, 3)]


def test_an_offset_of_all_embeddings_and_the_order_of_features_do_not_count():
    expected = vicreg.loss_of_views(jnp.asarray(EMBEDDING), WEIGHTS)
    for same in (EMBEDDING + 3, EMBEDDING[..., ::-1], EMBEDDING[::-1]):
        found = vicreg.loss_of_views(jnp.asarray(same), WEIGHTS)
        np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert vicreg.loss_of_views(jnp.asarray(3 * EMBEDDING), WEIGHTS) != pytest.approx(
        float(expected), rel=0.1
    )


def test_collapse_costs_the_whole_variance_term():
    same = jnp.ones((8, 2, 5))
    found = vicreg.loss_of_views(same, WEIGHTS)
    np.testing.assert_allclose(found, 25 * (1 - 0.01), rtol=1e-5)
