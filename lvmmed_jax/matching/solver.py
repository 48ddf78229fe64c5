"""Robust tabu search over swaps for batches of matching problems.

Every start is a permutation that is improved by the best allowed exchange of two
targets, also when the best one is a step down; a pair just left may not come back for
some steps unless that would beat the best value seen (Taillard's robust tabu search,
1991, with an integer hash in place of random tenures). The trip count is fixed, there
is no random key and no host call, so a solve is a pure function and the same from run
to run.
"""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt

from lvmmed_jax.matching import problem as problems

_START_SEED = 20231
_ASPIRATION = 1e-6  # relative; a gain below it is rounding


class Solution(NamedTuple):
    """A permutation matrix a graph, and what it is worth in its own problem."""

    matching: Float[Array, "G N N"]
    objective: Float[Array, "G"]


class _Search(NamedTuple):
    """One start's state. Columns k stand for "the target that node k has now".

    marginal[i, k]: worth of giving node i the target of k, all others staying.
    cross[i, k]: pair terms that the sum of marginals counts wrongly in a swap.
    tabu[i, k]: the step until which i may not get the target of k.
    """

    targets: Int[Array, "N"]
    marginal: Float[Array, "N N"]
    cross: Float[Array, "N N"]
    tabu: Int[Array, "N N"]
    value: Float[Array, ""]
    best_value: Float[Array, ""]
    best_targets: Int[Array, "N"]


class Effort(NamedTuple):
    """How long a search is, and what it forbids; see `Solver`."""

    num_starts: int
    num_steps: int
    tenure: tuple[int, int]
    forbid: str


@dataclasses.dataclass(frozen=True)
class Solver:
    """Multi-start tabu search, called on a batch of problems.

    Meant for N = 4 to 64. A solve needs about 8 N^4 bytes a graph, 0.5 MiB at N = 16,
    13 at 32 and 131 at 64 (the compiled program's temporaries on a CPU), and a gradient
    through `imle.match` no more; many graphs are solved in chunks of 512 MiB, see
    `problem.map_graphs`.

    Attributes:
      num_starts: fixed random permutations to start from; None: 16 up to N = 16, 64
        above.
      num_steps: swaps from each start; None: 64 up to N = 8, 128 up to 16, N^2 / 2
        above.
      tenure: for how many steps a pair that was left stays tabu, at least and at most;
        None: 3 to 10 up to N = 16, 3 N / 16 to 21 N / 32 above; with `forbid` "both"
        9 N / 10 to 23 N / 20.
      forbid: a swap is forbidden if "either" of its two new pairs is tabu, or only if
        "both" are (Taillard's rule), which is better on structured problems such as
        QAPLIB's.
    """

    num_starts: int | None = None
    num_steps: int | None = None
    tenure: tuple[int, int] | None = None
    forbid: str = "either"

    def __post_init__(self):
        """Refuses what no search can run with."""
        for name in ("num_starts", "num_steps"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}; at least 1 is needed")
        if self.tenure is not None and not 0 < self.tenure[0] <= self.tenure[1]:
            raise ValueError(f"tenure is {self.tenure}: two rising numbers from 1 on")
        if self.forbid not in ("either", "both"):
            raise ValueError(f"forbid is {self.forbid!r}: either or both")

    def __call__(
        self, problem: problems.AnyProblem, starts: Int[Array, "G K N"] | None = None
    ) -> Solution:
        """Solves G problems at once.

        Args:
          problem: arrays with one leading axis G.
          starts: further permutations to start from, `starts[g, s, i]` = target of node
            i; the result is never worse than any of them, but for rounding.

        Returns:
          The best matching that any start met, with its objective. The value is exact:
          it is recomputed from the affinities. Where they are not all finite, the
          matching is a permutation still and the objective nan.

        Raises:
          ValueError: the problem has no axis of graphs.
        """
        if problem.vertex_affinity.ndim != 3:
            raise ValueError(
                f"vertex_affinity has shape {problem.vertex_affinity.shape}; a batch "
                "of problems, [G, N, N], is needed: add an axis to one problem"
            )
        return _solve_all(
            problem, starts, self.effort(problem.vertex_affinity.shape[-1])
        )

    def effort(self, num_nodes: int) -> Effort:
        """What this solver does on graphs of `num_nodes` nodes.

        >>> Solver().effort(16)
        Effort(num_starts=16, num_steps=128, tenure=(3, 10), forbid='either')
        """
        small = num_nodes <= 16
        num_steps = 64 if num_nodes <= 8 else 128 if small else num_nodes**2 // 2
        if self.forbid == "both":
            tenure = max(1, 9 * num_nodes // 10), max(1, 23 * num_nodes // 20)
        else:
            tenure = (3, 10) if small else (3 * num_nodes // 16, 21 * num_nodes // 32)
        return Effort(
            self.num_starts or (16 if small else 64),
            self.num_steps or num_steps,
            self.tenure or tenure,
            self.forbid,
        )


@functools.partial(jax.jit, static_argnames="effort")
def _solve_all(
    problem: problems.AnyProblem, starts: Int[Array, "G K N"] | None, effort: Effort
) -> Solution:
    own = _fixed_starts(problem.vertex_affinity.shape[-1], effort.num_starts)
    # zeros of a problem array: under shard_map, starts vary over devices as it does
    zeros = jnp.zeros_like(problem.vertex_affinity[:, :1], dtype=own.dtype)
    lanes = own[None] + zeros
    if starts is not None:
        lanes = jnp.concatenate([starts.astype(lanes.dtype), lanes], axis=1)

    def solve(one: problems.AnyProblem, lanes: Int[Array, "S N"]) -> Solution:
        matching = _solve(one, lanes, effort)
        return Solution(matching, problems.objective(one, matching))

    return problems.map_graphs(solve, problem, lanes)


def _fixed_starts(num_nodes: int, num_starts: int) -> np.ndarray:
    """[S, N] permutations from a fixed seed, the unmoved order never among them.

    With equal affinities every matching ties and the first start wins: were it the
    identity, collapsed embeddings would have loss zero.
    """
    generator = np.random.default_rng(_START_SEED)
    starts = []
    while len(starts) < num_starts:
        permutation = generator.permutation(num_nodes)
        if num_nodes == 1 or np.any(permutation != np.arange(num_nodes)):
            starts.append(permutation)
    return np.stack(starts).astype(np.int32)


def _solve(
    problem: problems.AnyProblem, starts: Int[Array, "S N"], effort: Effort
) -> Float[Array, "N N"]:
    """The best permutation matrix met from any start, for one problem."""
    table = problems.pair_table(problem)
    costs = problem.vertex_affinity
    lanes = jnp.arange(starts.shape[0], dtype=jnp.uint32)
    search = jax.vmap(lambda start: _begin(costs, table, start))(starts)

    def body(step: Int[Array, ""], search: _Search) -> _Search:
        until = step + _tenures(step, lanes, effort.tenure)
        return jax.vmap(
            lambda until, one: _step(table, step, until, one, effort.forbid)
        )(until, search)

    search = jax.lax.fori_loop(0, effort.num_steps, body, search)
    values = jax.vmap(lambda targets: _value(costs, table, targets))(
        search.best_targets
    )
    best = search.best_targets[jnp.argmax(jnp.nan_to_num(values, nan=-jnp.inf))]
    return jax.nn.one_hot(best, costs.shape[0], dtype=costs.dtype)


def _value(
    costs: Float[Array, "N N"],
    table: Float[Array, "N N N N"],
    targets: Int[Array, "N"],
) -> Float[Array, ""]:
    """The objective of the permutation i -> targets[i]."""
    nodes = jnp.arange(targets.size)
    pairs = table[nodes[:, None], targets[:, None], nodes[None], targets[None]]
    return jnp.sum(costs[nodes, targets]) + 0.5 * jnp.sum(pairs)


def _begin(
    costs: Float[Array, "N N"],
    table: Float[Array, "N N N N"],
    start: Int[Array, "N"],
) -> _Search:
    """Full tables for one start; from here on they are only updated."""
    nodes = jnp.arange(start.size)
    linear = jnp.sum(table[:, :, nodes, start], axis=2)  # i a
    marginal = (costs + linear)[:, start]
    i, k = nodes[:, None], nodes[None]
    here, there = start[:, None], start[None]
    cross = table[i, here, k, there] + table[i, there, k, here]
    value = _value(costs, table, start)
    tabu = jnp.zeros_like(cross, dtype=jnp.int32)
    return _Search(start, marginal, cross, tabu, value, value, start)


def _swap_deltas(
    marginal: Float[Array, "N N"], cross: Float[Array, "N N"]
) -> Float[Array, "N N"]:
    """[i, k] -> the exact change of the objective when i and k exchange targets."""
    own = jnp.diagonal(marginal)
    return marginal + marginal.T - own[:, None] - own[None] + cross


def _step(
    table: Float[Array, "N N N N"],
    step: Int[Array, ""],
    tabu_until: Int[Array, ""],
    search: _Search,
    forbid: str = "either",
) -> _Search:
    """One swap: the best allowed one, of equal ones the first; none if none is."""
    deltas = _swap_deltas(search.marginal, search.cross)
    needed = search.best_value + _ASPIRATION * (1 + jnp.abs(search.best_value))
    longer = jnp.maximum if forbid == "either" else jnp.minimum
    free = longer(search.tabu, search.tabu.T) <= step
    nodes = jnp.arange(search.targets.size)
    allowed = free | (search.value + deltas > needed)
    allowed &= nodes[:, None] > nodes[None]
    deltas = jnp.where(allowed, deltas, -jnp.inf)
    # one pass over all pairs: the best of each row, then its place among a few
    rows = jnp.max(deltas, axis=1)
    best = jnp.max(rows)
    i = jnp.min(jnp.where(rows == best, nodes, nodes[-1]))
    j = jnp.min(jnp.where(deltas[i] == best, nodes, nodes[-1]))
    found = best > -jnp.inf  # not so for nan
    i, j, best = (jnp.where(found, x, jnp.zeros_like(x)) for x in (i, j, best))
    return _swap(table, tabu_until, search, i, j, best)


def _swap(
    table: Float[Array, "N N N N"],
    tabu_until: Int[Array, ""],
    search: _Search,
    i: Int[Array, ""],
    j: Int[Array, ""],
    delta: Float[Array, ""],
) -> _Search:
    """Nodes i and j exchange targets; the tables follow in O(N^2). i = j is no swap."""
    nodes = jnp.arange(search.targets.size)
    old_i, old_j = search.targets[i], search.targets[j]
    targets = jnp.where(nodes == j, old_i, search.targets)
    targets = jnp.where(nodes == i, old_j, targets)
    column_i, column_j = (nodes == i)[None], (nodes == j)[None]  # 1 N
    row_i, row_j = column_i.T, column_j.T  # N 1

    def swap_columns(array: Array) -> Array:
        moved = jnp.where(column_i, array[:, j, None], array)
        return jnp.where(column_j, array[:, i, None], moved)

    change = table[i, old_j] + table[j, old_i] - table[i, old_i] - table[j, old_j]
    marginal = swap_columns(search.marginal) + change[:, targets]

    def cross_of(node: Int[Array, ""], target: Int[Array, ""]) -> Float[Array, "1 N"]:
        ahead = table[node, target, nodes, targets]
        return (ahead + table[node, targets, nodes, target])[None]

    cross_i, cross_j = cross_of(i, old_j), cross_of(j, old_i)
    cross = jnp.where(row_i, cross_i, jnp.where(row_j, cross_j, search.cross))
    cross = jnp.where(column_i, cross_i.T, jnp.where(column_j, cross_j.T, cross))
    # node i may not soon get back the target that now belongs to j, nor j that of i
    left = (row_i & column_j) | (row_j & column_i)
    tabu = jnp.where(left, tabu_until, swap_columns(search.tabu))

    value = search.value + delta
    better = value > search.best_value
    return _Search(
        targets,
        marginal,
        cross,
        tabu,
        value,
        jnp.where(better, value, search.best_value),
        jnp.where(better, targets, search.best_targets),
    )


def _tenures(
    step: Int[Array, ""], lanes: UInt[Array, "S"], tenure: tuple[int, int]
) -> Int[Array, "S"]:
    """How long a pair stays tabu: an integer hash of step and start, no random key."""
    low, high = tenure
    mixed = step.astype(jnp.uint32) * jnp.uint32(2654435761) + lanes * jnp.uint32(40503)
    mixed = (mixed ^ (mixed >> 15)) * jnp.uint32(2246822519)
    mixed ^= mixed >> 13
    return low + (mixed % jnp.uint32(high - low + 1)).astype(jnp.int32)
