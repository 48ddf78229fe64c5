"""LVM-Med's pre-training: second-order graph matching of two views.

Algorithm 1 in its order: views, encoder, projector, graphs, message passing,
affinities, perturbation, matching, Hamming loss; `matching.imle` has the gradient rule.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec

from lvmmed_jax import config as configs
from lvmmed_jax import metrics, views
from lvmmed_jax.matching import affinity, graphs, imle, problem, solver
from lvmmed_jax.models import message_passing, projector, resnet
from lvmmed_jax.train import sharding, task

_NUM_PICTURED = 8  # images whose matched cells are shown


class Networks(NamedTuple):
    """The three Flax modules of the method."""

    encoder: Any
    projector: Any
    message_passing: Any


class Forward(NamedTuple):
    """A batch of two views up to the graphs; G graphs of N images, B = G * N."""

    views: jax.Array  # [B, 2, h, w, 3] in [0, 1]
    locations: jax.Array  # [B, 2, R, S, 2]
    feature_map: jax.Array  # [B, 2, R, S, D]
    embedding: jax.Array  # [B, 2, F], the projector's output
    graphs_s: graphs.Graph  # nodes [G, N, F] after message passing
    graphs_t: graphs.Graph


def make_networks(settings: configs.Model) -> Networks:
    """The modules that `settings` describes.

    Raises:
      ValueError: an encoder that does not exist.
    """
    if settings.encoder not in resnet.VARIANTS:
        raise ValueError(
            f"unknown model.encoder {settings.encoder!r}; known: "
            f"{', '.join(resnet.VARIANTS)}"
        )
    dtype = jnp.dtype(settings.dtype)
    return Networks(
        resnet.ResNet(settings.encoder, settings.width, dtype),
        projector.Projector(settings.projection_width),
        message_passing.MessagePassing(settings.message_passing_layers, settings.skip),
    )


def make_task(config: configs.Config, mesh: Mesh) -> task.Task:
    """Builds the method for the training loop.

    Args:
      config: the run's settings.
      mesh: the devices; graphs of `matching.graph_size` images never cross one.
    """
    networks = make_networks(config.model)
    forward = functools.partial(_forward, networks, config, mesh)
    match = _make_match(config.matching, mesh)

    def loss_fn(params, model_state, batch, key):
        view_key, noise_key = jax.random.split(key)
        result, model_state = forward(params, model_state, batch, view_key)
        noise_keys = _graph_keys(noise_key, result.graphs_s.nodes.shape[0])
        terms = match(result, noise_keys, jnp.float32(config.matching.sigma))
        return jnp.mean(terms["loss"]), (
            model_state,
            {"matching_accuracy_noisy": jnp.mean(terms["matching_accuracy"])},
        )

    def evaluate(params, model_state, batch, key):
        result, _ = forward(params, model_state, batch, key)
        keys = _graph_keys(key, result.graphs_s.nodes.shape[0])
        terms = match(result, keys, jnp.float32(0.0))
        embeddings = result.embedding.reshape(-1, result.embedding.shape[-1])
        return {
            "loss_no_noise": jnp.mean(terms["loss"]),
            "matching_accuracy": jnp.mean(terms["matching_accuracy"]),
            "affinity_true": jnp.mean(terms["affinity_true"]),
            "affinity_other": jnp.mean(terms["affinity_other"]),
            "embedding_rank": metrics.embedding_rank(embeddings),
            "embedding_std": metrics.embedding_std(embeddings),
        }

    init = functools.partial(_init, networks, config)
    return task.Task(init, loss_fn, evaluate)


def _init(networks, config, key):
    """Key -> (params, model_state), each a dict with an entry a network."""
    keys = jax.random.split(key, 3)
    size, matching = config.views.size, config.matching
    images = jnp.zeros((1, size, size, 3))
    encoder = networks.encoder.init(keys[0], images, train=False)
    feature_map = networks.encoder.apply(encoder, images, train=False)
    head = networks.projector.init(keys[1], feature_map)
    nodes = jnp.zeros((1, matching.graph_size, config.model.projection_width))
    operator = jnp.zeros((1, matching.graph_size, matching.graph_size))
    layers = networks.message_passing.init(keys[2], nodes, operator)
    params = {
        "encoder": encoder["params"],
        "projector": head["params"],
        "message_passing": layers.get("params", {}),
    }
    return params, {"batch_stats": encoder["batch_stats"]}


def _forward(networks, config, mesh, params, model_state, batch, key):
    """Steps 1 to 5: a batch to two graphs a group, and the new BatchNorm statistics."""
    size = config.views.size
    grid = jax.eval_shape(
        functools.partial(networks.encoder.apply, train=False),
        {"params": params["encoder"], **model_state},
        jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32),
    ).shape[1:3]
    centres = tuple(resnet.cell_centres(num_cells, size) for num_cells in grid)
    two_views, locations = views.make_views(
        batch["image"], batch["size"], key, config.views, centres
    )
    inputs = views.normalise(two_views, config.data.mean, config.data.std)
    folded = inputs.reshape(-1, *inputs.shape[2:])  # 2B h w 3
    feature_map, updates = networks.encoder.apply(
        {"params": params["encoder"], **model_state},
        folded,
        train=True,
        mutable=["batch_stats"],
    )
    embedding = networks.projector.apply({"params": params["projector"]}, feature_map)
    embedding = embedding.reshape(-1, 2, embedding.shape[-1])  # B 2 F
    graphs_s, graphs_t = (
        _graph(networks, config.matching, mesh, params, embedding[:, view])
        for view in (0, 1)
    )
    feature_map = feature_map.reshape(-1, 2, *feature_map.shape[1:])
    result = Forward(two_views, locations, feature_map, embedding, graphs_s, graphs_t)
    return result, {"batch_stats": updates["batch_stats"]}


def _graph(networks, settings, mesh, params, embedding):
    """Steps 4 and 5 for one view: k-NN graphs on z, nodes after message passing."""
    nodes = embedding.reshape(-1, settings.graph_size, embedding.shape[-1])  # G N F

    def connect(nodes):
        graph = jax.vmap(lambda z: graphs.knn_graph(z, settings.num_neighbours))(nodes)
        return graph, jax.vmap(graphs.propagation)(graph)

    # left to itself, XLA gathers the whole batch on every device for top_k
    over_graphs = PartitionSpec(sharding.AXIS)
    graph, operator = jax.shard_map(
        connect, mesh=mesh, in_specs=over_graphs, out_specs=over_graphs
    )(nodes)
    nodes = networks.message_passing.apply(
        {"params": params["message_passing"]}, nodes, operator
    )
    return graph._replace(nodes=nodes)


def _graph_keys(key, num_graphs):
    """One noise key a graph, from its global index."""
    return jax.vmap(lambda index: jax.random.fold_in(key, index))(
        jnp.arange(num_graphs)
    )


def _make_match(settings: configs.Matching, mesh: Mesh):
    """Steps 6 to 12, on each device's own graphs: (Forward, keys, sigma) -> [G]s."""
    search = solver.Solver(settings.num_starts, settings.num_steps)

    def match(forward: Forward, keys, sigma):
        clean = _problems(settings, forward)
        noisy = jax.vmap(imle.perturb, (0, 0, None))(clean, keys, sigma)
        matching, _ = imle.match(search, noisy, settings.interpolation)
        target = jnp.broadcast_to(jnp.eye(settings.graph_size), matching.shape)
        true = jnp.mean(jnp.diagonal(clean.vertex_affinity, axis1=1, axis2=2), axis=1)
        mean = jnp.mean(clean.vertex_affinity, axis=(1, 2))
        size = settings.graph_size
        return {
            "loss": imle.hamming_loss(matching, target),
            "matching_accuracy": metrics.matching_accuracy(matching, target),
            "affinity_true": true,
            "affinity_other": (mean * size - true) / (size - 1),
        }

    over_graphs = PartitionSpec(sharding.AXIS)
    return jax.shard_map(
        match,
        mesh=mesh,
        in_specs=(over_graphs, over_graphs, PartitionSpec()),
        out_specs=over_graphs,
    )


def _problems(settings: configs.Matching, forward: Forward) -> problem.MatchingProblem:
    """Steps 6 to 9: affinities of the two graphs of each group, without noise."""

    def by_graph(array):
        array = array.reshape(-1, settings.graph_size, *array.shape[1:])  # G N 2 R S X
        flat = array.reshape(*array.shape[:3], -1, array.shape[-1])  # G N 2 P X
        return flat[:, :, 0], flat[:, :, 1]

    def one(graph_s, graph_t, features, locations):
        local = affinity.local_affinity(*features, *locations, settings.num_cells)
        vertex = affinity.vertex_affinity(
            graph_s.nodes, graph_t.nodes, local, settings.alpha
        )
        return problem.MatchingProblem(
            vertex,
            affinity.edge_affinity(graph_s, graph_t),
            graphs.edges(graph_s),
            graphs.edges(graph_t),
        )

    return jax.vmap(one)(
        forward.graphs_s,
        forward.graphs_t,
        by_graph(forward.feature_map),
        by_graph(forward.locations),
    )


def make_pictures(config: configs.Config, mesh: Mesh):
    """Builds (params, model_state, batch, key) -> arrays that the report draws.

    Of the first images of the batch: the two views, the locations and the matched cells
    of each image with itself; of the first graph: its vertex affinity without noise and
    the matching found.
    """
    networks = make_networks(config.model)
    search = solver.Solver(config.matching.num_starts, config.matching.num_steps)

    def pictures(params, model_state, batch, key):
        forward, _ = _forward(networks, config, mesh, params, model_state, batch, key)
        problems = _problems(config.matching, forward)
        first = jax.tree.map(lambda x: x[:1], problems)
        pictured = jax.tree.map(
            lambda x: x[:_NUM_PICTURED],
            (forward.views, forward.locations, forward.feature_map),
        )
        cells = jax.tree.map(
            lambda x: x.reshape(*x.shape[:2], -1, x.shape[-1]), pictured[1:]
        )
        by_location, by_feature = jax.vmap(
            lambda places, features: affinity.cell_matches(
                *features, *places, config.matching.num_cells
            )
        )(*cells)
        return {
            "views": jnp.round(pictured[0] * 255).astype(jnp.uint8),
            "locations": pictured[1],
            "matches_location": by_location,
            "matches_feature": by_feature,
            "vertex_affinity": first.vertex_affinity[0],
            "matching": search(first).matching[0],
        }

    return pictures
