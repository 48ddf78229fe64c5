import itertools

import instances
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lvmmed_jax.matching import problem, solver


@pytest.mark.parametrize(("size", "count"), [(4, 50), (5, 50), (6, 50), (7, 50)])
def test_equals_brute_force(size, count):
    problems = instances.make(size, count, size, "early")
    solution = jax.jit(solver.Solver())(problems)
    assert np.all(problem.is_feasible(solution.matching))
    best = [
        instances.best_by_brute_force(instances.one(problems, index))
        for index in range(count)
    ]
    np.testing.assert_allclose(solution.objective, best, rtol=1e-5)


@pytest.mark.parametrize("regime", instances.REGIMES)
def test_default_equals_a_far_longer_search(regime):
    problems = instances.make(1, 16, 16, regime)
    found = jax.jit(solver.Solver())(problems).objective
    longer = jax.jit(solver.Solver(num_starts=32, num_steps=256))(problems).objective
    gap = np.maximum(longer - found, 0) / np.abs(longer)
    assert np.mean(gap <= 1e-5) >= 0.93
    assert np.mean(gap) <= 5e-4


def test_late_matching_without_noise_is_the_identity_though_never_given():
    problems = instances.make(2, 16, 16, "late", 0.0)
    matching = jax.jit(solver.Solver())(problems).matching
    np.testing.assert_array_equal(matching, np.broadcast_to(np.eye(16), matching.shape))


def test_relabelled_nodes_change_the_matching_and_not_the_value():
    problems = instances.make(3, 8, 8, "middle")
    order = np.random.default_rng(0).permutation(8)  # new name -> old node
    name = np.argsort(order)
    renamed = problems._replace(
        vertex_affinity=problems.vertex_affinity[:, order],
        edges_s=jnp.asarray(name)[problems.edges_s],
    )
    solve = jax.jit(solver.Solver())
    found, again = solve(problems), solve(renamed)
    np.testing.assert_allclose(found.objective, again.objective, rtol=1e-5)
    np.testing.assert_array_equal(found.matching[:, order], again.matching)


@pytest.mark.parametrize("size", [2, 5, 16])
def test_all_swap_deltas_are_differences_of_objectives(size):
    one = instances.one(instances.make(4, 1, size, "early"), 0)
    table = problem.pair_table(one)
    costs = one.vertex_affinity
    search = solver._begin(costs, table, jnp.arange(size, dtype=jnp.int32))
    step = jax.jit(solver._step)
    for index in range(50):
        search = step(table, jnp.int32(index), jnp.uint32(0), search)
    deltas = solver._swap_deltas(search.marginal, search.cross)
    targets = np.asarray(search.targets)
    assert sorted(targets) == list(range(size))
    eye = np.eye(size, dtype=np.float32)
    before = float(problem.objective(one, jnp.asarray(eye[targets])))
    for i, k in itertools.combinations(range(size), 2):
        swapped = targets.copy()
        swapped[[i, k]] = swapped[[k, i]]
        after = float(problem.objective(one, jnp.asarray(eye[swapped])))
        np.testing.assert_allclose(deltas[k, i], after - before, atol=2e-4)


def test_never_worse_than_a_given_start():
    problems = instances.make(5, 8, 12, "early")
    best = jax.jit(solver.Solver())(problems)
    start = jnp.argmax(best.matching, axis=-1)[:, None]
    lazy = solver.Solver(num_starts=1, num_steps=1)
    assert np.all(lazy(problems, start).objective >= best.objective - 1e-4)


@pytest.mark.parametrize("value", [0.0, 1.0, np.nan, np.inf, -np.inf])
def test_feasible_on_degenerate_affinities(value):
    problems = instances.make(6, 2, 8, "middle")
    spoiled = problems._replace(
        vertex_affinity=problems.vertex_affinity.at[0].set(value)
    )
    solution = jax.jit(solver.Solver())(spoiled)
    assert np.all(problem.is_feasible(solution.matching))
    alone = jax.jit(solver.Solver())(problems)
    np.testing.assert_array_equal(solution.matching[1], alone.matching[1])


@pytest.mark.parametrize("size", [4, 8, 16])
def test_equal_affinities_do_not_give_the_identity(size):
    """Collapsed embeddings must have a loss: the first start is not the identity."""
    flat = instances.make(7, 1, size, "late")
    flat = flat._replace(
        vertex_affinity=jnp.ones_like(flat.vertex_affinity),
        edge_affinity=jnp.zeros_like(flat.edge_affinity),
    )
    matching = solver.Solver()(flat).matching[0]
    assert not np.array_equal(matching, np.eye(size))
    assert np.all(np.any(solver._fixed_starts(size, 64) != np.arange(size), axis=1))


def test_a_problem_alone_and_in_a_batch_have_one_solution_bit_for_bit():
    problems = instances.make(8, 4, 16, "early")
    solve = jax.jit(solver.Solver())
    together = solve(problems)
    for index in range(4):
        alone = solve(jax.tree.map(lambda x, i=index: x[i : i + 1], problems))
        np.testing.assert_array_equal(alone.matching[0], together.matching[index])
    np.testing.assert_array_equal(together.objective, solve(problems).objective)
