"""Spherical k-means on the devices, of a bank that need not be full."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from lvmmed_jax.matching import affinity

_CHUNK = 2**14  # points whose cosines with all centroids are in memory at once


class Clusters(NamedTuple):
    """K clusters of M points."""

    centroids: Float[Array, "K F"]  # of length one
    assigned: Int[Array, "M"]


def fit(
    points: Float[Array, "M F"],
    exists: Bool[Array, "M"],
    num_clusters: int,
    num_iterations: int,
    key: Array,
) -> Clusters:
    """Centroids begin at points drawn at random; an empty cluster keeps its own.

    Args:
      points: of length one.
      exists: whether there is such a point; one at least must.
      num_clusters: K; where there are fewer points, some centroids are equal.
      num_iterations: how often centroids are moved.
      key: of the first centroids.

    Returns:
      Each point's cluster is that of the nearest centroid after the last move.
    """
    centroids = _draw(points, exists, num_clusters, key)

    def move(_, centroids):
        sums = _sums(points, exists, nearest(points, centroids), num_clusters)
        empty = jnp.all(sums == 0, axis=1, keepdims=True)
        return jnp.where(empty, centroids, affinity.normalise(sums))

    centroids = jax.lax.fori_loop(0, num_iterations, move, centroids)
    return Clusters(centroids, nearest(points, centroids))


def nearest(
    points: Float[Array, "M F"], centroids: Float[Array, "K F"]
) -> Int[Array, "M"]:
    """The centroid of largest cosine."""
    count, width = points.shape
    size = min(_CHUNK, count)
    padded = jnp.pad(points, ((0, -count % size), (0, 0)))
    found = jax.lax.map(
        lambda chunk: jnp.argmax(
            jnp.matmul(chunk, centroids.T, precision=jax.lax.Precision.HIGHEST), axis=1
        ),
        padded.reshape(-1, size, width),
    )
    return found.reshape(-1)[:count].astype(jnp.int32)


def _draw(points, exists, count, key):
    """Different points as long as there are some, then the same again."""
    lots = jnp.where(exists, jax.random.uniform(key, exists.shape), 2.0)
    order = jnp.argsort(lots)
    return points[order[jnp.arange(count) % jnp.maximum(jnp.sum(exists), 1)]]


def _sums(points, exists, assigned, count):
    weighted = points * exists[:, None].astype(points.dtype)
    return jax.ops.segment_sum(weighted, assigned, count)
