"""The matching problem of Eq. 4: arrays, objective, feasibility, pair table."""

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

_MAX_ENTRIES = 2**26  # of the pair tables that are in memory at once, 256 MiB
_ENTRIES_A_CORE = 2**19  # of those that a CPU core works on at once: 2 MiB, its cache


class MatchingProblem(NamedTuple):
    """Maximise <c^v, v> + sum of c^e[ij, ab] v_ia v_jb over permutations v.

    Attributes:
      vertex_affinity: c^v, [*G, N, N].
      edge_affinity: c^e, [*G, E, D]; E and D edges, mostly as many.
      edges_s: [*G, E, 2], the edges (i, j) of the first graph, none twice; where i is
        j, padding whose affinities do not count.
      edges_t: [*G, D, 2], the edges (a, b) of the second graph.
    """

    vertex_affinity: Float[Array, "*G N N"]
    edge_affinity: Float[Array, "*G E D"]
    edges_s: Int[Array, "*G E 2"]
    edges_t: Int[Array, "*G D 2"]


class DenseProblem(NamedTuple):
    """The same with an affinity for every two assignments; `dense_problem` makes it.

    Attributes:
      vertex_affinity: [*G, N, N].
      pair_affinity: [*G, N, N, N, N], what i -> a and j -> b are worth together at
        [i, a, j, b]; symmetric under (i, a) <-> (j, b), 0 where i = j or a = b.
    """

    vertex_affinity: Float[Array, "*G N N"]
    pair_affinity: Float[Array, "*G N N N N"]


AnyProblem = MatchingProblem | DenseProblem


def dense_problem(
    vertex_affinity: Float[Array, "*G N N"], pair_affinity: Float[Array, "*G N N N N"]
) -> DenseProblem:
    """A quadratic assignment problem in its general form.

    Maximise sum_i c[i, v_i] + sum over ordered pairs of pair_affinity[i, v_i, j, v_j].
    What stands at i = j and a = b belongs to c and is added there; at i = j or a = b
    alone no permutation reaches it, and it is dropped.

    >>> flow = distance = 1 - jnp.eye(2)
    >>> pairs = -flow[:, None, :, None] * distance[None, :, None, :]
    >>> problem = dense_problem(jnp.zeros((2, 2)), pairs)
    >>> float(objective(problem, jnp.eye(2)))
    -2.0
    """
    num_nodes = vertex_affinity.shape[-1]
    nodes = jnp.arange(num_nodes)
    own = pair_affinity[..., nodes[:, None], nodes[None], nodes[:, None], nodes[None]]
    other = ~jnp.eye(num_nodes, dtype=bool)
    counts = other[:, None, :, None] & other[None, :, None, :]
    both = pair_affinity + jnp.moveaxis(pair_affinity, (-2, -1), (-4, -3))
    return DenseProblem(
        vertex_affinity + own,
        jnp.where(jnp.broadcast_to(counts, both.shape), both, 0.0),
    )


def edge_matching(
    matching: Float[Array, "N N"],
    edges_s: Int[Array, "E 2"],
    edges_t: Int[Array, "D 2"],
) -> Float[Array, "E D"]:
    """The edge indicators y[ij, ab] = v_ia * v_jb, directed as the edges are."""
    heads = matching[edges_s[:, 0]][:, edges_t[:, 0]]
    tails = matching[edges_s[:, 1]][:, edges_t[:, 1]]
    return jnp.where(real_edge_pairs(edges_s, edges_t), heads * tails, 0.0)


def real_edge_pairs(
    edges_s: Int[Array, "E 2"], edges_t: Int[Array, "D 2"]
) -> Bool[Array, "E D"]:
    """Where both edges are edges: a self-loop is padding."""
    exists_s, exists_t = (edges[:, 0] != edges[:, 1] for edges in (edges_s, edges_t))
    return exists_s[:, None] & exists_t[None]


def objective(problem: AnyProblem, matching: Float[Array, "N N"]) -> Float[Array, ""]:
    """The value of Eq. 4 for one problem and one matching.

    Nan where any affinity of the problem is not finite, whether chosen or not.

    >>> edges = jnp.array([[0, 1]])
    >>> problem = MatchingProblem(jnp.eye(2), jnp.array([[3.0]]), edges, edges)
    >>> float(objective(problem, jnp.eye(2)))
    5.0
    """
    if isinstance(problem, MatchingProblem):
        pairs = problem.edge_affinity
        chosen = edge_matching(matching, problem.edges_s, problem.edges_t)
    else:
        pairs = problem.pair_affinity
        chosen = 0.5 * matching[:, :, None, None] * matching[None, None]
    value = jnp.sum(problem.vertex_affinity * matching) + jnp.sum(
        jnp.where(chosen != 0, pairs * chosen, 0.0)
    )
    return jnp.where(is_finite(problem), value, jnp.nan)


def is_finite(problem: AnyProblem) -> Bool[Array, ""]:
    """Whether all affinities of one problem are finite, those of padding apart."""
    finite = jnp.all(jnp.isfinite(problem.vertex_affinity))
    if isinstance(problem, DenseProblem):
        return finite & jnp.all(jnp.isfinite(problem.pair_affinity))
    exists = real_edge_pairs(problem.edges_s, problem.edges_t)
    return finite & jnp.all(jnp.isfinite(problem.edge_affinity) | ~exists)


def is_feasible(matching: Float[Array, "*G N N"]) -> Bool[Array, "*G"]:
    """Whether a matching is a permutation matrix: 0 and 1, one 1 a row and a column."""
    binary = jnp.all((matching == 0) | (matching == 1), axis=(-2, -1))
    rows = jnp.all(jnp.sum(matching, axis=-1) == 1, axis=-1)
    columns = jnp.all(jnp.sum(matching, axis=-2) == 1, axis=-1)
    return binary & rows & columns


def pair_table(problem: AnyProblem) -> Float[Array, "N N N N"]:
    """What two assignments are worth together, edges of both directions summed.

    table[i, a, j, b] = c^e[ij, ab] + c^e[ji, ba], 0 where an edge is missing. It is
    symmetric under (i, a) <-> (j, b), and zero where i = j or a = b: the two facts on
    which the solver's swap deltas rest. Takes 4 * N^4 bytes, 256 KiB at N = 16.
    """
    if isinstance(problem, DenseProblem):
        return problem.pair_affinity
    num_nodes = problem.vertex_affinity.shape[-1]
    padded = jnp.pad(problem.edge_affinity, ((0, 1), (0, 1)))
    number_s = _edge_numbers(problem.edges_s, num_nodes)
    number_t = _edge_numbers(problem.edges_t, num_nodes)
    directed = padded[number_s][:, :, number_t]  # i j a b
    table = jnp.transpose(directed, (0, 2, 1, 3))  # i a j b
    return table + jnp.transpose(table, (2, 3, 0, 1))


def _edge_numbers(edges: Int[Array, "E 2"], num_nodes: int) -> Int[Array, "N N"]:
    """[i, j] -> the number of edge (i, j), or E where there is none."""
    num_edges = len(edges)
    exists = edges[:, 0] != edges[:, 1]
    numbers = jnp.full((num_nodes, num_nodes), num_edges)
    return numbers.at[edges[:, 0], edges[:, 1]].set(
        jnp.where(exists, jnp.arange(num_edges), num_edges)
    )


def map_graphs(
    function: Callable[..., Any], problem: AnyProblem, *arrays: Array
) -> Any:
    """`jax.vmap` over the graphs, in chunks whose pair tables fit into memory.

    A table has N^4 entries: on an accelerator up to 1,024 graphs of 16 nodes are one
    chunk, 64 of 32 and 4 of 64. On a CPU a chunk fits into the caches of its cores, 8
    graphs of 16 nodes a core, which more than halves the time of a large batch.

    Args:
      function: (one problem, one entry of each array) -> pytree of arrays.
      problem: arrays with one leading axis G.
      *arrays: further arrays with that axis.
    """
    num_graphs, num_nodes = problem.vertex_affinity.shape[:2]
    chunk = max(1, _max_entries() // num_nodes**4)
    if num_graphs <= chunk:
        return jax.vmap(function)(problem, *arrays)
    # chunks of one size compile once: the first graphs fill up the last chunk
    num_chunks = -(-num_graphs // chunk)
    chunk = -(-num_graphs // num_chunks)
    missing = num_chunks * chunk - num_graphs
    filled = jax.tree.map(
        lambda array: jnp.concatenate([array, array[:missing]]), (problem, *arrays)
    )
    mapped = jax.lax.map(lambda entries: function(*entries), filled, batch_size=chunk)
    return jax.tree.map(lambda array: array[:num_graphs], mapped)


def _max_entries() -> int:
    """Entries of the pair tables of a chunk, by where the program will run."""
    if jax.default_backend() != "cpu":
        return _MAX_ENTRIES
    return min(_MAX_ENTRIES, _ENTRIES_A_CORE * (os.cpu_count() or 1))
