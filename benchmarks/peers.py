"""Other solvers of quadratic assignment, for `matching.py` to compare with.

A peer maps a `Case` to the targets [G, N] that it finds. pygmtools and ott-jax come by
`pip install -r requirements-benchmarks.txt`; what is not installed is left out.
"""

import functools
import warnings
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import optimize, sparse

from lvmmed_jax.matching import assignment
from lvmmed_jax.matching import problem as problems

# before any clock starts: ott changes settings of jax, which then compiles anew
try:
    import pygmtools
except ImportError:
    pygmtools = None
try:
    from ott.geometry import geometry
    from ott.problems.quadratic import quadratic_problem
    from ott.solvers.linear import sinkhorn
    from ott.solvers.quadratic import gromov_wasserstein
except ImportError:
    gromov_wasserstein = None

_DESCENT_STARTS = 32
_EPSILON = 0.05  # of Gromov-Wasserstein: of 0.5, 0.2, 0.1 and 0.05 the best in each set


class Case(NamedTuple):
    """G problems as the peers take them; made before any clock starts.

    Attributes:
      problem: as our solver takes them.
      vertex: c^v, [G, N, N].
      table: [G, N, N, N, N], what i -> a and j -> b are worth together at [i, a, j, b].
      lawler: [G, N N, N N], K of the value v^T K v / 2, v's columns one after another.
      flow, distance: [G, N, N], the product flow[i, j] distance[a, b] that is closest
        to all affinities: the only form that SciPy and Gromov-Wasserstein take.
    """

    problem: problems.AnyProblem
    vertex: np.ndarray
    table: np.ndarray
    lawler: np.ndarray
    flow: np.ndarray
    distance: np.ndarray


Peer = Callable[[Case], np.ndarray]


def make_case(problem: problems.AnyProblem) -> Case:
    """Prepares problems for all peers."""
    vertex = np.asarray(problem.vertex_affinity)
    table = np.asarray(jax.vmap(problems.pair_table)(problem))
    flow, distance = zip(*map(_closest_product, vertex, table), strict=True)
    return Case(
        problem,
        vertex,
        table,
        _lawler(vertex, table),
        np.stack(flow),
        np.stack(distance),
    )


def _lawler(vertex: np.ndarray, table: np.ndarray) -> np.ndarray:
    count, size = vertex.shape[:2]
    matrix = table.transpose(0, 2, 1, 4, 3).reshape(count, size**2, size**2).copy()
    places = np.arange(size**2)
    matrix[:, places, places] = 2 * vertex.transpose(0, 2, 1).reshape(count, -1)
    return matrix


def _closest_product(vertex: np.ndarray, table: np.ndarray):
    """The leading singular pair of the affinities as a matrix [i j, a b]."""
    size = len(vertex)
    pairs = 0.5 * table.transpose(0, 2, 1, 3)  # i j a b
    nodes = np.arange(size)
    pairs[nodes, nodes] = 0
    pairs[nodes[:, None], nodes[:, None], nodes, nodes] = vertex
    matrix = pairs.reshape(size**2, size**2).astype(np.float64)
    left, values, right = sparse.linalg.svds(matrix, k=1, v0=np.ones(size**2))
    scale = np.sqrt(values[0])
    return scale * left.reshape(size, size), scale * right.reshape(size, size)


def available() -> tuple[dict[str, Peer], list[str]]:
    """The peers that can run here by name, and the packages that are missing."""
    peers = {
        "2-swap descent, 32 starts": descent,
        "SciPy faq": functools.partial(_scipy, method="faq"),
        "SciPy 2opt": functools.partial(_scipy, method="2opt"),
    }
    missing = []
    if pygmtools is None:
        missing.append("pygmtools")
    else:
        for name in ("ipfp", "rrwm", "sm"):
            peers[f"pygmtools {name.upper()}"] = functools.partial(_pygmtools, name)
    if gromov_wasserstein is None:
        missing.append("ott-jax")
    else:
        peers["ott Gromov-Wasserstein"] = _ott
    return peers, missing


def descent(case: Case) -> np.ndarray:
    """Steepest 2-swap descent from 32 random permutations, in JAX; the best of them."""
    size = case.vertex.shape[-1]
    generator = np.random.default_rng(0)
    starts = generator.permuted(np.tile(np.arange(size), (_DESCENT_STARTS, 1)), axis=1)
    return np.asarray(_descend(case.vertex, case.table, starts))


@jax.jit
def _descend(vertex, table, starts):
    nodes = jnp.arange(vertex.shape[-1])

    def value(costs, pairs, targets):
        chosen = pairs[nodes[:, None], targets[:, None], nodes, targets]
        return jnp.sum(costs[nodes, targets]) + 0.5 * jnp.sum(chosen)

    def gains(costs, pairs, targets):
        """[i, k], what it is worth that i and k exchange targets."""
        worth = (costs + jnp.sum(pairs[:, :, nodes, targets], axis=2))[:, targets]
        here, there = targets[:, None], targets[None]
        i, k = nodes[:, None], nodes[None]
        both = pairs[i, here, k, there] + pairs[i, there, k, here]
        own = jnp.diagonal(worth)
        return worth + worth.T - own[:, None] - own[None] + both

    def improve(costs, pairs, state):
        targets, _ = state
        gain = gains(costs, pairs, targets)
        best = jnp.argmax(gain)
        i, k = best // nodes.size, best % nodes.size
        better = gain[i, k] > 1e-5
        swapped = targets.at[i].set(targets[k]).at[k].set(targets[i])
        return jnp.where(better, swapped, targets), better

    def one(costs, pairs):
        def from_start(start):
            return jax.lax.while_loop(
                lambda state: state[1],
                lambda state: improve(costs, pairs, state),
                (start, jnp.array(True)),
            )[0]

        found = jax.vmap(from_start)(starts)
        values = jax.vmap(lambda targets: value(costs, pairs, targets))(found)
        return found[jnp.argmax(values)]

    return jax.lax.map(lambda both: one(*both), (vertex, table), batch_size=8)


def _scipy(case: Case, method: str) -> np.ndarray:
    options = {"maximize": True, "rng": np.random.default_rng(0)}
    found = [
        optimize.quadratic_assignment(*pair, method=method, options=options).col_ind
        for pair in zip(case.flow, case.distance, strict=True)
    ]
    return np.stack(found)


def _pygmtools(name: str, case: Case) -> np.ndarray:
    pygmtools.set_backend("numpy")
    matrix, size = case.lawler, case.vertex.shape[-1]
    if name == "rrwm":  # random walks: does better where no entry is negative
        matrix = matrix - matrix.min() * _counting(size)
    sizes = np.full(len(matrix), size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # IPFP divides by zero
        soft = getattr(pygmtools, name)(matrix, sizes, sizes)
    return np.asarray(assignment.assign(jnp.asarray(soft)))


def _counting(size: int) -> np.ndarray:
    """[N N, N N], 1 at entries of which every matching chooses equally many, else 0."""
    target, node = np.divmod(np.arange(size**2), size)
    apart = (node[:, None] != node) & (target[:, None] != target)
    return (apart | np.eye(size**2, dtype=bool)).astype(np.float32)


def _ott(case: Case) -> np.ndarray:
    return np.asarray(_gromov_wasserstein(case.flow, case.distance))


@jax.jit
def _gromov_wasserstein(flow, distance):
    solve = gromov_wasserstein.GromovWasserstein(
        linear_solver=sinkhorn.Sinkhorn(max_iterations=200),
        epsilon=_EPSILON,
        max_iterations=50,
    )

    def one(flow, distance):
        spaces = (
            geometry.Geometry(cost_matrix=costs / jnp.max(jnp.abs(costs)))
            for costs in (flow, distance)
        )
        found = solve(quadratic_problem.QuadraticProblem(*spaces))
        return assignment.assign(found.matrix)

    return jax.vmap(one)(flow, distance)
