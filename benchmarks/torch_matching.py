"""Graphs, affinities and the gradient rule of the matching in PyTorch.

Section 3.2 of the paper on G graphs of N images at once, as `lvmmed_jax/matching` has
it for directed k-NN graphs. The search for the matching is not here: solutions are
passed in.
"""

from typing import NamedTuple

import torch

_TINY_NORM = 1e-6  # shorter vectors have cosine 0 with everything, and no gradient


class Problem(NamedTuple):
    """Maximise <c^v, v> + sum of c^e[ij, ab] v_ia v_jb over permutations v (Eq. 4)."""

    vertex: torch.Tensor  # [G, N, N], c^v
    edge: torch.Tensor  # [G, E, E], c^e
    edges_s: torch.Tensor  # [G, E, 2], edges (i, j) of the first graph
    edges_t: torch.Tensor  # [G, E, 2]


@torch.no_grad()
def knn_edges(nodes: torch.Tensor, num_neighbours: int) -> torch.Tensor:
    """[G, N, F] -> edges [G, N k, 2] from each node to its nearest others."""
    differences = nodes.unsqueeze(2) - nodes.unsqueeze(1)  # G N N F
    distances = differences.square().sum(-1)
    distances.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    senders = _smallest(distances, num_neighbours).flatten(1)
    receivers = torch.arange(nodes.shape[1], device=nodes.device)
    receivers = receivers.repeat_interleave(num_neighbours).expand_as(senders)
    return torch.stack([receivers, senders], dim=-1)


def propagation(nodes: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
    """The operator of Eq. 1, [G, N, N]: A + I, rows divided by their sums."""
    adjacency = torch.eye(nodes.shape[1]).to(nodes).repeat(len(nodes), 1, 1)
    adjacency[_graphs(edges), edges[..., 0], edges[..., 1]] = 1.0
    return adjacency / adjacency.sum(dim=-1, keepdim=True)


def normalise(vectors: torch.Tensor) -> torch.Tensor:
    """Vectors [..., F] of length one; (nearly) zero ones become zero."""
    squares = vectors.square().sum(dim=-1, keepdim=True)
    length = squares.clamp_min(_TINY_NORM**2).sqrt()
    return torch.where(squares <= _TINY_NORM**2, 0.0, vectors / length)


def cosine(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Rows of a [G, N, F] with rows of b [G, M, F] -> [G, N, M]."""
    return normalise(a) @ normalise(b).mT


def edge_affinity(
    nodes_s: torch.Tensor,
    nodes_t: torch.Tensor,
    edges_s: torch.Tensor,
    edges_t: torch.Tensor,
) -> torch.Tensor:
    """Section 3.2.3: cosines of the edges' difference vectors, [G, E, E]."""

    def differences(nodes, edges):
        graphs = _graphs(edges)
        return nodes[graphs, edges[..., 0]] - nodes[graphs, edges[..., 1]]

    return cosine(differences(nodes_s, edges_s), differences(nodes_t, edges_t))


def local_affinity(
    features_s: torch.Tensor,
    features_t: torch.Tensor,
    locations_s: torch.Tensor,
    locations_t: torch.Tensor,
    num_cells: int,
) -> torch.Tensor:
    """Eq. 2: mean cosine of the best-matched cells of every two images.

    Args:
      features_s: [G, N, P, D] cells of the feature maps of view s.
      features_t: the same of view t.
      locations_s: [G, N, P, 2] centres of the cells in the original image.
      locations_t: the same of view t.
      num_cells: pairs kept of each kind.

    Returns:
      [G, N, N], the mean of the terms by location and by feature, both ways.
    """
    cosines = torch.einsum(
        "gipd,gaqd->giapq", normalise(features_s), normalise(features_t)
    )
    with torch.no_grad():
        places_s, places_t = locations_s[:, :, None, :, None], locations_t[:, None]
        by_location = (places_s - places_t[:, :, :, None]).square().sum(-1)
        squares_s = features_s.square().sum(-1)[:, :, None, :, None]
        squares_t = features_t.square().sum(-1)[:, None, :, None]
        lengths = squares_s.sqrt() * squares_t.sqrt()
        by_feature = squares_s + squares_t - 2 * cosines * lengths
    terms = [
        _mean_of_best(distances, values, num_cells)
        for distances in (by_location, by_feature)
        for distances, values in ((distances, cosines), (distances.mT, cosines.mT))
    ]
    return torch.stack(terms).mean(dim=0)


def _mean_of_best(
    distances: torch.Tensor, cosines: torch.Tensor, num_cells: int
) -> torch.Tensor:
    """[..., P, Q] -> [...]: cells with their nearest, the best pairs' mean cosine."""
    distance, nearest = distances.min(dim=-1)
    at_nearest = cosines.gather(-1, nearest.unsqueeze(-1)).squeeze(-1)
    return at_nearest.gather(-1, _smallest(distance, num_cells)).mean(dim=-1)


def _smallest(values: torch.Tensor, count: int) -> torch.Tensor:
    """Places of the smallest along the last axis; ties go to the lower place.

    `topk` says nothing about ties, which are common: crops of an image's full width
    put cells of both views into the same columns.
    """
    return values.argsort(dim=-1, stable=True)[..., :count]


class Match(torch.autograd.Function):
    """The differentiable matching (Eq. 6; see `lvmmed_jax.matching.imle.match`).

    Forward: the solution v, and its edge indicators y. Backward, with the cotangents
    g of both and s their largest size in a graph:

        dL/dc^v = s (v - v') / lambda,   dL/dc^e = s (y - y') / lambda

    v' solves the problem at (c^v - lambda g_v / s, c^e - lambda g_e / s).
    """

    @staticmethod
    def forward(ctx, vertex, edge, edges_s, edges_t, matching, second, interpolation):
        """Takes v [G, N, N] and v'; the affinities only get their gradient."""
        ctx.save_for_backward(edges_s, edges_t, matching, second)
        ctx.interpolation = interpolation
        return matching.clone(), edge_matching(matching, edges_s, edges_t)

    @staticmethod
    def backward(ctx, vertex_cotangent, edge_cotangent):
        """The gradients of c^v and c^e."""
        edges_s, edges_t, matching, second = ctx.saved_tensors
        scale = torch.maximum(
            vertex_cotangent.abs().amax(dim=(1, 2), keepdim=True),
            edge_cotangent.abs().amax(dim=(1, 2), keepdim=True),
        )
        step = scale / ctx.interpolation
        chosen, instead = (
            edge_matching(solution, edges_s, edges_t) for solution in (matching, second)
        )
        vertex, edge = step * (matching - second), step * (chosen - instead)
        return vertex, edge, None, None, None, None, None


def edge_matching(
    matching: torch.Tensor, edges_s: torch.Tensor, edges_t: torch.Tensor
) -> torch.Tensor:
    """The edge indicators y[ij, ab] = v_ia * v_jb, [G, E, E]."""
    graphs = _graphs(edges_s).unsqueeze(-1)
    heads, tails = (
        matching[graphs, edges_s[:, :, None, end], edges_t[:, None, :, end]]
        for end in (0, 1)
    )
    return heads * tails


def hamming_loss(matching: torch.Tensor) -> torch.Tensor:
    """Eq. 5 against the identity: entries that differ, one value a graph."""
    target = torch.eye(matching.shape[-1], device=matching.device)
    return (matching * (1 - target) + target * (1 - matching)).sum(dim=(1, 2))


def objective(problem: Problem, matching: torch.Tensor) -> torch.Tensor:
    """The value of Eq. 4 of one matching a graph, [G]."""
    chosen = edge_matching(matching, problem.edges_s, problem.edges_t)
    vertex = (problem.vertex * matching).sum(dim=(1, 2))
    return vertex + (problem.edge * chosen).sum(dim=(1, 2))


def _graphs(edges: torch.Tensor) -> torch.Tensor:
    """[G, 1], the number of each graph, to index with."""
    return torch.arange(len(edges), device=edges.device).unsqueeze(1)
