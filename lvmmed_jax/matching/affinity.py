"""Affinities between two graphs: vertices (global and local) and edges.

Section 3.2.2 (Eq. 2, Eq. 3) and 3.2.3 of the paper, one function each. Functions take
one pair of graphs; `jax.vmap` makes batches. Products run in full float32 everywhere.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from lvmmed_jax.matching import graphs

_HIGHEST = jax.lax.Precision.HIGHEST
_MAX_ENTRIES = 2**20  # of the table of two views' cells that is in memory at once
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

    The Gram matrix of all cells has (N P)^2 entries. Where that is large (ViT grids),
    images of view s come in blocks, and only a block's part of it is in memory, in the
    backward pass too, which computes it anew.

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
    cells_s = _cells(features_s, locations_s)
    cells_t = _cells(features_t, locations_t)

    def of_image(image):
        by_location, by_feature, cosines = _cell_tables(image, cells_t)
        terms = []
        for distances in (by_location, by_feature):
            terms.append(_mean_of_best(distances, cosines, num_cells))
            turned, values = jnp.swapaxes(distances, 1, 2), jnp.swapaxes(cosines, 1, 2)
            terms.append(_mean_of_best(turned, values, num_cells))
        return sum(terms) / len(terms)

    num_images, num_places = features_s.shape[:2]
    block = max(1, _MAX_ENTRIES // (num_images * num_places**2))
    if block >= num_images:
        return jax.vmap(of_image)(cells_s)
    block = -(-num_images // -(-num_images // block))  # as many blocks, of even size
    # the backward pass computes the tables anew: else those of all blocks are kept
    return jax.lax.map(jax.checkpoint(of_image), cells_s, batch_size=block)


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
        _cells(features_s, locations_s), _cells(features_t[None], locations_t[None])
    )

    def pairs(distances: Float[Array, "P P"]) -> Int[Array, "M 2"]:
        nearest, kept = _best_cells(distances, num_cells)
        return jnp.stack([kept, nearest[kept]], axis=-1)

    return pairs(by_location[0]), pairs(by_feature[0])


class _Cells(NamedTuple):
    """What the tables of cells are made of, for one image or all of a view."""

    directions: Float[Array, "*N P D"]  # features of length one
    lengths: Float[Array, "*N P"]  # before that, without gradient
    locations: Float[Array, "*N P 2"]


def _cells(
    features: Float[Array, "*N P D"], locations: Float[Array, "*N P 2"]
) -> _Cells:
    squares = jnp.sum(jnp.square(jax.lax.stop_gradient(features)), axis=-1)
    return _Cells(normalise(features), jnp.sqrt(squares), locations)


def _cell_tables(
    image: _Cells, others: _Cells
) -> tuple[Float[Array, "N P P"], Float[Array, "N P P"], Float[Array, "N P P"]]:
    """[a, p, q] squared distances by location and by feature, and cosines."""
    cosines = jnp.einsum(
        "pd,aqd->apq", image.directions, others.directions, precision=_HIGHEST
    )
    length, lengths = image.lengths[None, :, None], others.lengths[:, None]
    products = jax.lax.stop_gradient(cosines) * (length * lengths)
    by_feature = jnp.square(length) + jnp.square(lengths) - 2 * products
    rows, columns = (
        image.locations[None, :, None, axis] - others.locations[:, None, :, axis]
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
    distances: Float[Array, "N P Q"], values: Float[Array, "N P Q"], num_cells: int
) -> Float[Array, "N"]:
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
