import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import synthetic
from lvmmed_jax.matching import assignment, relaxation, solver


def test_sinkhorn_is_doubly_stochastic():
    scores = jax.random.normal(jax.random.key(0), (7, 7)) * 3
    soft = relaxation.sinkhorn(scores, 200)
    for axis in (0, 1):
        np.testing.assert_allclose(np.sum(soft, axis=axis), 1, atol=1e-5)


def test_sinkhorn_of_steep_scores_is_the_assignment():
    scores = jax.random.normal(jax.random.key(1), (6, 6))
    soft = relaxation.sinkhorn(scores / 0.01, 500)
    np.testing.assert_array_equal(np.argmax(soft, axis=1), assignment.assign(scores))
    assert np.max(soft, axis=1).min() > 0.95


def test_sinkhorn_maximises_scores_plus_entropy():
    """Any other doubly stochastic matrix is worth less."""
    scores = jax.random.normal(jax.random.key(2), (5, 5))

    def worth(soft):
        return float(jnp.sum(soft * scores) - jnp.sum(soft * jnp.log(soft)))

    best = relaxation.sinkhorn(scores, 500)
    for seed in range(20):
        other = relaxation.sinkhorn(
            jax.random.normal(jax.random.key(seed), (5, 5)), 500
        )
        for share in (0.01, 0.5):
            assert worth(best) > worth((1 - share) * best + share * other) - 1e-6


def test_soft_match_is_near_the_solver_on_clear_problems():
    problems = synthetic.make(0, 8, 8, "late", 0.0)
    soft = relaxation.soft_match(problems, 0.05)
    exact = solver.Solver()(problems).matching
    assert np.mean(np.argmax(soft, -1) == np.argmax(exact, -1)) > 0.95


def test_descent_raises_the_affinity_of_true_pairs():
    problems = synthetic.make(1, 4, 8, "early")

    def loss(vertex):
        soft = relaxation.soft_match(problems._replace(vertex_affinity=vertex), 1.0)
        return -jnp.sum(soft * jnp.eye(8)[None])

    gradient = jax.jit(jax.grad(loss))(problems.vertex_affinity)
    assert np.all(np.isfinite(gradient))
    assert np.all(np.trace(gradient, axis1=1, axis2=2) < 0)
