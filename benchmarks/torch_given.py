"""Our training step, and what the PyTorch twin is given for each step of it."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch

from benchmarks import torch_twin
from lvmmed_jax import config as configs
from lvmmed_jax import views
from lvmmed_jax.matching import imle, problem, solver
from lvmmed_jax.methods import graph_matching, two_views
from lvmmed_jax.train import optimizer, sharding, state, step


class Ours:
    """Our training step on one batch, with its state."""

    def __init__(
        self, config: configs.Config, batch: dict[str, np.ndarray], learning_rate: float
    ):
        """Makes the first state.

        Args:
          config: the run's settings.
          batch: of `data_pipelines.mixture`.
          learning_rate: of Adam.
        """
        self.config, self._mesh = config, sharding.make_mesh(1)
        self._method = graph_matching.make_task(config, self._mesh)
        schedule = optimizer.make_schedule("constant", peak=learning_rate, num_steps=1)
        tx = optimizer.make_optimizer("adam", schedule)
        self._step = step.make_train_step(
            self._method.loss_fn, tx, schedule, self._mesh
        )
        self._give = jax.jit(functools.partial(_give, config, self._mesh))
        self._batch = batch
        self._parts = sharding.put_parts(batch, self._mesh, 1)
        self.state = state.create(self._method.init, tx, jax.random.key(0), self._mesh)

    def step(self) -> dict[str, jax.Array]:
        """Updates the state; returns the step's metrics."""
        self.state, metrics = self._step(self.state, self._parts)
        return metrics

    def give(self) -> tuple[torch_twin.Given, float]:
        """What the twin is given for the next step, and `Twin`'s surplus in ours."""
        given, surplus = self._give(*self._arguments())
        return _to_torch(given), float(surplus)

    def give_double(self) -> tuple[torch_twin.Given, float, float, Any]:
        """The same in float64, and the loss and the gradient of the next step.

        All is float64 but for the feature maps, which our encoder rounds to float32.
        """
        config = configs.override(self.config, {"model.dtype": "float64"})
        match_loss = graph_matching.make_loss(config, self._mesh)

        @jax.jit
        def program(params, model_state, batch, key):
            view_key, noise_key = jax.random.split(key)

            def loss_fn(params):  # the method's, but hands out the pair of views
                pair = _forward(config, params, model_state, batch, view_key)
                return match_loss(params, pair, noise_key)[0], pair

            gradient = jax.value_and_grad(loss_fn, has_aux=True)
            (loss, pair), found = gradient(params)
            return *_given(config, self._mesh, params, pair, noise_key), loss, found

        with jax.enable_x64(True):
            given, surplus, loss, gradient = program(
                *jax.tree.map(_widen, self._arguments())
            )
            given = _to_torch(given)
        return given, float(surplus), float(loss), gradient

    def _arguments(self):
        """Of the method's loss at the next step."""
        now = self.state
        key = jax.random.fold_in(now.key, now.step)
        return now.params, now.model_state, self._batch, key


def _widen(array):
    return array.astype("float64") if array.dtype == "float32" else array


def _to_torch(given: torch_twin.Given) -> torch_twin.Given:
    given = torch_twin.Given(*(torch.tensor(np.asarray(each)) for each in given))
    return given._replace(images=given.images.permute(0, 3, 1, 2).contiguous())


def _give(config, mesh, params, model_state, batch, key):
    view_key, noise_key = jax.random.split(key)
    pair = _forward(config, params, model_state, batch, view_key)
    return _given(config, mesh, params, pair, noise_key)


def _forward(config, params, model_state, batch, key) -> two_views.Forward:
    networks = two_views.make_networks(config.model)
    return two_views.forward(networks, config, params, model_state, batch, key)[0]


def _given(config, mesh, params, pair, noise_key):
    """One step's inputs to the twin, NHWC, and the surplus of v over the target."""
    connected = graph_matching._make_connect(config, mesh)(params, pair)
    clean = graph_matching._problems(config.matching, connected)
    count, size = clean.vertex_affinity.shape[:2]
    keys = graph_matching._graph_keys(noise_key, count)
    keys = jax.vmap(lambda key: jax.random.split(key, 1)[0])(keys)

    def draw(one: problem.MatchingProblem, key: jax.Array) -> problem.MatchingProblem:
        affinities = one.vertex_affinity, one.edge_affinity
        zeros = one._replace(
            vertex_affinity=jnp.zeros_like(affinities[0]),
            edge_affinity=jnp.zeros_like(affinities[1]),
        )
        return graph_matching._perturb(config.matching, zeros, key)

    noise = jax.vmap(draw)(clean, keys)
    noisy = clean._replace(
        vertex_affinity=clean.vertex_affinity + noise.vertex_affinity,
        edge_affinity=clean.edge_affinity + noise.edge_affinity,
    )
    matching, second = _solutions(config.matching, noisy)
    target = jnp.broadcast_to(jnp.eye(size), matching.shape)
    surplus = imle.fenchel_young_loss(noisy, matching, target)
    images = views.normalise(pair.views, config.data.mean, config.data.std)
    locations = pair.locations.reshape(-1, *pair.locations.shape[2:])
    given = torch_twin.Given(
        images.reshape(-1, *images.shape[2:]),
        locations.reshape(len(locations), -1, 2),
        noise.vertex_affinity,
        noise.edge_affinity,
        matching,
        second,
        clean.edges_s,
        clean.edges_t,
    )
    return given, jnp.mean(surplus)


def _solutions(settings: configs.Matching, noisy: problem.MatchingProblem):
    """v and v' of G problems: the second is read out of the gradient rule."""
    search = solver.Solver(settings.num_starts, settings.num_steps)
    edges = noisy.edges_s, noisy.edges_t

    def match(vertex: jax.Array, edge: jax.Array) -> jax.Array:
        problems = problem.MatchingProblem(vertex, edge, *edges)
        return imle.match(search, problems, settings.interpolation)[0]

    matching, backward = jax.vjp(match, noisy.vertex_affinity, noisy.edge_affinity)
    target = jnp.broadcast_to(jnp.eye(matching.shape[-1]), matching.shape)
    gradient, _ = backward(1 - 2 * target)  # (v - v') / lambda
    return matching, jnp.round(matching - settings.interpolation * gradient)
