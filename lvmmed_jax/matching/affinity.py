"""Affinities between two graphs: vertices (global and local) and edges.

Section 3.2.2 (Eq. 2, Eq. 3) and 3.2.3 of the paper, one function each. Functions take
one pair of graphs; `jax.vmap` makes batches. Products run in full float32 everywhere.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from lvmmed_jax.matching import graphs

_HIGHEST = jax.lax.Precision.HIGHEST
_TINY_NORM = 1e-6  # shorter vectors have cosine 0 with everything, and no gradient


def normalise(vectors: Float[Array, "*B F"]) -> Float[Array, "*B F"]:
    """Vectors of length one; (nearly) zero ones become zero, with a finite gradient.

    Nan stays nan: a broken encoder must not look like one whose images are alike.
    """
    squares = jnp.sum(jnp.square(vectors), axis=-1, keepdims=True)
    length = jnp.sqrt(jnp.maximum(squares, _TINY_NORM**2))
    return jnp.where(squares <= _TINY_NORM**2, 0.0, vectors / length)


def cosine(a: Float[Array, "N F"], b: Float[Array, "M F"]) -> Float[Array, "N M"]:
    """Cosine of every row of `a` with every row of `b`, in [-1, 1]."""
    return jnp.matmul(normalise(a), normalise(b).T, precision=_HIGHEST)


def edge_affinity(graph_s: graphs.Graph, graph_t: graphs.Graph) -> Float[Array, "E E"]:
    """Section 3.2.3: cosine of the difference vectors of two edges.

    c^e[(i, j), (a, b)] = cos(z_i - z_j, z_a - z_b) for edges (i, j) of `graph_s` and
    (a, b) of `graph_t`.

    Returns:
      [E, E] in [-1, 1]; 0 where a difference is zero.
    """
    difference_s = graph_s.nodes[graph_s.receivers] - graph_s.nodes[graph_s.senders]
    difference_t = graph_t.nodes[graph_t.receivers] - graph_t.nodes[graph_t.senders]
    return cosine(difference_s, difference_t)


def local_affinity(
    features_s: Float[Array, "N P D"],
    features_t: Float[Array, "N P D"],
    locations_s: Float[Array, "N P 2"],
    locations_t: Float[Array, "N P 2"],
    num_cells: int,
) -> Float[Array, "N N"]:
    """Eq. 2: the mean cosine of the best-matched feature-map cells of two images.

    For each pair of images (i, a), every cell of i is matched with the cell of a that
    is nearest by location, and with the one nearest by feature in L2; of each kind the
    `num_cells` pairs of smallest distance are kept and their cosines averaged. The same
    from t to s. The result is the mean of the four terms, so that it stays in [-1, 1].
    No gradient passes through the choice of cells.

    Args:
      features_s: [N, P, D] cells of the feature maps of view s, P = R * S.
      features_t: [N, P, D] the same of view t.
      locations_s: [N, P, 2] cell centres in the original image, (row, column) in [0,
        1].
      locations_t: [N, P, 2] the same of view t.
      num_cells: gamma, the pairs kept of each kind; at most P are.

    Returns:
      [N, N], rows are images of view s.
    """
    by_location, by_feature, cosines = _cell_tables(
        features_s, features_t, locations_s, locations_t
    )
    terms = []
    for distances in (by_location, by_feature):
        terms.append(_mean_of_best(distances, cosines, num_cells))
        turned, values = jnp.swapaxes(distances, 2, 3), jnp.swapaxes(cosines, 2, 3)
        terms.append(_mean_of_best(turned, values, num_cells))
    return sum(terms) / len(terms)


def cell_matches(
    features_s: Float[Array, "P D"],
    features_t: Float[Array, "P D"],
    locations_s: Float[Array, "P 2"],
    locations_t: Float[Array, "P 2"],
    num_cells: int,
) -> tuple[Int[Array, "M 2"], Int[Array, "M 2"]]:
    """The pairs (cell of s, cell of t) that Eq. 2 keeps for one pair of images.

    Returns:
      Those by location and those by feature, nearest first; M = min(num_cells, P).
    """
    by_location, by_feature, _ = _cell_tables(
        features_s[None], features_t[None], locations_s[None], locations_t[None]
    )

    def pairs(distances: Float[Array, "P P"]) -> Int[Array, "M 2"]:
        nearest, kept = _best_cells(distances, num_cells)
        return jnp.stack([kept, nearest[kept]], axis=-1)

    return pairs(by_location[0, 0]), pairs(by_feature[0, 0])


def _cell_tables(
    features_s: Float[Array, "N P D"],
    features_t: Float[Array, "N P D"],
    locations_s: Float[Array, "N P 2"],
    locations_t: Float[Array, "N P 2"],
) -> tuple[Float[Array, "N N P P"], Float[Array, "N N P P"], Float[Array, "N N P P"]]:
    """[i, a, p, q] squared distances by location and by feature, and cosines."""
    directions = normalise(features_s), normalise(features_t)
    cosines = jnp.einsum("ipd,aqd->iapq", *directions, precision=_HIGHEST)
    squares_s = jnp.sum(jnp.square(features_s), axis=-1)[:, None, :, None]
    squares_t = jnp.sum(jnp.square(features_t), axis=-1)[None, :, None, :]
    products = cosines * jnp.sqrt(squares_s * squares_t)
    by_feature = jax.lax.stop_gradient(squares_s + squares_t - 2 * products)
    rows, columns = (
        locations_s[:, None, :, None, axis] - locations_t[None, :, None, :, axis]
        for axis in (0, 1)
    )
    return jnp.square(rows) + jnp.square(columns), by_feature, cosines


def _best_cells(
    distances: Float[Array, "*B P Q"], num_cells: int
) -> tuple[Int[Array, "*B P"], Int[Array, "*B M"]]:
    """Each cell's nearest cell, and the `num_cells` cells whose nearest is nearest."""
    nearest = jnp.argmin(distances, axis=-1)
    num_cells = min(num_cells, distances.shape[-2])
    _, kept = jax.lax.top_k(-jnp.min(distances, axis=-1), num_cells)
    return nearest, kept


def _mean_of_best(
    distances: Float[Array, "N N P Q"], values: Float[Array, "N N P Q"], num_cells: int
) -> Float[Array, "N N"]:
    nearest, kept = _best_cells(distances, num_cells)
    at_nearest = jnp.take_along_axis(values, nearest[..., None], axis=-1)[..., 0]
    return jnp.mean(jnp.take_along_axis(at_nearest, kept, axis=-1), axis=-1)


def mean_affinities(
    affinities: Float[Array, "*G N N"],
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """The mean over true pairs (the diagonal), and that over all others."""
    size = affinities.shape[-1]
    true = jnp.mean(jnp.diagonal(affinities, axis1=-2, axis2=-1))
    return true, (jnp.mean(affinities) * size - true) / (size - 1)


def vertex_affinity(
    nodes_s: Float[Array, "N F"],
    nodes_t: Float[Array, "N F"],
    local: Float[Array, "N N"],
    alpha: float,
) -> Float[Array, "N N"]:
    """Eq. 3: alpha * cos(z_i, z_a) + (1 - alpha) * local affinity, in [-1, 1].

    >>> nodes = jnp.eye(2)
    >>> vertex_affinity(nodes, nodes, jnp.zeros((2, 2)), alpha=0.8).tolist()
    [[0.800000011920929, 0.0], [0.0, 0.800000011920929]]
    """
    return alpha * cosine(nodes_s, nodes_t) + (1 - alpha) * local
