import itertools
import os

import instances
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import synthetic
from lvmmed_jax.matching import problem, solver


@pytest.mark.parametrize(("size", "count"), [(4, 50), (5, 50), (6, 50), (7, 50)])
def test_equals_brute_force(size, count):
    problems = synthetic.make(size, count, size, "early")
    solution = solver.Solver()(problems)
    assert np.all(problem.is_feasible(solution.matching))
    best = [
        instances.best_by_brute_force(instances.one(problems, index))
        for index in range(count)
    ]
    np.testing.assert_allclose(solution.objective, best, rtol=1e-5)


def test_late_matching_without_noise_is_the_identity_though_never_given():
    problems = synthetic.make(2, 16, 16, "late", 0.0)
    matching = solver.Solver()(problems).matching
    np.testing.assert_array_equal(matching, np.broadcast_to(np.eye(16), matching.shape))


def test_relabelled_nodes_change_the_matching_and_not_the_value():
    problems = synthetic.make(3, 8, 8, "middle")
    order = np.random.default_rng(0).permutation(8)  # new name -> old node
    name = np.argsort(order)
    renamed = problems._replace(
        vertex_affinity=problems.vertex_affinity[:, order],
        edges_s=jnp.asarray(name)[problems.edges_s],
    )
    solve = solver.Solver()
    found, again = solve(problems), solve(renamed)
    np.testing.assert_allclose(found.objective, again.objective, rtol=1e-5)
    np.testing.assert_array_equal(found.matching[:, order], again.matching)


@pytest.mark.parametrize("size", [2, 5, 16])
def test_all_swap_deltas_are_differences_of_objectives(size):
    one = instances.one(synthetic.make(4, 1, size, "early"), 0)
    table = problem.pair_table(one)
    costs = one.vertex_affinity
    search = solver._begin(costs, table, jnp.arange(size, dtype=jnp.int32))
    step = jax.jit(solver._step)
    for index in range(50):
        until = jnp.int32(index + 3 + index % 8)
        search = step(table, jnp.int32(index), until, search)
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
    problems = synthetic.make(5, 8, 12, "early")
    best = solver.Solver()(problems)
    start = jnp.argmax(best.matching, axis=-1)[:, None]
    lazy = solver.Solver(num_starts=1, num_steps=1)
    assert np.all(lazy(problems, start).objective >= best.objective - 1e-4)


@pytest.mark.parametrize("value", [0.0, 1.0, np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["vertex_affinity", "edge_affinity"])
def test_feasible_on_degenerate_affinities(name, value):
    problems = synthetic.make(6, 2, 8, "middle")
    spoiled = problems._replace(
        **{name: getattr(problems, name).at[0, 1, 2:].set(value)}
    )
    solution = solver.Solver()(spoiled)
    assert np.all(problem.is_feasible(solution.matching))
    assert np.isnan(solution.objective[0]) == (not np.isfinite(value))
    alone = solver.Solver()(problems)
    np.testing.assert_array_equal(solution.matching[1], alone.matching[1])
    np.testing.assert_array_equal(solution.objective[1], alone.objective[1])


@pytest.mark.parametrize("size", [4, 8, 16])
def test_equal_affinities_do_not_give_the_identity(size):
    """Collapsed embeddings must have a loss: the first start is not the identity."""
    flat = synthetic.make(7, 1, size, "late")
    flat = flat._replace(
        vertex_affinity=jnp.ones_like(flat.vertex_affinity),
        edge_affinity=jnp.zeros_like(flat.edge_affinity),
    )
    matching = solver.Solver()(flat).matching[0]
    assert not np.array_equal(matching, np.eye(size))
    assert np.all(np.any(solver._fixed_starts(size, 64) != np.arange(size), axis=1))


def test_a_problem_alone_and_in_a_batch_have_one_solution_bit_for_bit():
    problems = synthetic.make(8, 4, 16, "early")
    solve = solver.Solver()
    together = solve(problems)
    for index in range(4):
        alone = solve(jax.tree.map(lambda x, i=index: x[i : i + 1], problems))
        np.testing.assert_array_equal(alone.matching[0], together.matching[index])
    np.testing.assert_array_equal(together.objective, solve(problems).objective)
    pairs = jax.tree.map(lambda x: x.reshape(2, 2, *x.shape[1:]), problems)
    mapped = jax.vmap(solve)(pairs).matching
    np.testing.assert_array_equal(mapped.reshape(4, 16, 16), together.matching)


@pytest.mark.parametrize("name", ["_MAX_ENTRIES", "_ENTRIES_A_CORE"])
def test_chunks_of_graphs_are_solved_as_one_batch(monkeypatch, name):
    problems = synthetic.make(9, 5, 7, "early")
    together = solver.Solver()(problems)
    with monkeypatch.context() as patch:
        patch.setattr(os, "cpu_count", lambda: 1)
        patch.setattr(problem, name, 2 * 7**4)
        jax.clear_caches()
        chunked = solver.Solver()(problems)  # three of 2: the first fills up the last
    jax.clear_caches()
    np.testing.assert_array_equal(chunked.matching, together.matching)
    np.testing.assert_allclose(chunked.objective, together.objective, rtol=1e-6)


def test_dense_problem_is_the_sparse_one():
    sparse = synthetic.make(10, 3, 6, "middle")
    tables = jax.vmap(problem.pair_table)(sparse)
    dense = problem.dense_problem(sparse.vertex_affinity, 0.5 * tables)
    found, expected = solver.Solver()(dense), solver.Solver()(sparse)
    np.testing.assert_array_equal(found.matching, expected.matching)
    np.testing.assert_allclose(found.objective, expected.objective, rtol=1e-5)


def test_dense_problem_drops_what_no_permutation_reaches():
    """bur26 of QAPLIB has such entries: unless they go, swap deltas are wrong."""
    generator = np.random.default_rng(0)
    vertex = generator.normal(size=(1, 5, 5)).astype(np.float32)
    pairs = generator.normal(size=(1, 5, 5, 5, 5)).astype(np.float32)
    dense = problem.dense_problem(jnp.asarray(vertex), jnp.asarray(pairs))
    solution = solver.Solver()(dense)
    best = max(
        vertex[0, range(5), targets].sum()
        + sum(
            pairs[0, i, targets[i], j, targets[j]] for i in range(5) for j in range(5)
        )
        for targets in map(list, itertools.permutations(range(5)))
    )
    np.testing.assert_allclose(solution.objective[0], best, rtol=1e-5)


@pytest.mark.parametrize("forbid", ["either", "both"])
def test_public_instance_chr12c(forbid):
    """QAPLIB's chr12c, which SciPy's tests print; its optimum is 11156."""
    flow, distance = instances.chr12c()
    pairs = -(flow[:, None, :, None] * distance[None, :, None, :])
    dense = problem.dense_problem(jnp.zeros((1, 12, 12)), jnp.asarray(pairs)[None])
    solve = solver.Solver(64, 256, forbid=forbid)
    assert float(solve(dense).objective[0]) == -11156


def test_both_pairs_forbidden_is_another_search_and_as_right():
    trees = synthetic.make_products(0, 4, 6, tree=True)
    short = [
        solver.Solver(2, 40, forbid=forbid)(synthetic.make(14, 16, 12, "early"))
        for forbid in ("either", "both")
    ]
    assert not np.array_equal(short[0].matching, short[1].matching)
    found = solver.Solver(forbid="both")(trees).objective
    for index, value in enumerate(found):
        one = instances.one(trees, index)
        values = jax.vmap(problem.objective, (None, 0))(
            one,
            np.eye(6, dtype=np.float32)[np.array([*itertools.permutations(range(6))])],
        )
        assert float(value) == float(jnp.max(values))


def test_padding_does_not_count_whatever_its_affinity():
    plain = synthetic.make(11, 2, 6, "early", neighbours=2)
    padded = plain._replace(
        edge_affinity=jnp.pad(
            plain.edge_affinity, ((0, 0), (0, 3), (0, 2)), constant_values=50.0
        ),
        edges_s=jnp.pad(plain.edges_s, ((0, 0), (0, 3), (0, 0))),
        edges_t=jnp.pad(plain.edges_t, ((0, 0), (0, 2), (0, 0))),
    )
    found, expected = solver.Solver()(padded), solver.Solver()(plain)
    np.testing.assert_array_equal(found.matching, expected.matching)
    np.testing.assert_allclose(found.objective, expected.objective, rtol=1e-6)


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"num_starts": 0}, "num_starts"),
        ({"tenure": (5, 3)}, "tenure"),
        ({"forbid": "none"}, "forbid"),
    ],
)
def test_refuses_what_cannot_search(settings, word):
    with pytest.raises(ValueError, match=word):
        solver.Solver(**settings)


def test_one_problem_without_an_axis_is_refused_with_the_shape():
    with pytest.raises(ValueError, match=r"\(6, 6\)"):
        solver.Solver()(instances.one(synthetic.make(0, 1, 6, "late"), 0))


@pytest.mark.parametrize("neighbours", [1, 3])
def test_smallest_graphs_and_all_neighbours(neighbours):
    problems = synthetic.make(12, 8, 4, "middle", neighbours=neighbours)
    found = solver.Solver()(problems).objective
    best = [
        instances.best_by_brute_force(instances.one(problems, index))
        for index in range(8)
    ]
    np.testing.assert_allclose(found, best, rtol=1e-5)


@pytest.mark.parametrize("size", [33, 64])
def test_large_graphs_are_searched_too(size):
    problems = synthetic.make(13, 1, size, "middle")
    starts = jnp.asarray(solver._fixed_starts(size, 2))[None]
    found = solver.Solver(num_starts=1, num_steps=30)(problems, starts)
    assert np.all(problem.is_feasible(found.matching))
    value = jax.vmap(problem.objective, (None, 0))
    begun = value(instances.one(problems, 0), jax.nn.one_hot(starts[0], size))
    assert float(found.objective[0]) > float(jnp.max(begun)) + 10
