import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lvmmed_jax.matching import affinity, graphs


def _local_by_loops(features_s, features_t, locations_s, locations_t, num_cells):
    """Eq. 2 for one pair of images, cell by cell."""

    def cosine(a, b):
        return a @ b / np.linalg.norm(a) / np.linalg.norm(b)

    terms = []
    sides = [(features_s, locations_s), (features_t, locations_t)]
    for (features, places), (others, other_places) in (sides, sides[::-1]):
        for mine, theirs in ((places, other_places), (features, others)):
            found = []
            for cell in range(len(mine)):
                distances = [np.linalg.norm(mine[cell] - other) for other in theirs]
                nearest = int(np.argmin(distances))
                found.append(
                    (distances[nearest], cosine(features[cell], others[nearest]))
                )
            found.sort(key=lambda pair: pair[0])
            terms.append(np.mean([value for _, value in found[:num_cells]]))
    return np.mean(terms)


@pytest.mark.parametrize("num_cells", [3, 20])
def test_local_affinity_is_that_of_a_loop_over_cells(num_cells):
    generator = np.random.default_rng(0)
    features = generator.normal(size=(2, 3, 9, 5)).astype(np.float32)
    locations = generator.uniform(size=(2, 3, 9, 2)).astype(np.float32)
    found = affinity.local_affinity(
        *map(jnp.asarray, features), *map(jnp.asarray, locations), num_cells
    )
    for i in range(3):
        for a in range(3):
            expected = _local_by_loops(
                features[0, i],
                features[1, a],
                locations[0, i],
                locations[1, a],
                num_cells,
            )
            np.testing.assert_allclose(found[i, a], expected, atol=1e-5)


@pytest.mark.parametrize("block", [1, 2])
def test_local_affinity_and_gradient_in_blocks_are_those_at_once(monkeypatch, block):
    features = jax.random.normal(jax.random.key(0), (2, 5, 9, 4))
    places = jax.random.uniform(jax.random.key(1), (2, 5, 9, 2))

    def total(features):
        found = affinity.local_affinity(*features, *places, 4)
        return jnp.sum(jnp.sin(found)), found

    run = jax.value_and_grad(total, has_aux=True)
    (_, found), gradient = run(features)
    monkeypatch.setattr(affinity, "_MAX_ENTRIES", block * 5 * 9**2)
    (_, again), again_gradient = run(features)
    np.testing.assert_allclose(again, found, atol=1e-6)
    np.testing.assert_allclose(again_gradient, gradient, atol=1e-6)


def test_local_affinity_keeps_no_table_of_all_cells():
    """Of ViT grids that table, its distances and their gradient are gigabytes."""
    features = jax.ShapeDtypeStruct((2, 16, 144, 8), jnp.float32)
    places = jax.ShapeDtypeStruct((2, 16, 144, 2), jnp.float32)

    def total(features, places):
        return jnp.sum(affinity.local_affinity(*features, *places, 20))

    compiled = jax.jit(jax.grad(total)).lower(features, places).compile()
    all_cells = 4 * (16 * 144) ** 2
    assert compiled.memory_analysis().temp_size_in_bytes < all_cells


def test_local_affinity_of_a_zero_cell_has_a_small_gradient():
    features = jax.random.normal(jax.random.key(0), (2, 2, 4, 3))
    features = features.at[0, 0, 0].set(0.0)
    places = jax.random.uniform(jax.random.key(1), (2, 2, 4, 2))

    def total(features):
        return jnp.sum(affinity.local_affinity(*features, *places, 4))

    gradient = jax.grad(total)(features)
    assert np.abs(gradient).max() < 10
    np.testing.assert_array_equal(gradient[0, 0, 0], 0)


def test_local_affinity_of_a_view_with_itself_is_one():
    features = jax.random.normal(jax.random.key(0), (1, 16, 8))
    locations = jax.random.uniform(jax.random.key(1), (1, 16, 2))
    found = affinity.local_affinity(features, features, locations, locations, 6)
    np.testing.assert_allclose(found, 1.0, atol=1e-6)


def test_cell_matches_follow_location_and_feature():
    features = jnp.eye(4)
    locations = jnp.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    order = jnp.array([2, 0, 3, 1])
    by_location, by_feature = affinity.cell_matches(
        features, features[order], locations, locations[::-1], 4
    )
    assert {tuple(pair) for pair in by_location.tolist()} == {
        (0, 3),
        (1, 2),
        (2, 1),
        (3, 0),
    }
    assert {tuple(pair) for pair in by_feature.tolist()} == {
        (0, 1),
        (1, 3),
        (2, 0),
        (3, 2),
    }


def test_edge_affinity_is_the_cosine_of_differences():
    key_s, key_t = jax.random.split(jax.random.key(0))
    graph_s = graphs.knn_graph(jax.random.normal(key_s, (6, 4)), 2)
    graph_t = graphs.knn_graph(jax.random.normal(key_t, (6, 4)), 2)
    found = affinity.edge_affinity(graph_s, graph_t)
    i, j = int(graph_s.receivers[3]), int(graph_s.senders[3])
    a, b = int(graph_t.receivers[7]), int(graph_t.senders[7])
    left = np.asarray(graph_s.nodes[i] - graph_s.nodes[j])
    right = np.asarray(graph_t.nodes[a] - graph_t.nodes[b])
    expected = left @ right / np.linalg.norm(left) / np.linalg.norm(right)
    np.testing.assert_allclose(found[3, 7], expected, rtol=1e-5)


def test_equal_nodes_give_zero_edge_affinity_and_finite_gradients():
    def total(nodes):
        graph = graphs.knn_graph(nodes, 2)
        return jnp.sum(affinity.edge_affinity(graph, graph))

    value, gradient = jax.value_and_grad(total)(jnp.ones((4, 3)))
    assert value == 0
    assert np.all(np.isfinite(gradient))


def test_mean_affinities_are_those_of_the_diagonal_and_of_the_rest():
    affinities = np.random.default_rng(0).normal(size=(3, 4, 4)).astype(np.float32)
    on = np.eye(4, dtype=bool)
    true, other = affinity.mean_affinities(jnp.asarray(affinities))
    np.testing.assert_allclose(true, affinities[:, on].mean(), rtol=1e-5)
    np.testing.assert_allclose(other, affinities[:, ~on].mean(), rtol=1e-4)


def test_padding_of_a_symmetric_graph_has_no_affinity():
    nodes = jax.random.normal(jax.random.key(0), (6, 3))
    graph = graphs.knn_graph(nodes, 2, symmetric=True)
    padding = np.asarray(graph.senders) == np.asarray(graph.receivers)
    found = np.asarray(affinity.edge_affinity(graph, graph))
    assert padding.any() and not found[padding].any() and not found[:, padding].any()


def test_nan_is_not_taken_for_a_zero_vector():
    """Else a broken encoder has affinities of 0, and looks like one of equal images."""
    nodes = jnp.eye(3).at[1, 1].set(jnp.nan)
    found = affinity.cosine(nodes, jnp.eye(3))
    assert np.all(np.isnan(found[1]))
    np.testing.assert_array_equal(found[::2], np.eye(3)[::2])
