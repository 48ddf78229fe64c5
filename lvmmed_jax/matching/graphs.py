"""Embeddings -> k-nearest-neighbour graphs of fixed size, and Eq. 1's operator.

The paper's section 3.2.1: each view of N images is a graph whose nodes are the
images' embeddings. Functions take one graph; `jax.vmap` makes batches.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


class Graph(NamedTuple):
    """A directed graph with a fixed number of edges.

    Edge e runs between `receivers[e]` = i and `senders[e]` = j, where j is among the k
    nearest neighbours of i: i receives, j sends. A self-loop (0, 0) is padding: its
    difference vector is zero, so it has no affinity to any edge.
    """

    nodes: Float[Array, "*G N F"]
    senders: Int[Array, "*G E"]
    receivers: Int[Array, "*G E"]


def knn_graph(
    nodes: Float[Array, "N F"], num_neighbours: int, symmetric: bool = False
) -> Graph:
    """Connects every node to its k nearest others in Euclidean distance.

    Args:
      nodes: [N, F] embeddings of the N images of one view.
      num_neighbours: k, from 1 to N - 1.
      symmetric: adds the reverse of every edge that has none, after the others; E is
        2 * N * k then, the rest padded with self-loops (0, 0).

    Returns:
      A graph with E = N * k edges, sorted by receiver, the nearest sender first; ties
      go to the lower index. No gradient passes through the choice of neighbours.

    Raises:
      ValueError: k does not fit N.

    >>> graph = knn_graph(jnp.array([[0.0], [1.0], [3.0]]), num_neighbours=1)
    >>> graph.receivers.tolist(), graph.senders.tolist()
    ([0, 1, 2], [1, 0, 1])
    """
    num_nodes = nodes.shape[0]
    if not 1 <= num_neighbours < num_nodes:
        raise ValueError(
            f"num_neighbours is {num_neighbours}; a graph of {num_nodes} nodes takes "
            f"1 to {num_nodes - 1}"
        )
    differences = jax.lax.stop_gradient(nodes[:, None] - nodes[None])  # N N F
    distances = jnp.sum(jnp.square(differences), axis=-1)
    distances = jnp.where(jnp.eye(num_nodes, dtype=bool), jnp.inf, distances)
    _, neighbours = jax.lax.top_k(-distances, num_neighbours)  # N k
    receivers = jnp.repeat(jnp.arange(num_nodes), num_neighbours)
    senders = neighbours.reshape(-1)
    if symmetric:
        senders, receivers = _with_reverse(senders, receivers, num_nodes)
    return Graph(nodes, senders, receivers)


def _with_reverse(
    senders: Int[Array, "E"], receivers: Int[Array, "E"], num_nodes: int
) -> tuple[Int[Array, "D"], Int[Array, "D"]]:
    """All edges, then the reverse of each, a self-loop where that is there already."""
    adjacent = jnp.zeros((num_nodes, num_nodes), bool).at[receivers, senders].set(True)
    new = ~adjacent[senders, receivers]
    return (
        jnp.concatenate([senders, jnp.where(new, receivers, 0)]),
        jnp.concatenate([receivers, jnp.where(new, senders, 0)]),
    )


def edges(graph: Graph) -> Int[Array, "*G E 2"]:
    """The edges as pairs (receiver i, sender j), in the order of the graph."""
    return jnp.stack([graph.receivers, graph.senders], axis=-1)


def propagation(graph: Graph) -> Float[Array, "N N"]:
    """The operator of Eq. 1, (A + I) with rows divided by their sums.

    A[i, j] = 1 where there is an edge (i, j). In a directed graph every row of A + I
    sums to k + 1, and the normalisation of Eq. 1 by degrees is a division by k + 1 (see
    "Differences from the paper" in the README).

    Returns:
      [N, N] float32, rows summing to one.
    """
    num_nodes = graph.nodes.shape[0]
    adjacency = jnp.eye(num_nodes).at[graph.receivers, graph.senders].set(1.0)
    return adjacency / jnp.sum(adjacency, axis=1, keepdims=True)
