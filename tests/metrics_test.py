import jax
import jax.numpy as jnp
import pytest

from lvmmed_jax import metrics


def test_rank_goes_from_one_to_all():
    assert metrics.embedding_rank(jnp.eye(8)) == pytest.approx(8, rel=1e-4)
    line = jnp.outer(jnp.arange(1.0, 9.0), jnp.ones(8))
    assert metrics.embedding_rank(line) == pytest.approx(1, abs=1e-3)


def test_rank_weighs_directions_by_their_share():
    embeddings = jnp.diag(jnp.array([3.0, 1.0]))  # shares 3/4 and 1/4
    expected = (4 / 3) ** (3 / 4) * 4 ** (1 / 4)
    assert metrics.embedding_rank(embeddings) == pytest.approx(expected, rel=1e-5)
    assert metrics.embedding_rank(7 * embeddings) == pytest.approx(expected, rel=1e-5)


def test_spread_sees_directions_and_not_lengths():
    embeddings = jnp.array([[1.0, 0.0], [0.0, 9.0]])  # deviations 1/2 and 1/2
    assert metrics.embedding_std(embeddings) == pytest.approx(0.5 * 2**0.5, rel=1e-5)


def test_embeddings_of_zero_are_collapsed_and_no_nan():
    nothing = jnp.zeros((4, 3))
    assert metrics.embedding_rank(nothing) == pytest.approx(1, abs=1e-3)
    assert metrics.embedding_std(nothing) == 0


def test_spread_is_zero_collapsed_and_near_one_in_all_directions():
    assert metrics.embedding_std(jnp.ones((16, 4))) == pytest.approx(0, abs=1e-6)
    random = jax.random.normal(jax.random.key(0), (2048, 64))
    assert metrics.embedding_std(random) == pytest.approx(1, abs=0.02)


def test_retrieval_needs_the_true_pair_on_top():
    affinities = jnp.stack([jnp.eye(4), jnp.eye(4)[jnp.array([0, 1, 3, 2])]])
    assert metrics.retrieval_accuracy(affinities) == 0.75
    assert metrics.retrieval_accuracy(jnp.ones((3, 4, 4))) == 0.25  # chance


def test_accuracy_counts_true_partners():
    found = jnp.stack([jnp.eye(4), jnp.eye(4)[jnp.array([0, 1, 3, 2])]])
    target = jnp.broadcast_to(jnp.eye(4), found.shape)
    assert metrics.matching_accuracy(found, target).tolist() == [1.0, 0.5]
