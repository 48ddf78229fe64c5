import functools
import itertools

import instances
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from benchmarks import synthetic
from lvmmed_jax.matching import certificate, imle, perturbation, problem, solver
from lvmmed_jax.train import sharding

SEARCH = solver.Solver()


def _losses(problems, interpolation=80.0):
    matching, _ = imle.match(SEARCH, problems, interpolation)
    return imle.hamming_loss(
        matching, jnp.broadcast_to(jnp.eye(matching.shape[-1]), matching.shape)
    )


@jax.jit
def _weighted_gradient(problems, weights, interpolation):
    def loss(vertex, edge):
        noisy = problems._replace(vertex_affinity=vertex, edge_affinity=edge)
        return jnp.sum(weights * _losses(noisy, interpolation))

    return jax.grad(loss, (0, 1))(problems.vertex_affinity, problems.edge_affinity)


def _gradient(problems, weight=1.0, interpolation=80.0):
    """Of `weight` times the sum of the losses; one program for equal shapes."""
    weights = jnp.full(len(problems.vertex_affinity), weight)
    return _weighted_gradient(problems, weights, jnp.float32(interpolation))


@pytest.mark.parametrize("interpolation", [0.5, 5.0])
def test_gradient_is_that_of_algorithm_1_written_out(interpolation):
    """Eq. 6 with both solves by the forward solver; 2 N cotangents of size one."""
    problems = synthetic.make(0, 8, 8, "early")
    vertex, edge = _gradient(problems, interpolation=interpolation)
    target = jnp.broadcast_to(jnp.eye(8), (8, 8, 8))
    first = SEARCH(problems).matching
    shifted = problems._replace(
        vertex_affinity=problems.vertex_affinity - interpolation * (1 - 2 * target)
    )
    second = SEARCH(shifted).matching
    edges = [
        jax.vmap(problem.edge_matching)(v, problems.edges_s, problems.edges_t)
        for v in (first, second)
    ]
    # a small lambda needs a real second solve: its solution is not the target
    assert np.any(second != target) == (interpolation == 0.5)
    np.testing.assert_allclose(vertex, (first - second) / interpolation, atol=1e-6)
    np.testing.assert_allclose(edge, (edges[0] - edges[1]) / interpolation, atol=1e-6)


def test_descent_raises_the_affinity_of_true_pairs():
    """A wrong pair that was chosen gets a positive gradient, a missed true one a
    negative one."""
    vertex = jnp.array([[[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]])
    edges = jnp.array([[[0, 1]]])
    problems = problem.MatchingProblem(vertex, jnp.zeros((1, 1, 1)), edges, edges)
    gradient, _ = _gradient(problems)
    expected = np.array([[[-1, 1, 0], [1, -1, 0], [0, 0, 0]]]) / 80
    np.testing.assert_allclose(gradient, expected, atol=1e-8)


def test_mean_over_graphs_divides_the_gradient():
    problems = synthetic.make(1, 8, 8, "early")
    summed = _gradient(problems)
    averaged = _gradient(problems, weight=1 / 8)
    for total, mean in zip(summed, averaged, strict=True):
        np.testing.assert_allclose(total, 8 * mean, rtol=1e-5)
    assert np.any(np.asarray(summed[1]) != 0)


def test_zero_cotangent_gives_zero():
    problems = synthetic.make(2, 8, 8, "early")
    for gradient in _gradient(problems, weight=0.0):
        np.testing.assert_array_equal(gradient, 0)


def test_at_the_papers_lambda_the_second_matching_is_the_target():
    problems = synthetic.make(3, 8, 8, "early")
    gradient, _ = _gradient(problems)
    first = SEARCH(problems).matching
    np.testing.assert_allclose(gradient * 80, first - np.eye(8)[None], atol=1e-5)


@pytest.fixture
def patch(monkeypatch):
    """Replaces a function in programs compiled from here on, and not after the test."""

    def replace(module, name, function):
        monkeypatch.setattr(module, name, function)
        jax.clear_caches()

    yield replace
    monkeypatch.undo()
    jax.clear_caches()


@pytest.mark.parametrize("interpolation", [0.5, 4.0, 20.0])
def test_proof_and_search_give_one_gradient(patch, interpolation):
    """Whatever is proved, the search alone would have found too."""
    problems = synthetic.make(13, 8, 8, "middle")
    proved = _gradient(problems, interpolation=interpolation)

    def nothing(gain):
        return jnp.zeros_like(gain[:, 0, 0], dtype=bool)

    patch(certificate, "is_optimal_row_by_row", nothing)
    patch(certificate, "is_optimal", nothing)
    searched = _gradient(problems, interpolation=interpolation)
    for one, other in zip(proved, searched, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_no_search_where_all_is_proved(patch):
    """The branch is not taken: a solver that fails when it runs is not noticed."""
    problems = synthetic.make(14, 8, 8, "late")
    ran = []

    def spy(solver, num_nodes):
        def search(shifted, starts):
            jax.debug.callback(lambda: ran.append(1))
            return SEARCH(shifted, starts)

        return search

    patch(imle, "_shorter", spy)
    jax.block_until_ready(_gradient(problems, interpolation=80.0))
    jax.effects_barrier()
    assert not ran
    jax.block_until_ready(_gradient(problems, interpolation=0.1))
    jax.effects_barrier()
    assert ran


def test_a_proved_graph_keeps_its_gradient_beside_one_that_is_searched():
    """What stands beside it in the batch may not change a graph's gradient."""
    hard, easy = (synthetic.make(15, 8, 8, name) for name in ("early", "late"))
    both = jax.tree.map(lambda a, b: jnp.concatenate([a[:4], b[:4]]), hard, easy)
    together = _gradient(both, interpolation=4.0)
    for alone, part in ((hard, slice(0, 4)), (easy, slice(4, 8))):
        for one, other in zip(
            _gradient(alone, interpolation=4.0), together, strict=True
        ):
            np.testing.assert_array_equal(one[:4], other[part])


@pytest.mark.parametrize("interpolation", [0.3, 3.0])
def test_cotangents_of_any_kind_follow_eq_6(interpolation):
    """Gaussian cotangents of v and y: normalised, shifted, solved by brute force."""
    problems = synthetic.make(16, 6, 6, "middle")
    generator = np.random.default_rng(0)
    vertex, edge = (
        generator.normal(size=x.shape).astype(np.float32)
        for x in (problems.vertex_affinity, problems.edge_affinity)
    )

    def loss(c_vertex, c_edge):
        matching, chosen = imle.match(
            SEARCH,
            problems._replace(vertex_affinity=c_vertex, edge_affinity=c_edge),
            interpolation,
        )
        return 7.0 * (jnp.sum(vertex * matching) + jnp.sum(edge * chosen))

    found = jax.jit(jax.grad(loss, (0, 1)))(
        problems.vertex_affinity, problems.edge_affinity
    )
    for index in range(6):
        one = jax.tree.map(np.asarray, instances.one(problems, index))
        g_v, g_e = 7 * vertex[index], 7 * edge[index]
        scale = max(np.abs(g_v).max(), np.abs(g_e).max())
        shifted = one._replace(
            vertex_affinity=one.vertex_affinity - interpolation * g_v / scale,
            edge_affinity=one.edge_affinity - interpolation * g_e / scale,
        )
        (v, y), (w, z) = (_best_indicators(each) for each in (one, shifted))
        np.testing.assert_allclose(
            found[0][index], scale * (v - w) / interpolation, atol=1e-4
        )
        np.testing.assert_allclose(
            found[1][index], scale * (y - z) / interpolation, atol=1e-4
        )


def _best_indicators(one):
    """v and y of the best permutation, in NumPy, over all of them."""
    targets = instances.best_targets_by_brute_force(one)
    matching = np.eye(len(targets))[targets]
    (i, j), (a, b) = one.edges_s.T, one.edges_t.T
    return matching, matching[i][:, a] * matching[j][:, b]


def test_where_certified_the_gradient_is_fenchel_youngs_over_lambda():
    problems = synthetic.make(17, 8, 8, "early")
    target = jnp.broadcast_to(jnp.eye(8), (8, 8, 8))
    needed = certificate.needed_interpolation(problems, jnp.argmax(target, axis=-1))
    assert np.all(needed <= 80)

    def loss(vertex, edge):
        noisy = problems._replace(vertex_affinity=vertex, edge_affinity=edge)
        found = SEARCH(jax.lax.stop_gradient(noisy)).matching
        losses = imle.fenchel_young_loss(noisy, found, target)
        return jnp.sum(losses), losses

    gradient, losses = jax.jit(jax.grad(loss, (0, 1), has_aux=True))(
        problems.vertex_affinity, problems.edge_affinity
    )
    assert np.all(losses > 0)
    for one, other in zip(gradient, _gradient(problems), strict=True):
        np.testing.assert_allclose(one, 80 * other, atol=1e-5)


def test_mean_over_noise_is_the_gradient_of_the_smoothed_loss():
    """E[v - v*] against finite differences of E[max objective] - objective(v*).

    The smoothed loss is that of Fenchel and Young, here over all 24 permutations in
    NumPy; where certified, I-MLE's gradient is its, over lambda.
    """
    clean = instances.one(synthetic.make(18, 1, 4, "middle", 0.0), 0)
    keys = jax.random.split(jax.random.key(0), 2048)
    noisy = jax.vmap(lambda key: perturbation.perturb(clean, key, 1.0))(keys)
    found = np.concatenate(
        [80 * np.mean(each, axis=0).ravel() for each in _gradient(noisy)]
    )
    # an objective is the product of affinities with the indicators of v and y
    every = np.eye(4, dtype=np.float32)[list(itertools.permutations(range(4)))]
    chosen = jax.vmap(problem.edge_matching, (0, None, None))(
        jnp.asarray(every), clean.edges_s, clean.edges_t
    )
    indicators = np.concatenate(
        [every.reshape(24, -1), np.reshape(chosen, (24, -1))], axis=1
    )
    affinities = np.concatenate([np.ravel(x) for x in clean[:2]])
    generator = np.random.default_rng(0)
    noise = generator.gumbel(size=(20_000, affinities.size))
    width = 0.1
    for place in [0, 1, 14, 16, 40, 100]:
        step = np.zeros_like(affinities)
        step[place] = width
        high, low = (
            np.max((noise + affinities + sign * step) @ indicators.T, axis=1)
            for sign in (1, -1)
        )
        slopes = (high - low) / (2 * width) - indicators[0, place]
        # two samples, the smaller with a variance of at most 1 / 4
        error = slopes.std() / len(noise) ** 0.5 + 0.5 / len(keys) ** 0.5
        assert abs(slopes.mean() - found[place]) < 4 * error, place


def test_not_finite_affinities_give_a_permutation_and_a_finite_gradient():
    problems = synthetic.make(19, 8, 8, "early")
    spoiled = problems._replace(
        vertex_affinity=problems.vertex_affinity.at[0, 0, 0].set(jnp.nan)
    )
    matching, _ = imle.match(SEARCH, spoiled, 80.0)
    assert np.all(problem.is_feasible(matching))
    assert np.all(np.isfinite(_gradient(spoiled)[0]))


def test_gradient_through_remat_is_the_same():
    problems = synthetic.make(20, 2, 8, "early")

    def loss(vertex):
        return jnp.sum(_losses(problems._replace(vertex_affinity=vertex)))

    plain = jax.jit(jax.grad(loss))(problems.vertex_affinity)
    again = jax.jit(jax.grad(jax.checkpoint(loss)))(problems.vertex_affinity)
    np.testing.assert_array_equal(plain, again)


def test_edge_matching_takes_cotangents_too():
    """A loss that wants one chosen edge pair gone pushes its affinity down."""
    problems = synthetic.make(4, 1, 6, "late")
    _, chosen = imle.match(SEARCH, problems, 80.0)
    unwanted = jnp.zeros_like(chosen).at[tuple(np.argwhere(chosen)[0])].set(1.0)

    def loss(edge):
        _, chosen = imle.match(SEARCH, problems._replace(edge_affinity=edge), 80.0)
        return jnp.sum(unwanted * chosen)

    gradient = jax.jit(jax.grad(loss))(problems.edge_affinity)
    assert np.all(gradient[unwanted == 1] > 0)


@pytest.mark.parametrize("interpolation", [1.0, 80.0])
def test_gradient_on_eight_devices_is_that_on_one(interpolation):
    problems = synthetic.make(5, 8, 8, "middle")
    mesh = sharding.make_mesh()
    assert mesh.size == 8
    spec = PartitionSpec(sharding.AXES)
    of_lambda = functools.partial(_losses, interpolation=interpolation)
    losses = jax.shard_map(of_lambda, mesh=mesh, in_specs=(spec,), out_specs=spec)

    def loss(vertex, losses):
        return jnp.mean(losses(problems._replace(vertex_affinity=vertex)))

    def both(losses):
        run = jax.jit(jax.value_and_grad(lambda vertex: loss(vertex, losses)))
        return run(problems.vertex_affinity)

    (sharded, sharded_gradient), (one, one_gradient) = both(losses), both(of_lambda)
    np.testing.assert_allclose(sharded, one)
    np.testing.assert_array_equal(sharded_gradient, one_gradient)


def test_free_embeddings_learn_to_match():
    """The rule, by itself, drives matching from chance to certainty."""
    from lvmmed_jax.matching import affinity, graphs

    def loss(nodes):
        graph = [graphs.knn_graph(affinity.normalise(view), 3) for view in nodes]
        one = problem.MatchingProblem(
            affinity.cosine(graph[0].nodes, graph[1].nodes),
            affinity.edge_affinity(*graph),
            *map(graphs.edges, graph),
        )
        return jnp.sum(_losses(jax.tree.map(lambda x: x[None], one)))

    step = jax.jit(jax.value_and_grad(loss))
    nodes = jax.random.normal(jax.random.key(6), (2, 8, 16))
    values = []
    for _ in range(60):
        value, gradient = step(nodes)
        nodes -= 20.0 * gradient
        values.append(float(value))
    assert values[0] >= 10
    assert min(values[-10:]) == 0
