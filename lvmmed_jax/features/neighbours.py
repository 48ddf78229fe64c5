"""The nearest images of some, by the cosine of their features."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from lvmmed_jax.features import layers, stored


class Neighbours(NamedTuple):
    """The images nearest to one.

    Attributes:
      query: its row.
      rows: theirs, the nearest first.
      distances: 1 - cosine, in [0, 2].
    """

    query: int
    rows: list[int]
    distances: list[float]


def pooled(found: stored.Features) -> Iterator[np.ndarray]:
    """Directions [b, D] of a few rows at a time, of the last layer; maps are averaged.

    A direction is of length 1, or 0 where a feature is 0.
    """
    for block in found.blocks(layers.deepest(found.shapes)):
        features = block.reshape(len(block), -1, block.shape[-1]).mean(axis=1)
        length = np.linalg.norm(features, axis=1, keepdims=True)
        yield features / np.maximum(length, 1e-12)


def some(found: stored.Features, rows: Sequence[int]) -> np.ndarray:
    """The directions of these rows, ascending: [n, D]."""
    rows, kept, begin = np.asarray(rows), [], 0
    for block in pooled(found):
        own = rows[(rows >= begin) & (rows < begin + len(block))]
        kept.append(block[own - begin])
        begin += len(block)
    return np.concatenate(kept)


def find(
    found: stored.Features, queries: Sequence[int], *, count: int
) -> list[Neighbours]:
    """The nearest images of each query; one pass over the features.

    Images of the query's own patient, study or volume, which look alike, do not count,
    unless there are hardly any others.

    Args:
      found: the features.
      queries: rows, ascending.
      count: of neighbours wanted, K.
    """
    names, groups = np.unique([row.group for row in found.rows], return_inverse=True)
    features, asked = some(found, queries), np.asarray(queries)
    distances = np.zeros((len(asked), 0), np.float32)
    rows, begin = np.zeros((len(asked), 0), int), 0
    for block in pooled(found):
        own = np.arange(begin, begin + len(block))
        far = 1 - features @ block.T
        if count_others(len(names), count):
            far[groups[asked][:, None] == groups[own]] = np.inf
        far[asked[:, None] == own] = np.inf
        distances = np.concatenate([distances, far], axis=1)
        rows = np.concatenate([rows, np.broadcast_to(own, far.shape)], axis=1)
        nearest = np.argsort(distances, axis=1, kind="stable")[:, :count]
        distances = np.take_along_axis(distances, nearest, axis=1)
        rows = np.take_along_axis(rows, nearest, axis=1)
        begin += len(block)
    return [
        Neighbours(
            int(query),
            each[np.isfinite(far)].tolist(),
            np.maximum(far[np.isfinite(far)], 0).tolist(),
        )
        for query, each, far in zip(asked, rows, distances, strict=True)
    ]


def count_others(num_groups: int, count: int) -> bool:
    """Whether only images of other groups are neighbours."""
    return num_groups > count
