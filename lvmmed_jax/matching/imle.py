"""The differentiable match: implicit maximum likelihood around any solver.

Algorithm 1 and Eq. 6 of the paper (I-MLE, Niepert et al. 2021). At noise zero the rule
is the one of Vlastelica et al. 2020 for blackbox combinatorial solvers.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from lvmmed_jax.matching import problem as problems
from lvmmed_jax.matching import solver as solvers


def perturb(
    problem: problems.MatchingProblem,
    key: Array,
    sigma: float,
    sigma_edges: float | None = None,
) -> problems.MatchingProblem:
    """Algorithm 1: adds Gumbel(0, 1) noise times `sigma` to c^v and to c^e.

    Noise falls only on edges that exist: not on self-loops, which pad a graph.

    Args:
      problem: one problem, without a leading axis.
      key: a typed random key, one a graph.
      sigma: scale of the noise, at least 0; 1 is the paper's.
      sigma_edges: that of the noise on c^e; None: `sigma`, the paper's.
    """
    vertex, edge = problem.vertex_affinity, problem.edge_affinity
    noise = jax.random.gumbel(key, (vertex.size + edge.size,))
    on_edges = noise[vertex.size :].reshape(edge.shape)
    exists_s, exists_t = (
        edges[:, 0] != edges[:, 1] for edges in (problem.edges_s, problem.edges_t)
    )
    on_edges = jnp.where(exists_s[:, None] & exists_t[None], on_edges, 0.0)
    sigma_edges = sigma if sigma_edges is None else sigma_edges
    return problem._replace(
        vertex_affinity=vertex + sigma * noise[: vertex.size].reshape(vertex.shape),
        edge_affinity=edge + sigma_edges * on_edges,
    )


def hamming_loss(
    matching: Float[Array, "*G N N"], target_matching: Float[Array, "*G N N"]
) -> Float[Array, "*G"]:
    """Eq. 5: entries in which two matchings differ, 0 to 2 N, one value a graph.

    >>> float(hamming_loss(jnp.eye(3), jnp.eye(3)[::-1]))
    4.0
    """
    missed = target_matching * (1 - matching)
    wrong = matching * (1 - target_matching)
    return jnp.sum(missed + wrong, axis=(-2, -1))


def match(
    solver: solvers.Solver,
    problem: problems.MatchingProblem,
    interpolation: Float[Array, ""] | float,
) -> tuple[Float[Array, "G N N"], Float[Array, "G E E"]]:
    """Solves G matching problems; differentiable in both affinities.

    Forward: v = argmax of the problem (Eq. 4), and its edge indicators y. Backward
    (Eq. 6), with the cotangents g of v and y and s their largest size in a graph:

        v' = argmax of the problem at (c^v - lambda g_v / s, c^e - lambda g_e / s)
        dL/dc^v = s (v - v') / lambda,   dL/dc^e = s (y - y') / lambda

    The rule is not linear in g, so g is normalised before the shift and the result
    scaled back: the gradient under a mean over G graphs is 1 / G of that under a sum,
    and a zero cotangent gives zero.

    The second search is always done: 96 steps from v and from three fixed permutations.

    Args:
      solver: the forward solver; a frozen dataclass, so that equal ones compile once.
      problem: arrays with one leading axis G; noise, where wanted, is already in them.
      interpolation: lambda, above 0; the paper's is 80. Gets no gradient.

    Returns:
      The matching [G, N, N] and the edge matching [G, E, E], both 0 and 1.
    """
    return _match(solver, *problem, jnp.asarray(interpolation, jnp.float32))


def _solve(solver, problem, starts=None):
    matching = solver(problem, starts).matching
    chosen = jax.vmap(problems.edge_matching)(
        matching, problem.edges_s, problem.edges_t
    )
    return matching, chosen


def _primal(solver, vertex_affinity, edge_affinity, edges_s, edges_t, interpolation):
    del interpolation
    return _solve(
        solver,
        problems.MatchingProblem(vertex_affinity, edge_affinity, edges_s, edges_t),
    )


_match = jax.custom_vjp(_primal, nondiff_argnums=(0,))


def _fwd(solver, vertex_affinity, edge_affinity, edges_s, edges_t, interpolation):
    problem = problems.MatchingProblem(vertex_affinity, edge_affinity, edges_s, edges_t)
    solution = _solve(solver, problem)
    return solution, (problem, solution, interpolation)


def _bwd(solver, residuals, cotangents):
    problem, (matching, chosen), interpolation = residuals
    vertex, edge = cotangents
    scale = jnp.maximum(_largest(vertex), _largest(edge))
    shift = interpolation / jnp.where(scale > 0, scale, 1.0)
    shifted = problem._replace(
        vertex_affinity=problem.vertex_affinity - shift * vertex,
        edge_affinity=problem.edge_affinity - shift * edge,
    )
    found = jnp.argmax(matching, axis=-1)[:, None]  # G 1 N
    shorter = dataclasses.replace(solver, num_starts=3, num_steps=96)
    matching_shifted, chosen_shifted = _solve(shorter, shifted, found)
    step = scale / interpolation
    return (
        step * (matching - matching_shifted),
        step * (chosen - chosen_shifted),
        None,
        None,
        jnp.zeros_like(interpolation),
    )


_match.defvjp(_fwd, _bwd)


def _largest(cotangent: Float[Array, "G M K"]) -> Float[Array, "G 1 1"]:
    return jnp.max(jnp.abs(cotangent), axis=(-2, -1), keepdims=True)
