"""Noise on the affinities: what makes the argmax of a matching a distribution.

Algorithm 1 of the paper adds Gumbel noise; the others are variants to compare.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from lvmmed_jax.matching import problem as problems

NOISES = ("gumbel", "sum_of_gamma", "margin", "none")

_NUM_GAMMA_TERMS = 10  # s of Niepert et al. 2021, which uses 10


def gumbel(key: Array, shape: tuple[int, ...]) -> Float[Array, "..."]:
    """Gumbel(0, 1) in every entry: the paper's, Algorithm 1."""
    return jax.random.gumbel(key, shape)


def sum_of_gamma(
    key: Array, shape: tuple[int, ...], num_chosen: int
) -> Float[Array, "..."]:
    """Noise of which the sum over `num_chosen` entries is close to a Gumbel(0, 1).

    (1 / k) (sum_{i=1}^s Gamma(1 / k, scale k / i) - log s), k = `num_chosen`, s = 10
    terms (Niepert et al. 2021, theorem 1: exact as s grows).
    """
    terms = jnp.arange(1, _NUM_GAMMA_TERMS + 1)
    draws = jax.random.gamma(key, 1 / num_chosen, (*shape, _NUM_GAMMA_TERMS))
    scaled = draws * (num_chosen / terms).reshape((1,) * len(shape) + (-1,))
    return (jnp.sum(scaled, axis=-1) - math.log(_NUM_GAMMA_TERMS)) / num_chosen


def perturb(
    problem: problems.MatchingProblem,
    key: Array,
    sigma: float,
    sigma_edges: float | None = None,
    noise: str = "gumbel",
) -> problems.MatchingProblem:
    """Algorithm 1: adds noise times `sigma` to c^v and to c^e.

    Noise falls only on edges that exist: not on self-loops, which pad a graph.

    Args:
      problem: one problem, without a leading axis.
      key: a typed random key, one a graph.
      sigma: scale of the noise, at least 0; 1 is the paper's.
      sigma_edges: that of the noise on c^e; None: `sigma`, the paper's.
      noise: "gumbel"; "sum_of_gamma", for the N entries that a permutation chooses;
        "margin": no noise, c^v of the true pairs, (i, i), lowered by `sigma`, so that
        they must win by as much (Rolinek et al. 2020; the paper's ablation without
        noise); "none".

    Raises:
      ValueError: another `noise`.
    """
    vertex, edge = problem.vertex_affinity, problem.edge_affinity
    if noise == "none":
        return problem
    if noise == "margin":
        return problem._replace(vertex_affinity=vertex - sigma * jnp.eye(len(vertex)))
    shape = (vertex.size + edge.size,)
    if noise == "gumbel":
        drawn = gumbel(key, shape)
    elif noise == "sum_of_gamma":
        drawn = sum_of_gamma(key, shape, len(vertex))
    else:
        raise ValueError(f"noise {noise!r} is unknown; known: {', '.join(NOISES)}")
    on_edges = drawn[vertex.size :].reshape(edge.shape)
    exists = problems.real_edge_pairs(problem.edges_s, problem.edges_t)
    on_edges = jnp.where(exists, on_edges, 0.0)
    sigma_edges = sigma if sigma_edges is None else sigma_edges
    return problem._replace(
        vertex_affinity=vertex + sigma * drawn[: vertex.size].reshape(vertex.shape),
        edge_affinity=edge + sigma_edges * on_edges,
    )
