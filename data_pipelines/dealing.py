"""Which records a batch holds, and in which of its graphs each of them is."""

import functools
from typing import NamedTuple

import numpy as np

from data_pipelines import balance


class Order(NamedTuple):
    """The endless order of all draws, batch by batch.

    Attributes:
      draws: what an epoch holds.
      groups: int32 [n], equal for records that should not meet in a graph.
      global_batch: draws a batch, B.
      graph_size: consecutive rows of a batch that make a graph, N; None: no graphs.
      seed: of the shuffles.
    """

    draws: balance.Draws
    groups: np.ndarray
    global_batch: int
    graph_size: int | None
    seed: int

    def batch(self, number: int) -> "Rows":
        """The B rows of a batch."""
        length = self.draws.num_draws
        place = number * self.global_batch + np.arange(self.global_batch)
        epoch, place = place // length, place % length
        record, copy = np.empty_like(place), np.empty_like(place)
        for each in np.unique(epoch).tolist():
            here = epoch == each
            drawn = _shuffled(length, self.seed, each)[place[here]]
            record[here], copy[here] = (x[drawn] for x in self.draws.epoch(each))
        found = Rows(epoch, record, copy)
        if self.graph_size is None:
            return found
        order = apart(self.groups[record], self.graph_size)
        return Rows(*(x[order] for x in found))


class Rows(NamedTuple):
    """What the rows of a batch are.

    Attributes:
      epoch: int64 [B].
      record: int64 [B], its number.
      copy: int64 [B], 0 for the first time that the record comes in the epoch, 1, ...
    """

    epoch: np.ndarray
    record: np.ndarray
    copy: np.ndarray


@functools.lru_cache(maxsize=4)
def _shuffled(length: int, seed: int, epoch: int) -> np.ndarray:
    """An order of an epoch's draws, int64 [length], the same with any NumPy.

    The raw stream of a bit generator never changes, that of `permutation` may.
    """
    keys = np.random.Philox(key=[seed, epoch]).random_raw(length)
    return np.argsort(keys, kind="stable")


def apart(groups: np.ndarray, graph_size: int) -> np.ndarray:
    """Rows of a batch in an order that keeps equal groups out of one graph.

    Records that come of one volume, or copies of one image, make the true matching of a
    graph ambiguous. A group of at most as many records as there are graphs meets itself
    in none. A batch in which none does stays as it is.

    Args:
      groups: int [B].
      graph_size: N, which divides B.

    Returns:
      int64 [B], a permutation.
    """
    rows = np.arange(len(groups))
    if not ambiguous(groups, graph_size).any():
        return rows
    num_graphs = len(groups) // graph_size
    _, inverse, counts = np.unique(groups, return_inverse=True, return_counts=True)
    # the largest groups first, each laid out over the graphs in turn
    order = np.lexsort((rows, inverse, -counts[inverse]))
    return order.reshape(graph_size, num_graphs).T.reshape(-1)


def ambiguous(groups: np.ndarray, graph_size: int) -> np.ndarray:
    """bool [G]: which graphs of a batch hold two records of one group."""
    graphs = np.sort(groups.reshape(-1, graph_size), axis=1)
    return (graphs[:, 1:] == graphs[:, :-1]).any(axis=1)
