"""The matching problem of Eq. 4: arrays, objective, feasibility, pair table."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


class MatchingProblem(NamedTuple):
    """Maximise <c^v, v> + sum of c^e[ij, ab] v_ia v_jb over permutations v.

    Attributes:
      vertex_affinity: c^v, [*G, N, N].
      edge_affinity: c^e, [*G, E, E].
      edges_s: [*G, E, 2], the edges (i, j) of the first graph; where i is j, padding
        whose affinities are 0.
      edges_t: [*G, E, 2], the edges (a, b) of the second graph.
    """

    vertex_affinity: Float[Array, "*G N N"]
    edge_affinity: Float[Array, "*G E E"]
    edges_s: Int[Array, "*G E 2"]
    edges_t: Int[Array, "*G E 2"]


def edge_matching(
    matching: Float[Array, "N N"],
    edges_s: Int[Array, "E 2"],
    edges_t: Int[Array, "E 2"],
) -> Float[Array, "E E"]:
    """The edge indicators y[ij, ab] = v_ia * v_jb, directed as the edges are."""
    heads = matching[edges_s[:, 0]][:, edges_t[:, 0]]
    tails = matching[edges_s[:, 1]][:, edges_t[:, 1]]
    return heads * tails


def objective(
    problem: MatchingProblem, matching: Float[Array, "N N"]
) -> Float[Array, ""]:
    """The value of Eq. 4 for one problem and one matching.

    >>> edges = jnp.array([[0, 1]])
    >>> problem = MatchingProblem(jnp.eye(2), jnp.array([[3.0]]), edges, edges)
    >>> float(objective(problem, jnp.eye(2)))
    5.0
    """
    chosen = edge_matching(matching, problem.edges_s, problem.edges_t)
    vertices = jnp.sum(problem.vertex_affinity * matching)
    return vertices + jnp.sum(problem.edge_affinity * chosen)


def is_feasible(matching: Float[Array, "*G N N"]) -> Bool[Array, "*G"]:
    """Whether a matching is a permutation matrix: 0 and 1, one 1 a row and a column."""
    binary = jnp.all((matching == 0) | (matching == 1), axis=(-2, -1))
    rows = jnp.all(jnp.sum(matching, axis=-1) == 1, axis=-1)
    columns = jnp.all(jnp.sum(matching, axis=-2) == 1, axis=-1)
    return binary & rows & columns


def pair_table(problem: MatchingProblem) -> Float[Array, "N N N N"]:
    """What two assignments are worth together, edges of both directions summed.

    table[i, a, j, b] = c^e[ij, ab] + c^e[ji, ba], 0 where an edge is missing. It is
    symmetric under (i, a) <-> (j, b), and zero where i = j or a = b: the two facts on
    which the solver's swap deltas rest. Takes 4 * N^4 bytes, 256 KiB at N = 16.
    """
    num_nodes = problem.vertex_affinity.shape[-1]
    num_edges = problem.edge_affinity.shape[-1]
    padded = jnp.pad(problem.edge_affinity, ((0, 1), (0, 1)))
    number_s = _edge_numbers(problem.edges_s, num_nodes, num_edges)
    number_t = _edge_numbers(problem.edges_t, num_nodes, num_edges)
    directed = padded[number_s][:, :, number_t]  # i j a b
    table = jnp.transpose(directed, (0, 2, 1, 3))  # i a j b
    return table + jnp.transpose(table, (2, 3, 0, 1))


def _edge_numbers(
    edges: Int[Array, "E 2"], num_nodes: int, num_edges: int
) -> Int[Array, "N N"]:
    """[i, j] -> the number of edge (i, j), or `num_edges` where there is none."""
    numbers = jnp.full((num_nodes, num_nodes), num_edges)
    return numbers.at[edges[:, 0], edges[:, 1]].set(jnp.arange(num_edges))
