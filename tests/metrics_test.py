import jax
import jax.numpy as jnp
import pytest

from lvmmed_jax import metrics


def test_rank_goes_from_one_to_all():
    assert metrics.embedding_rank(jnp.eye(8)) == pytest.approx(8, rel=1e-4)
    line = jnp.outer(jnp.arange(1.0, 9.0), jnp.ones(8))
    assert metrics.embedding_rank(line) == pytest.approx(1, abs=1e-3)


def test_spread_is_zero_collapsed_and_near_one_in_all_directions():
    assert metrics.embedding_std(jnp.ones((16, 4))) == pytest.approx(0, abs=1e-6)
    random = jax.random.normal(jax.random.key(0), (2048, 64))
    assert metrics.embedding_std(random) == pytest.approx(1, abs=0.02)


def test_accuracy_counts_true_partners():
    found = jnp.stack([jnp.eye(4), jnp.eye(4)[jnp.array([0, 1, 3, 2])]])
    target = jnp.broadcast_to(jnp.eye(4), found.shape)
    assert metrics.matching_accuracy(found, target).tolist() == [1.0, 0.5]
