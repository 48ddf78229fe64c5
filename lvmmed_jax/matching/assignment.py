"""Batched linear assignment, exact: shortest augmenting paths (Jonker and Volgenant).

One node after another is assigned along a shortest path in reduced costs, with dual
prices that keep every reduced cost at or above zero (Crouse 2016 has the form that
this follows). Written here because it is faster under `jax.vmap` than
`optax.assignment.hungarian_algorithm` and traces inside `jax.shard_map`;
`benchmarks/assignment.py` measures both.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

_LARGEST = 1e30  # beyond it, sums of N values could leave float32


class _Prices(NamedTuple):
    """A partial assignment that is the best of its rows, and the proof of it."""

    column_of: Int[Array, "N"]  # of a row, -1 where it has none
    row_of: Int[Array, "N"]  # of a column
    row_price: Float[Array, "N"]
    column_price: Float[Array, "N"]


class _Path(NamedTuple):
    """A search from one row for a free column, nearest columns first."""

    row: Int[Array, ""]  # from which columns are looked at next
    length: Float[Array, ""]  # of the path to it
    distance: Float[Array, "N"]  # of each column
    parent: Int[Array, "N"]  # the row before each column
    settled: Bool[Array, "N"]
    end: Int[Array, ""]  # the free column, -1 until it is found
    num_steps: Int[Array, ""]


@jax.jit
def assign(affinity: Float[Array, "*G N N"]) -> Int[Array, "*G N"]:
    """The permutation of largest total affinity, for each matrix.

    Args:
      affinity: worth of giving row i the column a. Nan counts as the lowest value, and
        values beyond 1e30 in size as 1e30.

    Returns:
      targets[i] = a, always a permutation; exact up to the rounding of sums of N
      entries. Ties are broken the same way every time, and not by a rule.

    >>> assign(jnp.array([[1.0, 5.0], [2.0, 9.0]])).tolist()
    [0, 1]
    """
    size = affinity.shape[-1]
    affinity = jnp.where(jnp.isnan(affinity), -_LARGEST, affinity)
    costs = -jnp.clip(affinity, -_LARGEST, _LARGEST).reshape(-1, size, size)
    return jax.vmap(_assign)(costs).reshape(affinity.shape[:-1])


def _assign(costs: Float[Array, "N N"]) -> Int[Array, "N"]:
    size = costs.shape[0]
    costs = costs - jnp.min(costs, axis=1, keepdims=True)
    # zeros of an argument: under shard_map a carry varies over devices as it does
    zeros = jnp.zeros_like(costs[0])
    none = zeros.astype(jnp.int32) - 1
    prices = _Prices(none, none, zeros, zeros)
    prices = jax.lax.fori_loop(
        0, size, lambda row, prices: _add_row(costs, row, prices), prices
    )
    return prices.column_of


def _add_row(
    costs: Float[Array, "N N"], row: Int[Array, ""], prices: _Prices
) -> _Prices:
    """Assigns one more row; the others may change columns along the path."""
    size = costs.shape[0]
    like = prices.row_of[0] * 0
    start = _Path(
        row + like,
        prices.row_price[0] * 0,
        jnp.full_like(prices.row_price, jnp.inf),
        jnp.full_like(prices.row_of, -1),
        jnp.zeros_like(prices.row_of, dtype=bool),
        like - 1,
        like,
    )
    path = jax.lax.while_loop(
        lambda path: (path.end < 0) & (path.num_steps < size),
        lambda path: _settle(costs, prices, path),
        start,
    )
    # rows of the tree: the first, and those whose column is settled
    column = jnp.maximum(prices.column_of, 0)
    in_tree = (prices.column_of >= 0) & path.settled[column]
    gain = jnp.where(in_tree, path.length - path.distance[column], 0.0)
    gain = jnp.where(jnp.arange(size) == row, path.length, gain)
    paid = jnp.where(path.settled, path.length - path.distance, 0.0)
    prices = prices._replace(
        row_price=prices.row_price + gain, column_price=prices.column_price - paid
    )
    return _augment(path, row, prices)


def _settle(costs: Float[Array, "N N"], prices: _Prices, path: _Path) -> _Path:
    """Settles the nearest column; its row is the next to look from."""
    reduced = costs[path.row] - prices.row_price[path.row] - prices.column_price
    reached = path.length + reduced
    closer = ~path.settled & (reached < path.distance)
    distance = jnp.where(closer, reached, path.distance)
    open_distance = jnp.where(path.settled, jnp.inf, distance)
    nearest = jnp.argmin(open_distance).astype(path.row.dtype)
    owner = prices.row_of[nearest]
    return _Path(
        jnp.maximum(owner, 0),
        open_distance[nearest],
        distance,
        jnp.where(closer, path.row, path.parent),
        path.settled | (jnp.arange(costs.shape[0]) == nearest),
        jnp.where(owner < 0, nearest, -1),
        path.num_steps + 1,
    )


def _augment(path: _Path, row: Int[Array, ""], prices: _Prices) -> _Prices:
    """Every row on the path takes the column after it."""

    def move(carry):
        column, column_of, row_of = carry
        owner = path.parent[column]
        before = column_of[owner]
        return before, column_of.at[owner].set(column), row_of.at[column].set(owner)

    # the first row had no column: the walk ends at -1
    _, column_of, row_of = jax.lax.while_loop(
        lambda carry: carry[0] >= 0, move, (path.end, prices.column_of, prices.row_of)
    )
    return prices._replace(column_of=column_of, row_of=row_of)
