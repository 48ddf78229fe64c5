"""The differentiable match: implicit maximum likelihood around any solver.

Algorithm 1 and Eq. 6 of the paper (I-MLE, Niepert et al. 2021). At noise zero the rule
is the one of Vlastelica et al. 2020 for blackbox combinatorial solvers.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from lvmmed_jax.matching import assignment, certificate
from lvmmed_jax.matching import problem as problems
from lvmmed_jax.matching import solver as solvers


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


def fenchel_young_loss(
    problem: problems.MatchingProblem,
    matching: Float[Array, "G N N"],
    target_matching: Float[Array, "G N N"],
) -> Float[Array, "G"]:
    """How much the best matching is worth more than the target, one value a graph.

        loss = objective(v) - objective(v*),   dL/dc^v = v - v*,   dL/dc^e = y - y*

    With Gumbel noise in the problem, the mean over the noise is the perturbed
    Fenchel-Young loss (Berthet et al. 2020) less a term that no affinity is in; at
    least 0 where v is optimal. The gradient is lambda times that of `match` under the
    Hamming loss wherever the second matching of Eq. 6 is the target.

    Args:
      problem: arrays with one leading axis G; noise, where wanted, is already in them.
      matching: v, what a solver finds for it.
      target_matching: v*.
    """
    value = jax.vmap(problems.objective)
    matching = jax.lax.stop_gradient(matching)
    return value(problem, matching) - value(problem, target_matching)


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

    v' is searched for only where nothing proves a candidate optimal. The candidates:
    the cheapest target of each row of g_v, which is v* for the Hamming loss, then the
    linear assignment of the shifted c^v. At lambda = 80 the first is proved for
    affinities like the paper's, and the search never runs. A shard (or a batch, without
    `shard_map`) whose graphs are all proved skips what comes after.

    Args:
      solver: the forward solver; a frozen dataclass, so that equal ones compile once.
      problem: arrays with one leading axis G; noise, where wanted, is already in them.
      interpolation: lambda, above 0; the paper's is 80. Gets no gradient.

    Returns:
      The matching [G, N, N] and the edge matching [G, E, E], both 0 and 1. Where an
      affinity is not finite they are a permutation's still: `problem.objective` tells.
    """
    return _match(solver, *problem, jnp.asarray(interpolation, jnp.float32))


def _primal(solver, vertex_affinity, edge_affinity, edges_s, edges_t, interpolation):
    del interpolation
    matching = solver(
        problems.MatchingProblem(vertex_affinity, edge_affinity, edges_s, edges_t)
    ).matching
    return matching, _edge_matchings(matching, edges_s, edges_t)


_match = jax.custom_vjp(_primal, nondiff_argnums=(0,))


def _fwd(solver, *arguments):
    matching, chosen = _primal(solver, *arguments)
    # y is made anew in the backward pass: E^2 floats a graph less to keep
    return (matching, chosen), (arguments, matching)


def _bwd(solver, residuals, cotangents):
    (*problem, interpolation), matching = residuals
    problem = problems.MatchingProblem(*problem)
    vertex, edge = cotangents
    scale = jnp.maximum(_largest(vertex), _largest(edge))
    shift = interpolation / jnp.where(scale > 0, scale, 1.0)
    shifted = problem._replace(
        vertex_affinity=problem.vertex_affinity - shift * vertex,
        edge_affinity=problem.edge_affinity - shift * edge,
    )
    first = jnp.argmax(matching, axis=-1)
    second = _second_solution(solver, shifted, vertex, first, scale[:, 0, 0] == 0)
    shifted_matching = jax.nn.one_hot(second, first.shape[-1], dtype=matching.dtype)
    edges = problem.edges_s, problem.edges_t
    step = scale / interpolation
    return (
        step * (matching - shifted_matching),
        step
        * (
            _edge_matchings(matching, *edges)
            - _edge_matchings(shifted_matching, *edges)
        ),
        None,
        None,
        jnp.zeros_like(interpolation),
    )


_match.defvjp(_fwd, _bwd)


def _second_solution(
    solver: solvers.Solver,
    shifted: problems.MatchingProblem,
    cotangent: Float[Array, "G N N"],
    first: Int[Array, "G N"],
    known: Bool[Array, "G"],
) -> Int[Array, "G N"]:
    """The best targets of the shifted problems, by proof where one is found.

    Args:
      solver: the forward solver; a shorter one searches here.
      shifted: affinities less the scaled cotangents.
      cotangent: g_v.
      first: the targets of the unshifted problems.
      known: graphs whose second solution is the first.
    """
    cheapest = jnp.argmin(cotangent, axis=-1)
    feasible = jnp.all(jnp.sort(cheapest) == jnp.arange(first.shape[-1])[None], axis=-1)
    candidate = jnp.where((feasible & ~known)[:, None], cheapest, first)
    gain = certificate.gain_bound(shifted, candidate)
    proved = known | certificate.is_optimal_row_by_row(gain)

    def by_assignment() -> Int[Array, "G N"]:
        sure = proved | certificate.is_optimal(gain)
        assigned = assignment.assign(shifted.vertex_affinity).astype(first.dtype)
        best = jnp.where(sure[:, None], candidate, assigned)
        optimal = sure | certificate.is_optimal(certificate.gain_bound(shifted, best))

        def search() -> Int[Array, "G N"]:
            starts = jnp.stack([candidate, first, assigned], axis=1)
            found = _shorter(solver, first.shape[-1])(shifted, starts).matching
            found = jnp.argmax(found, axis=-1).astype(first.dtype)
            # what is proved stays, whoever shares the shard
            return jnp.where(optimal[:, None], best, found)

        return jax.lax.cond(jnp.all(optimal), lambda: best, search)

    # outside vmap, where a cond runs one branch only
    return jax.lax.cond(jnp.all(proved), lambda: candidate, by_assignment)


def _shorter(solver: solvers.Solver, num_nodes: int) -> solvers.Solver:
    """A search that is given three good starts: 5 x 96 at N = 16 in all."""
    num_steps = solver.effort(num_nodes).num_steps
    return dataclasses.replace(
        solver,
        num_starts=2 if num_nodes <= 16 else 14,
        num_steps=min(num_steps, max(64, 3 * num_steps // 4)),
    )


def _edge_matchings(matching, edges_s, edges_t):
    return jax.vmap(problems.edge_matching)(matching, edges_s, edges_t)


def _largest(cotangent: Float[Array, "G M K"]) -> Float[Array, "G 1 1"]:
    return jnp.max(jnp.abs(cotangent), axis=(-2, -1), keepdims=True)
