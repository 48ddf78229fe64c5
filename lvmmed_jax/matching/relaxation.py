"""A smooth relaxation of the matching: the baseline that needs no gradient rule.

Doubly stochastic matrices take the place of permutations, an entropy the place of the
noise, and the gradient runs through a fixed number of iterations (softassign, Gold and
Rangarajan 1996).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from lvmmed_jax.matching import problem as problems


def sinkhorn(
    scores: Float[Array, "N N"], num_iterations: int = 20
) -> Float[Array, "N N"]:
    """The doubly stochastic matrix of largest <scores, P> + entropy(P).

    Rows and columns of exp(scores) are divided by their sums in turn, in logarithms.

    Args:
      scores: affinities over the temperature.
      num_iterations: of a division of the rows and one of the columns; columns sum to
        one at the end, rows nearly.

    >>> sinkhorn(jnp.zeros((2, 2))).tolist()
    [[0.5, 0.5], [0.5, 0.5]]
    """

    def divide(_, logs):
        logs = jax.nn.log_softmax(logs, axis=1)
        return jax.nn.log_softmax(logs, axis=0)

    return jnp.exp(jax.lax.fori_loop(0, num_iterations, divide, scores))


def soft_match(
    problem: problems.MatchingProblem, temperature: float, num_rounds: int = 10
) -> Float[Array, "G N N"]:
    """Soft matchings of G problems, differentiable in both affinities.

    P starts uniform; each round takes the gradient of Eq. 4 at P, c^v + sum_jb A[ia,
    jb] P_jb, to a new P by `sinkhorn`.

    Args:
      problem: arrays with one leading axis G.
      temperature: above 0; the smaller, the closer to a permutation and the steeper.
      num_rounds: linearisations.

    Returns:
      [G, N, N], entries in [0, 1], columns summing to one and rows nearly.
    """

    def one(problem: problems.MatchingProblem) -> Float[Array, "N N"]:
        table, costs = problems.pair_table(problem), problem.vertex_affinity

        def round_(_, soft):
            return sinkhorn(
                (costs + jnp.einsum("iajb,jb->ia", table, soft)) / temperature
            )

        # zeros of an argument: under shard_map a carry varies over devices as it does
        uniform = jnp.zeros_like(costs) + 1 / costs.shape[0]
        return jax.lax.fori_loop(0, num_rounds, round_, uniform)

    return problems.map_graphs(one, problem)
