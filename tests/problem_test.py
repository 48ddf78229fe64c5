import instances
import jax.numpy as jnp
import numpy as np

from benchmarks import synthetic
from lvmmed_jax.matching import problem


def _objective_by_loops(one, targets):
    """Eq. 4 edge by edge."""
    value = sum(float(one.vertex_affinity[i, a]) for i, a in enumerate(targets))
    for e, (i, j) in enumerate(np.asarray(one.edges_s)):
        for f, (a, b) in enumerate(np.asarray(one.edges_t)):
            if targets[i] == a and targets[j] == b:
                value += float(one.edge_affinity[e, f])
    return value


def test_objective_is_that_of_a_loop_over_edges():
    one = instances.one(synthetic.make(0, 1, 6, "early"), 0)
    targets = np.random.default_rng(0).permutation(6)
    matching = jnp.asarray(np.eye(6, dtype=np.float32)[targets])
    expected = _objective_by_loops(one, targets)
    np.testing.assert_allclose(problem.objective(one, matching), expected, rtol=1e-5)


def test_pair_table_sums_to_the_objective_and_has_its_zeros():
    one = instances.one(synthetic.make(1, 1, 6, "early"), 0)
    table = np.asarray(problem.pair_table(one))
    targets = np.random.default_rng(1).permutation(6)
    nodes = np.arange(6)
    pairs = table[nodes[:, None], targets[:, None], nodes[None], targets[None]]
    value = one.vertex_affinity[nodes, targets].sum() + pairs.sum() / 2
    matching = jnp.asarray(np.eye(6, dtype=np.float32)[targets])
    np.testing.assert_allclose(problem.objective(one, matching), value, rtol=1e-5)
    np.testing.assert_array_equal(table, table.transpose(2, 3, 0, 1))
    assert not table[nodes, :, nodes].any()
    assert not table[:, nodes, :, nodes].any()


def test_feasible_means_permutation():
    eye = jnp.eye(3)
    doubled = eye.at[0].set(eye[1])
    found = problem.is_feasible(jnp.stack([eye, doubled, eye * jnp.nan, eye / 2]))
    assert found.tolist() == [True, False, False, False]
