"""The training step of graph matching in PyTorch, on the weights of ours.

`Twin` is Algorithm 1 from the views to the loss, in the order of
`lvmmed_jax/methods/graph_matching.py`: the paper's form with directed k-NN graphs, one
noise sample and the rule I-MLE. Views, noise and solutions are passed in.
"""

from typing import NamedTuple

import torch
from torch import nn

from benchmarks import torch_matching, torch_model
from lvmmed_jax import config as configs


class Given(NamedTuple):
    """What one step is given; B images in G graphs of N."""

    images: torch.Tensor  # [2 B, 3, H, W], normalised; both views of an image in turn
    locations: torch.Tensor  # [2 B, P, 2], P = R S cells
    vertex_noise: torch.Tensor  # [G, N, N]
    edge_noise: torch.Tensor  # [G, E, E]
    matching: torch.Tensor  # [G, N, N], the solution v
    second: torch.Tensor  # [G, N, N], the solution v' of the shifted problem
    edges_s: torch.Tensor | None = None  # [G, E, 2]; None: those of the twin's nodes
    edges_t: torch.Tensor | None = None


class Twin(nn.Module):
    """Encoder, projector and message passing, and the loss on them."""

    def __init__(self, config: configs.Config):
        """Makes the networks that `config.model` describes.

        Raises:
          ValueError: a form of the matching that the twin does not have.
        """
        super().__init__()
        model, matching = config.model, config.matching
        sampled = matching.noise in ("gumbel", "sum_of_gamma")
        if matching.symmetric or matching.rule != "imle" or not sampled:
            raise ValueError("the twin has directed graphs, noise and the rule imle")
        if matching.num_perturbations != 1 or model.dtype != "float32":
            raise ValueError("the twin has one noise sample and float32")
        self.settings = matching
        self.encoder = torch_model.ResNet(model.encoder, model.width)
        width = model.projection_width
        self.projector = torch_model.Projector(
            self.encoder.num_channels, width, model.projection_hidden
        )
        self.message_passing = torch_model.MessagePassing(
            width, model.message_passing_layers, model.skip
        )

    def forward(self, given: Given) -> tuple[torch.Tensor, torch.Tensor]:
        """One training step's loss.

        Returns:
          The mean Hamming loss, and how much v is worth more than the target, mean over
          the graphs: the smooth value that the updates lower (`fenchel_young_loss`).
        """
        edges = None if given.edges_s is None else (given.edges_s, given.edges_t)
        clean = self.problem(given.images, given.locations, edges)
        noisy = clean._replace(
            vertex=clean.vertex + given.vertex_noise, edge=clean.edge + given.edge_noise
        )
        matching, _ = torch_matching.Match.apply(
            *noisy, given.matching, given.second, self.settings.interpolation
        )
        with torch.no_grad():
            target = torch.eye(matching.shape[-1], device=matching.device)
            surplus = torch_matching.objective(noisy, given.matching)
            surplus -= torch_matching.objective(noisy, target.expand_as(matching))
        return torch_matching.hamming_loss(matching).mean(), surplus.mean()

    def problem(
        self,
        images: torch.Tensor,
        locations: torch.Tensor,
        edges: tuple[torch.Tensor, torch.Tensor] | None = None,
    ) -> torch_matching.Problem:
        """Steps 2 to 9 of the algorithm: the matching problems without noise."""
        settings = self.settings
        feature_map = self.encoder(images)  # 2B D R S
        embedding = self.projector(feature_map)  # 2B F
        nodes, features, places = (
            array.unflatten(0, (-1, settings.graph_size, 2)).unbind(2)  # G N ...
            for array in (embedding, feature_map.flatten(2).mT, locations)
        )
        if edges is None:
            neighbours = settings.num_neighbours
            edges = tuple(torch_matching.knn_edges(z, neighbours) for z in nodes)
        nodes = [
            self.message_passing(z, torch_matching.propagation(z, e))
            for z, e in zip(nodes, edges, strict=True)
        ]
        local = torch_matching.local_affinity(*features, *places, settings.num_cells)
        vertex = settings.alpha * torch_matching.cosine(*nodes)
        vertex = vertex + (1 - settings.alpha) * local
        edge = torch_matching.edge_affinity(*nodes, *edges)
        return torch_matching.Problem(vertex, edge, *edges)
