import jax
import jax.numpy as jnp
import numpy as np

from lvmmed_jax.methods import swav

GENERATOR = np.random.default_rng(0)
SCORES = GENERATOR.uniform(-1, 1, (8, 4, 5)).astype(np.float32)
QUEUE = GENERATOR.uniform(-1, 1, (2, 6, 5)).astype(np.float32)


def _sinkhorn(scores, iterations=3):
    """Eq. 3 in the order of the paper: columns of Q^T, then rows."""
    q = np.exp(scores.astype(float) / 0.05).T
    q /= q.sum()
    for _ in range(iterations):
        q /= q.sum(axis=1, keepdims=True) * q.shape[0]
        q /= q.sum(axis=0, keepdims=True) * q.shape[1]
    return (q * q.shape[1]).T


def _loss(scores, queue=None):
    total, (count, num_views, _) = 0.0, scores.shape
    for view in (0, 1):
        asked = scores[:, view] if queue is None else [*scores[:, view], *queue[view]]
        assigned = _sinkhorn(np.asarray(asked))[:count]
        for other in range(num_views):
            if other == view:
                continue
            chances = np.exp(scores[:, other].astype(float) / 0.1)
            chances /= chances.sum(axis=1, keepdims=True)
            total -= np.mean(np.sum(assigned * np.log(chances), axis=1))
    return total / (num_views - 1) / 2


def _found(scores, counts=False, queue=QUEUE):
    return swav.swapped_loss(
        jnp.asarray(scores), jnp.asarray(queue), jnp.asarray(counts), 0.1, 0.05, 3
    )[0]


def test_loss_is_that_of_the_paper_written_out():
    np.testing.assert_allclose(_found(SCORES[:, :2]), _loss(SCORES[:, :2]), rtol=1e-4)
    np.testing.assert_allclose(_found(SCORES), _loss(SCORES), rtol=1e-4)
    np.testing.assert_allclose(_found(SCORES, True), _loss(SCORES, QUEUE), rtol=1e-4)


def test_assignments_use_all_prototypes_equally():
    assigned = swav.sinkhorn(jnp.asarray(SCORES[:, 0]), 0.05, 200)
    np.testing.assert_allclose(assigned.sum(axis=1), 1, rtol=1e-4)
    np.testing.assert_allclose(assigned.sum(axis=0), 8 / 5, rtol=1e-3)


def test_large_scores_do_not_overflow():
    assert np.all(np.isfinite(swav.sinkhorn(jnp.asarray(100 * SCORES[:, 0]), 0.05, 3)))


def test_order_of_the_prototypes_does_not_count():
    order = np.array([3, 1, 4, 0, 2])
    found = _found(SCORES[..., order], True, QUEUE[..., order])
    np.testing.assert_allclose(found, _found(SCORES, True), rtol=1e-5)


def test_no_gradient_passes_the_assignments():
    """That of log softmax alone is (softmax - q) / T."""
    scores = jnp.asarray(SCORES[:, :2])
    gradient = jax.grad(_found)(scores)
    q = np.stack([_sinkhorn(SCORES[:, 1]), _sinkhorn(SCORES[:, 0])], axis=1)
    expected = (jax.nn.softmax(scores / 0.1) - q) / 0.1 / 8 / 2
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-5)


def test_share_of_prototypes_that_are_used():
    np.testing.assert_allclose(swav.used(jnp.array([[0, 3], [3, 0]]), 8), 2 / 8)
