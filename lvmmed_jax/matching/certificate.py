"""Proofs that a permutation is optimal, by one pass over the pair table.

The gain of any permutation v over a candidate u is bounded by a sum over nodes. With
columns named so that u is the identity, A the pair table and D_ij(a, b) = A[ia, jb] -
A[ii, jj] what the pair (i, j) gains when i goes to a and j to b,

    D_ij(a, b) <= h_i(a; j) + h_j(b; i),
    h_i(a; j) = max( D_ij(a, j), 1/2 max over b not in {j, a} of D_ij(a, b) ),  a != i

(the first only where a is not j; h_i(i; j) = 0): a pair that moves as a whole is halved
between its nodes, and one of which a single node moves is that node's. So

    objective(v) - objective(u) <= sum_i w[i, v_i],
    w[i, a] = c[i, a] - c[i, i] + sum_{j != i} h_i(a; j),   w[i, i] = 0.

u is optimal where no permutation has a positive sum of w. A proof never fails: rounding
is counted against it. That it cannot be given says nothing about u.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from lvmmed_jax.matching import assignment
from lvmmed_jax.matching import problem as problems


def gain_bound(
    problem: problems.AnyProblem, candidate: Int[Array, "G N"]
) -> Float[Array, "G N N"]:
    """w, an upper bound of what each move adds, for G problems and their candidates.

    Args:
      problem: arrays with one leading axis G.
      candidate: the permutation u of each, candidate[g, i] = target of node i.

    Returns:
      w[g, i, a]: node i takes the target that is node a's in the candidate. 0 on the
      diagonal; elsewhere at least the exact value, rounding included; inf or nan
      where an affinity is not finite.
    """
    return problems.map_graphs(_gain_bound, problem, candidate)


def _gain_bound(
    problem: problems.AnyProblem, candidate: Int[Array, "N"]
) -> Float[Array, "N N"]:
    problem = _renamed(problem, candidate)
    costs, table = problem.vertex_affinity, problems.pair_table(problem)
    nodes = jnp.arange(candidate.size)
    other = ~jnp.eye(candidate.size, dtype=bool)
    now = table[nodes, nodes][:, nodes, nodes]  # i j: A[ii, jj]
    change = table - now[:, None, :, None]  # i a j b: D
    apart = other[None, :, None] & other[None, None]  # 1 a j b: b not in {j, a}
    apart = jnp.broadcast_to(apart, change.shape)
    both = 0.5 * jnp.max(jnp.where(apart, change, -jnp.inf), axis=3)  # i a j
    alone = jnp.where(other[None], change[:, :, nodes, nodes], -jnp.inf)
    bound = jnp.where(other[:, None], jnp.maximum(both, alone), 0.0)  # j is not i
    gain = costs - jnp.diagonal(costs)[:, None] + jnp.sum(bound, axis=2)
    return jnp.where(other, gain + _rounding(problem), 0.0)


def _renamed(
    problem: problems.AnyProblem, candidate: Int[Array, "N"]
) -> problems.AnyProblem:
    """The same problem, each target named after the node that has it."""
    costs = problem.vertex_affinity[:, candidate]
    if isinstance(problem, problems.DenseProblem):
        pairs = problem.pair_affinity[:, candidate][:, :, :, candidate]
        return problems.DenseProblem(costs, pairs)
    name = jnp.argsort(candidate)
    return problem._replace(vertex_affinity=costs, edges_t=name[problem.edges_t])


def _rounding(problem: problems.AnyProblem) -> Float[Array, ""]:
    """More than float32 can lose in a bound: a sum of N terms of up to 4 edges each."""
    size = problem.vertex_affinity.shape[-1]
    if isinstance(problem, problems.MatchingProblem):
        exists = problems.real_edge_pairs(problem.edges_s, problem.edges_t)
        pairs = jnp.where(exists, problem.edge_affinity, 0.0)
    else:
        pairs = problem.pair_affinity
    largest = jnp.max(jnp.abs(problem.vertex_affinity)) + jnp.max(jnp.abs(pairs))
    return 4 * size**2 * jnp.finfo(jnp.float32).eps * largest


def is_optimal_row_by_row(gain: Float[Array, "G N N"]) -> Bool[Array, "G"]:
    """Whether no move of any node gains: the quick proof that needs no assignment."""
    return jnp.all(gain <= 0, axis=(1, 2))


def is_optimal(gain: Float[Array, "G N N"]) -> Bool[Array, "G"]:
    """Whether no permutation has a positive sum of bounds: the sharper proof.

    Args:
      gain: of `gain_bound`, its columns in the order of the candidate.
    """
    size = gain.shape[-1]
    # the assignment is exact up to the rounding of sums of N entries
    slack = size * jnp.finfo(gain.dtype).eps * jnp.max(jnp.abs(gain), axis=(1, 2))
    moved = gain + slack[:, None, None] * (1 - jnp.eye(size))[None]
    best = jnp.take_along_axis(moved, assignment.assign(moved)[..., None], axis=2)
    total = jnp.sum(best[..., 0], axis=1)
    return (total <= 0) & jnp.all(jnp.isfinite(gain), axis=(1, 2))


def needed_interpolation(
    problem: problems.AnyProblem, candidate: Int[Array, "G N"]
) -> Float[Array, "G"]:
    """The lambda from which on the target matching is optimal when it is shifted.

    For the cotangent 1 - 2 v* of the Hamming loss only: the shift costs every moved
    node 2 lambda, so that 1/2 max w is enough (0 where no w is positive).

    Args:
      problem: arrays with one leading axis G, noise included.
      candidate: v* of each graph, candidate[g, i] = target of node i.
    """
    return 0.5 * jnp.max(gain_bound(problem, candidate), axis=(1, 2))
