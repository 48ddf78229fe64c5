"""Synthetic matching problems in NumPy, as noisy views of clustered embeddings.

The instances of the tests and of `benchmarks/matching.py`: embeddings with a common
part (a collapsing encoder), clusters and noise of a view; the affinities of the paper's
Eq. 3 and section 3.2.3, the local one made up; Gumbel noise on every entry.
"""

import jax.numpy as jnp
import numpy as np

from lvmmed_jax.matching import problem

# name -> (weight of a common component, noise of a view): how far training has come
REGIMES = {"early": (4.0, 1.5), "middle": (1.0, 0.8), "late": (0.3, 0.3)}


def make(
    seed: int,
    count: int,
    size: int,
    regime: str,
    sigma: float = 1.0,
    neighbours: int = 5,
) -> problem.MatchingProblem:
    """`count` problems of `size` nodes with Gumbel noise of scale `sigma`."""
    generator = np.random.default_rng(seed)
    neighbours = min(neighbours, size - 1)
    found = [
        _make_one(generator, size, *REGIMES[regime], sigma, neighbours)
        for _ in range(count)
    ]
    return problem.MatchingProblem(
        *(jnp.asarray(np.stack(arrays)) for arrays in zip(*found, strict=True))
    )


def make_products(
    seed: int, count: int, size: int, tree: bool = False
) -> problem.DenseProblem:
    """`count` problems of products, as QAPLIB has them: minimise flow times distance.

    Flows are 0 to 9, half of the pairs have none; distances are those of random points
    in a square. With `tree`, as QAPLIB's chr instances: flows of 1 to 99 along a random
    tree, distances of 1 to 99 at random; much harder for a search.
    """
    generator = np.random.default_rng(seed)
    flows, distances = np.zeros((2, count, size, size))
    for flow, distance in zip(flows, distances, strict=True):
        if tree:
            for node in range(1, size):
                flow[node, generator.integers(node)] = generator.integers(1, 100)
            above = np.triu(generator.integers(1, 100, (size, size)), 1)
            distance += above + above.T
        else:
            weights = generator.integers(0, 10, (size, size))
            flow += np.tril(weights * (generator.random((size, size)) < 0.5), -1)
            points = generator.random((size, 2))
            distance += np.linalg.norm(points[:, None] - points, axis=-1)
        flow += flow.T.copy()
    pairs = -flows[:, :, None, :, None] * distances[:, None, :, None, :]
    vertex = jnp.zeros((count, size, size))
    return problem.dense_problem(vertex, jnp.asarray(pairs, jnp.float32))


def _make_one(generator, size, common, noise, sigma, neighbours):
    centres = generator.normal(size=(max(size // 4, 1), 128))
    own = centres[generator.integers(len(centres), size=size)]
    own = own + generator.normal(size=(size, 128))
    own += common * generator.normal(size=128)
    nodes = [_unit(own + noise * generator.normal(size=own.shape)) for _ in range(2)]
    edges = [_edges(view, neighbours) for view in nodes]
    cosine = nodes[0] @ nodes[1].T
    local = 0.5 + 0.5 * cosine + 0.1 * generator.normal(size=cosine.shape)
    differences = [
        _unit(view[pairs[:, 0]] - view[pairs[:, 1]])
        for view, pairs in zip(nodes, edges, strict=True)
    ]
    vertex = 0.8 * cosine + 0.2 * local
    edge = differences[0] @ differences[1].T
    vertex += sigma * generator.gumbel(size=vertex.shape)
    edge += sigma * generator.gumbel(size=edge.shape)
    return vertex.astype(np.float32), edge.astype(np.float32), *edges


def _unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def _edges(nodes, neighbours):
    """Pairs (receiver, sender) of the k-nearest-neighbour graph."""
    distances = np.linalg.norm(nodes[:, None] - nodes[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    senders = np.argsort(distances, axis=1)[:, :neighbours].reshape(-1)
    receivers = np.repeat(np.arange(len(nodes)), neighbours)
    return np.stack([receivers, senders], axis=1).astype(np.int32)
