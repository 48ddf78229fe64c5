"""LVM-Med's pre-training: second-order graph matching of two views.

Algorithm 1 in its order: views, encoder, projector, graphs, message passing,
affinities, perturbation, matching, Hamming loss; `matching.imle` has the gradient rule.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec

from lvmmed_jax import config as configs
from lvmmed_jax import metrics
from lvmmed_jax.matching import (
    affinity,
    certificate,
    graphs,
    imle,
    perturbation,
    problem,
    relaxation,
    solver,
)
from lvmmed_jax.methods import two_views
from lvmmed_jax.models import message_passing
from lvmmed_jax.train import sharding, task

NOISE = 2**31 - 1  # beyond every image's index
_NUM_PICTURED = 8  # images whose matched cells are shown


class Forward(NamedTuple):
    """A batch up to its graphs; G graphs of N images a view, B = G * N."""

    pair: two_views.Forward
    graphs_s: graphs.Graph  # nodes [G, N, F] after message passing
    graphs_t: graphs.Graph


def make_task(config: configs.Config, mesh: Mesh) -> task.Task:
    """Builds the method for the training loop.

    Args:
      config: the run's settings.
      mesh: the devices; graphs of `matching.graph_size` images never cross one.
    """
    networks = two_views.make_networks(config.model)
    forward = functools.partial(two_views.forward, networks, config)
    connect, loss_of = _make_connect(config, mesh), make_loss(config, mesh)
    measure = _make_measure(config.matching, mesh)

    def loss_fn(params, model_state, batch, key):
        view_key, noise_key = jax.random.split(key)
        pair, model_state = forward(params, model_state, batch, view_key)
        loss, measured = loss_of(params, pair, noise_key)
        if "group" in batch:
            size = config.matching.graph_size
            measured["ambiguous_graphs"] = metrics.ambiguous_graphs(
                batch["group"], size
            )
        return loss, (model_state, measured)

    def evaluate(params, model_state, batch, key):
        pair, _ = forward(params, model_state, batch, key)
        connected = connect(params, pair)
        # not the views' keys: those too are the key and an index
        noise_key = jax.random.fold_in(key, NOISE)
        keys = _graph_keys(noise_key, connected.graphs_s.nodes.shape[0])
        found = jax.tree.map(jnp.mean, measure(connected, keys))
        size = config.matching.graph_size
        return found | two_views.embedding_metrics(pair.embedding, size)

    return task.Task(_make_init(config), loss_fn, evaluate)


def make_loss(config: configs.Config, mesh: Mesh):
    """Steps 4 to 12, all that is not the encoder's: the matching part of a step.

    Returns:
      (params, pair of views, noise key) -> (loss, metrics); differentiable.
    """
    connect, match = _make_connect(config, mesh), _make_match(config.matching, mesh)

    def loss_of(params, pair: two_views.Forward, key):
        connected = connect(params, pair)
        num_graphs = connected.graphs_s.nodes.shape[0]
        terms = match(connected, _graph_keys(key, num_graphs))
        accuracy = jnp.mean(terms["matching_accuracy"])
        return jnp.mean(terms["loss"]), {"matching_accuracy_noisy": accuracy}

    return loss_of


def _message_passing(settings: configs.Model) -> message_passing.MessagePassing:
    return message_passing.MessagePassing(
        settings.message_passing_layers, settings.skip
    )


def _make_init(config):
    networks = two_views.make_networks(config.model)

    def init(key):
        """Key -> (params, model_state), each a dict with an entry a network."""
        keys = jax.random.split(key, 3)
        params, model_state = two_views.init(networks, config, keys)
        params["message_passing"] = init_layers(config, keys[2])
        return params, model_state

    return init


def init_layers(config: configs.Config, key: jax.Array):
    """The parameters of message passing."""
    size = config.matching.graph_size
    layers = _message_passing(config.model).init(
        key,
        jnp.zeros((1, size, config.model.projection_width)),
        jnp.zeros((1, size, size)),
    )
    return layers.get("params", {})


def _make_connect(config, mesh):
    """Steps 4 and 5: a pair of views to two graphs a group."""

    def connect(params, pair):
        graphs_s, graphs_t = (
            _graph(config, mesh, params, pair.embedding[:, view]) for view in (0, 1)
        )
        return Forward(pair, graphs_s, graphs_t)

    return connect


def _graph(config, mesh, params, embedding):
    """Steps 4 and 5 for one view: k-NN graphs on z, nodes after message passing."""
    settings = config.matching
    nodes = embedding.reshape(-1, settings.graph_size, embedding.shape[-1])  # G N F

    def connect(nodes):
        graph = jax.vmap(
            lambda z: graphs.knn_graph(z, settings.num_neighbours, settings.symmetric)
        )(nodes)
        return graph, jax.vmap(graphs.propagation)(graph)

    # left to itself, XLA gathers the whole batch on every device for top_k
    over_graphs = PartitionSpec(sharding.AXES)
    graph, operator = jax.shard_map(
        connect, mesh=mesh, in_specs=over_graphs, out_specs=over_graphs
    )(nodes)
    nodes = _message_passing(config.model).apply(
        {"params": params["message_passing"]}, nodes, operator
    )
    return graph._replace(nodes=nodes)


def _graph_keys(key, num_graphs):
    """One noise key a graph, from its global index."""
    return jax.vmap(lambda index: jax.random.fold_in(key, index))(
        jnp.arange(num_graphs)
    )


def _make_match(settings: configs.Matching, mesh: Mesh):
    """Steps 6 to 12, on each device's own graphs: (Forward, keys [G]) -> [G]s.

    A graph's loss is the mean over `num_perturbations` samples of the noise.
    """
    loss_of = _make_rule(settings)
    num_samples = settings.num_perturbations

    def match(forward: Forward, keys):
        clean = _problems(settings, forward)
        keys = jax.vmap(lambda key: jax.random.split(key, num_samples))(keys)
        noisy = jax.vmap(
            lambda one, keys: jax.vmap(lambda key: _perturb(settings, one, key))(keys)
        )(clean, keys)
        flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), noisy)  # G*samples
        loss, matching = loss_of(flat)
        finite = jax.vmap(problem.is_finite)(flat)
        terms = {
            # a matching is one whatever it was made of: the loss says where not
            "loss": jnp.where(finite, loss, jnp.nan),
            "matching_accuracy": metrics.matching_accuracy(matching, _true(matching)),
        }
        return jax.tree.map(
            lambda x: jnp.mean(x.reshape(-1, num_samples), axis=1), terms
        )

    return _over_graphs(match, mesh)


def _make_rule(settings: configs.Matching):
    """The loss of `settings.rule`: problems [G] -> (loss [G], matching [G, N, N]).

    The matching of rule "sinkhorn" is soft.
    """
    search = _solver(settings)

    def by_imle(problems):
        matching, _ = imle.match(search, problems, settings.interpolation)
        return imle.hamming_loss(matching, _true(matching)), matching

    def by_fenchel_young(problems):
        matching = search(jax.lax.stop_gradient(problems)).matching
        return imle.fenchel_young_loss(problems, matching, _true(matching)), matching

    def by_sinkhorn(problems):
        soft = relaxation.soft_match(problems, settings.temperature)
        return imle.hamming_loss(soft, _true(soft)), soft

    rules = {
        "imle": by_imle,
        "fenchel_young": by_fenchel_young,
        "sinkhorn": by_sinkhorn,
    }
    return rules[settings.rule]


def _solver(settings: configs.Matching) -> solver.Solver:
    return solver.Solver(settings.num_starts, settings.num_steps)


def _perturb(settings: configs.Matching, one: problem.MatchingProblem, key):
    """Algorithm 1's noise; that on edges has their weight, else it drowns them."""
    sigma_edges = settings.sigma_edges
    sigma_edges = settings.sigma if sigma_edges is None else sigma_edges
    return perturbation.perturb(
        one,
        key,
        settings.sigma,
        settings.edge_weight * sigma_edges,
        settings.noise,
    )


def _true(matching):
    """The target matching: image i with its own other view."""
    return jnp.broadcast_to(jnp.eye(matching.shape[-1]), matching.shape)


def _make_measure(settings: configs.Matching, mesh: Mesh):
    """The noise-free problems, solved: (Forward, keys [G]) -> metrics, [G] each.

    The share that is certified is that of problems with noise, as in training.
    """
    search = _solver(settings)

    def measure(forward: Forward, keys):
        problems = _problems(settings, forward)
        matching = search(problems).matching
        mean_true, other = jax.vmap(affinity.mean_affinities)(problems.vertex_affinity)
        noisy = jax.vmap(lambda one, key: _perturb(settings, one, key))(problems, keys)
        true = jnp.broadcast_to(jnp.arange(matching.shape[-1]), matching.shape[:2])
        needed = certificate.needed_interpolation(noisy, true)
        return {
            "loss_no_noise": imle.hamming_loss(matching, _true(matching)),
            "matching_accuracy": metrics.matching_accuracy(matching, _true(matching)),
            "certified_share": (needed <= settings.interpolation).astype(jnp.float32),
            "affinity_true": mean_true,
            "affinity_other": other,
        }

    return _over_graphs(measure, mesh)


def _over_graphs(function, mesh):
    spec = PartitionSpec(sharding.AXES)
    return jax.shard_map(function, mesh=mesh, in_specs=spec, out_specs=spec)


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
            settings.edge_weight * affinity.edge_affinity(graph_s, graph_t),
            graphs.edges(graph_s),
            graphs.edges(graph_t),
        )

    return jax.vmap(one)(
        forward.graphs_s,
        forward.graphs_t,
        by_graph(forward.pair.feature_map),
        by_graph(forward.pair.locations),
    )


def make_pictures(config: configs.Config, mesh: Mesh):
    """Builds (params, model_state, batch, key) -> arrays that the report draws.

    Of the first images of the batch: the two views, the locations and the matched cells
    of each image with itself; of the first graph: its vertex affinity without noise and
    the matching found.
    """
    networks = two_views.make_networks(config.model)
    connect = _make_connect(config, mesh)
    search = _solver(config.matching)

    def pictures(params, model_state, batch, key):
        pair, _ = two_views.forward(networks, config, params, model_state, batch, key)
        problems = _problems(config.matching, connect(params, pair))
        first = jax.tree.map(lambda x: x[:1], problems)
        pictured = jax.tree.map(
            lambda x: x[:_NUM_PICTURED],
            (pair.views, pair.locations, pair.feature_map),
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
