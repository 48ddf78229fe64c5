"""Metrics, one function each."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def matching_accuracy(
    matching: Float[Array, "G N N"], target_matching: Float[Array, "G N N"]
) -> Float[Array, "G"]:
    """Share of the N nodes that got their true partner, a graph; chance is 1 / N."""
    return jnp.sum(matching * target_matching, axis=(1, 2)) / matching.shape[-1]


def retrieval_accuracy(affinities: Float[Array, "G N N"]) -> Float[Array, ""]:
    """Share of rows whose highest affinity is the true pair's; chance is 1 / N.

    What matching would be without its constraint and without edges. Ties are misses
    but for the first, so constant affinities give 1 / N.
    """
    found = jnp.argmax(affinities, axis=-1)
    return jnp.mean(found == jnp.arange(affinities.shape[-1])[None])


def embedding_rank(embeddings: Float[Array, "B F"]) -> Float[Array, ""]:
    """Effective rank: exp of the entropy of the normalised singular values.

    From 1 (all embeddings on one line: collapsed) to min(B, F). Reference: RankMe,
    Garrido et al. 2023, Eq. 1.
    """
    values = jnp.linalg.svd(embeddings, compute_uv=False)
    shares = values / jnp.maximum(jnp.sum(values), 1e-12)
    return jnp.exp(-jnp.sum(shares * jnp.log(jnp.maximum(shares, 1e-12))))


def embedding_std(embeddings: Float[Array, "B F"]) -> Float[Array, ""]:
    """Spread over the batch of the embeddings' directions, times sqrt(F).

    Near 1 where directions fill the space, 0 where all are the same (collapsed).
    Reference: SimSiam, Chen and He 2021, section 4.1.
    """
    length = jnp.linalg.norm(embeddings, axis=1, keepdims=True)
    directions = embeddings / jnp.maximum(length, 1e-12)
    return jnp.mean(jnp.std(directions, axis=0)) * jnp.sqrt(embeddings.shape[1])


def ambiguous_graphs(groups: Int[Array, "B"], graph_size: int) -> Float[Array, ""]:
    """Share of graphs that hold two images of one patient, study or volume.

    What is true of their matching is then not sure: two slices may be nearly equal.

    Args:
      groups: int [B], equal where images are of one.
      graph_size: consecutive images that make a graph.
    """
    graphs = jnp.sort(groups.reshape(-1, graph_size), axis=1)
    return jnp.mean((graphs[:, 1:] == graphs[:, :-1]).any(axis=1).astype(jnp.float32))
