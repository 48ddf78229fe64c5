"""Synthetic matching problems in NumPy, as noisy views of clustered embeddings."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np

from lvmmed_jax.matching import problem

# name -> (weight of a common component, noise of a view): how far training has come
REGIMES = {"early": (4.0, 1.5), "middle": (1.0, 0.8), "late": (0.3, 0.3)}


def make(seed, count, size, regime, sigma=1.0, neighbours=5):
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


def one(problems, index):
    """A problem of the batch, without the leading axis."""
    return jax.tree.map(lambda array: array[index], problems)


def best_by_brute_force(single):
    """The best objective of one problem over all permutations, edge by edge."""
    return _all_values(single)[1].max()


def best_targets_by_brute_force(single):
    """The permutation of the best objective."""
    permutations, values = _all_values(single)
    return permutations[values.argmax()]


def _all_values(single):
    vertex, edge, edges_s, edges_t = map(np.asarray, single)
    size = len(vertex)
    permutations = _permutations(size)
    number = np.full((size, size), len(edges_t))
    number[edges_t[:, 0], edges_t[:, 1]] = np.arange(len(edges_t))
    padded = np.pad(edge, ((0, 0), (0, 1)))
    values = vertex[np.arange(size), permutations].sum(axis=1)
    for worth, (i, j) in zip(padded, edges_s, strict=True):
        values += worth[number[permutations[:, i], permutations[:, j]]]
    return permutations, values


@functools.cache
def _permutations(size):
    return np.array(list(itertools.permutations(range(size))))


def chr12c():
    """Flows and distances of QAPLIB's chr12c (Christofides and Benavent 1989)."""
    tree = {(0, 1): 90, (0, 2): 10, (1, 3): 23, (2, 4): 43, (3, 5): 88, (4, 6): 26}
    tree |= {(5, 7): 16, (6, 8): 1, (7, 9): 96, (8, 10): 29, (9, 11): 37}
    flow = np.zeros((12, 12), np.float32)
    for edge, weight in tree.items():
        flow[edge] = weight
    above = """
        36 54 26 59 72 9 34 79 17 46 95  73 35 90 58 30 78 35 44 79 36
        21 10 97 58 66 69 61 54 63  93 12 46 40 37 48 68 85  64 5 29 76 16 5 76
        96 55 38 54 0 34  83 35 11 56 37  44 12 15 80  64 39 33  70 86  18
    """
    distance = np.zeros((12, 12), np.float32)
    distance[np.triu_indices(12, 1)] = [int(number) for number in above.split()]
    return flow + flow.T, distance + distance.T


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
