"""What is known of single matching problems: brute force, a public instance."""

import functools
import itertools

import jax
import numpy as np


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
