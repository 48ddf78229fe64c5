import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import neighbors

from lvmmed_jax.matching import graphs


def test_neighbours_are_those_of_scikit_learn():
    nodes = np.random.default_rng(0).normal(size=(16, 128)).astype(np.float32)
    graph = graphs.knn_graph(jnp.asarray(nodes), num_neighbours=5)
    search = neighbors.NearestNeighbors(n_neighbors=6).fit(nodes)
    expected = search.kneighbors(nodes, return_distance=False)[:, 1:]
    np.testing.assert_array_equal(graph.senders.reshape(16, 5), expected)
    np.testing.assert_array_equal(graph.receivers.reshape(16, 5)[:, 0], np.arange(16))


def test_identical_nodes_get_no_self_edge():
    graph = graphs.knn_graph(jnp.ones((4, 3)), num_neighbours=3)
    assert np.all(np.asarray(graph.senders) != np.asarray(graph.receivers))


def test_propagation_averages_a_node_with_its_neighbours():
    graph = graphs.knn_graph(jnp.array([[0.0], [1.0], [3.0]]), num_neighbours=1)
    expected = [[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.0, 0.5, 0.5]]
    np.testing.assert_allclose(graphs.propagation(graph), expected)


def test_choice_of_neighbours_has_no_gradient():
    def total(nodes):
        return jnp.sum(graphs.propagation(graphs.knn_graph(nodes, 2)))

    gradient = jax.grad(total)(jax.random.normal(jax.random.key(0), (5, 3)))
    np.testing.assert_array_equal(gradient, 0)


def test_symmetric_graph_has_every_edge_once_in_both_directions():
    nodes = jax.random.normal(jax.random.key(0), (8, 3))
    directed = graphs.knn_graph(nodes, 3)
    graph = graphs.knn_graph(nodes, 3, symmetric=True)
    pairs = [(int(i), int(j)) for i, j in graphs.edges(graph)]
    kept = [pair for pair in pairs if pair != (0, 0)]
    one_way = {(int(i), int(j)) for i, j in graphs.edges(directed)}
    assert len(pairs) == 2 * 8 * 3 and len(kept) == len(set(kept))
    assert set(kept) == one_way | {(j, i) for i, j in one_way}
    assert set(kept) != one_way
    adjacent = np.asarray(graphs.propagation(graph)) > 0
    np.testing.assert_array_equal(adjacent, adjacent.T)


@pytest.mark.parametrize("neighbours", [0, 4])
def test_refuses_neighbours_that_do_not_fit(neighbours):
    with pytest.raises(ValueError, match="1 to 3"):
        graphs.knn_graph(jnp.zeros((4, 2)), neighbours)
