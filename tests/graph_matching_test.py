import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny_runs
from scipy import optimize

from lvmmed_jax import config
from lvmmed_jax.methods import graph_matching, two_views
from lvmmed_jax.train import sharding, state, step

CONFIG = tiny_runs.CONFIG
GOLDEN = {  # jax 0.10.2 and 0.12.0.1 agree in six digits
    "loss": 6.5,
    "gradient_norm": 0.378915,
    "learning_rate": 0.003,
    "matching_accuracy_noisy": 0.1875,
    "loss_no_noise": 6.25,
    "matching_accuracy": 0.21875,
    "affinity_true": 0.783353,
    "affinity_other": 0.786493,
    "embedding_rank": 8.092285,
    "embedding_std": 0.447972,
    "retrieval_accuracy": 0.03125,
    "certified_share": 1.0,
}


def _batch(count=32, size=48, seed=0):
    generator = np.random.default_rng(seed)
    return {
        "image": generator.integers(0, 255, (count, size, size, 3), np.uint8),
        "size": np.full((count, 2), size, np.int32),
    }


def _start(num_devices, settings=CONFIG):
    mesh = sharding.make_mesh(num_devices)
    method = graph_matching.make_task(settings, mesh)
    tx, schedule = tiny_runs.adam(3e-3, (0.5,))
    key = jax.random.key(0)
    first = state.create(method.init, tx, key, mesh)
    run = step.make_train_step(method.loss_fn, tx, schedule, mesh)
    return mesh, method, first, run


@pytest.fixture(scope="module")
def eight():
    return _start(8)


@pytest.mark.lengthy
def test_eight_devices_are_one_at_each_of_twenty_steps():
    """Loss and gradient from the same state; only rounding of sums may differ.

    In float64: in float32 it decides, once in some steps, on which side of zero a ReLU
    is. Runs of their own would part: it turns a matching, sooner or later.
    """
    # wide enough that some arrays can be cut
    settings = {"model.width": 16, "model.dtype": "float64"}
    settings = config.override(CONFIG, settings)
    meshes = sharding.make_mesh(1), sharding.make_mesh(8, fsdp=4)
    with jax.enable_x64(True):
        measures, gradient = [], None
        for mesh in meshes:
            method = graph_matching.make_task(settings, mesh)
            measures.append(jax.jit(_make_measure(method.loss_fn, mesh)))
        first = jax.device_get(jax.jit(method.init)(jax.random.key(0)))
        params, model_state = jax.tree.map(lambda x: x.astype("float64"), first)
        for number in range(20):
            found = []
            for mesh, measure in zip(meshes, measures, strict=True):
                place = sharding.of_state(mesh)
                cut = jax.tree.map(
                    lambda x, put=place: jax.device_put(x, put(x)), params
                )
                batch = sharding.put_parts(_batch(seed=number), mesh, 1)
                key = jax.random.key(number)
                found.append(jax.device_get(measure(cut, model_state, batch, key)))
            (loss, model_state, gradient), (other, _, other_gradient) = found
            np.testing.assert_allclose(other, loss, rtol=1e-6)
            jax.tree.map(
                lambda a, b: np.testing.assert_allclose(
                    a, b, rtol=0, atol=1e-6 * np.abs(b).max()
                ),
                other_gradient,
                gradient,
            )
            params = jax.tree.map(lambda x, g: x - 0.1 * g, params, gradient)
    assert optax.tree.norm(gradient) > 0.01


def _make_measure(loss_fn, mesh):
    """-> loss, model state and gradient, whatever the parameters are cut over."""

    def measure(params, model_state, batch, key):
        whole = sharding.gather(params, mesh)
        loss, _, new, gradient = step.accumulate(
            loss_fn, whole, model_state, batch, key
        )
        return loss, new, gradient

    return measure


@pytest.mark.lengthy
def test_cut_parameters_are_gathered_and_nothing_else_moves():
    """With fsdp: an all-gather for each array that is cut; on a CPU XLA sums gradients
    with all-reduces, where an accelerator's scatters them.
    """
    settings = config.override(CONFIG, {"model.width": 16})
    mesh = sharding.make_mesh(8, 4)
    method = graph_matching.make_task(settings, mesh)
    tx, schedule = tiny_runs.adam(3e-3)
    first = state.abstract(method.init, tx, jax.random.key(0), mesh)
    num_cut = sum(
        not leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(first.params)
    )
    run = step.make_train_step(method.loss_fn, tx, schedule, mesh)
    batch = sharding.put_parts(_batch(), mesh, 1)
    found = _collectives(run.lower(first, batch).compile().as_text())
    assert num_cut > 0 and 0 < found.pop("all-gather") <= num_cut
    assert (
        0
        < found.pop("all-reduce") + found.pop("reduce-scatter")
        <= 2 * 10 + 4 + num_cut
    )
    assert not any(found.values()), found


def test_collectives_are_the_gradient_and_batch_norm_only(eight):
    mesh, _, first, run = eight
    batch = sharding.put_parts(_batch(), mesh, 1)
    text = run.lower(first, batch).compile().as_text()
    found = _collectives(text)
    reductions = found.pop("all-reduce")
    assert not any(found.values()), found
    # two a BatchNorm (ResNet-8 has 10), the gradient's, the loss and its metrics
    assert 0 < reductions <= 2 * 10 + 4


def _collectives(text):
    """How many of each kind a compiled program has."""
    names = ("all-reduce", "reduce-scatter", "all-gather", "all-to-all")
    return {
        name: len(re.findall(rf" {name}(?:-start)?\(", text))
        for name in (*names, "collective-permute")
    }


def test_step_trains_every_network_and_compiles_once(eight):
    mesh, _, first, run = eight
    before = jax.device_get(first.params)
    now = jax.tree.map(jnp.copy, first)
    batch = sharding.put_parts(_batch(), mesh, 1)
    for _ in range(2):
        now, metrics = run(now, batch)
    assert run._cache_size() == 1
    assert int(now.step) == 2
    assert np.isfinite(float(metrics["loss"]))
    moved = jax.tree.map(
        lambda a, b: bool(np.any(np.asarray(a) != b)), now.params, before
    )
    assert all(jax.tree.leaves(moved))


def test_golden_step(eight):
    """The numbers of the first step; they change only when the method does.

    Update them when a change of views, model, matching or optimiser is meant, and say
    so in the CHANGELOG.
    """
    mesh, method, first, run = eight
    parts = sharding.put_parts(_batch(), mesh, 1)
    _, metrics = run(jax.tree.map(jnp.copy, first), parts)
    batch = sharding.put_batch(_batch(), mesh)
    evaluate = jax.jit(method.evaluate)
    fixed = evaluate(first.params, first.model_state, batch, jax.random.key(1))
    found = {name: float(value) for name, value in (metrics | fixed).items()}
    for name, value in GOLDEN.items():
        np.testing.assert_allclose(found[name], value, rtol=2e-3, err_msg=name)


def test_loss_is_over_all_graphs_and_chance_like_at_the_start(eight):
    mesh, method, first, _ = eight
    batch = sharding.put_batch(_batch(), mesh)
    found = jax.jit(method.evaluate)(
        first.params, first.model_state, batch, jax.random.key(0)
    )
    # Hamming distance of two permutations is 2 (N - right)
    np.testing.assert_allclose(
        found["loss_no_noise"], 2 * 4 * (1 - found["matching_accuracy"]), rtol=1e-6
    )


def test_identical_images_cannot_be_told_apart(eight):
    """A repeated image: noise-free matching must not look right by its ordering."""
    mesh, method, first, _ = eight
    batch = _batch()
    batch["image"] = np.repeat(batch["image"][:1], 32, axis=0)
    found = jax.jit(method.evaluate)(
        first.params,
        first.model_state,
        sharding.put_batch(batch, mesh),
        jax.random.key(0),
    )
    assert found["matching_accuracy"] < 0.6


def _after_the_encoder(settings):
    """The loss of embeddings at random, everything before them left out."""
    mesh = sharding.make_mesh(1)
    params, _ = graph_matching.make_task(settings, mesh).init(jax.random.key(0))
    keys = jax.random.split(jax.random.key(1), 3)
    pair = two_views.Forward(
        views=None,
        locations=jax.random.uniform(keys[0], (8, 2, 2, 2, 2)),
        feature_map=jax.random.normal(keys[1], (8, 2, 2, 2, 6)),
        embedding=jax.random.normal(keys[2], (8, 2, 16)),
    )
    loss_of = graph_matching.make_loss(settings, mesh)

    def loss_fn(embedding, params, key):
        loss, _ = loss_of(params, pair._replace(embedding=embedding), key)
        return loss

    return jax.jit(jax.value_and_grad(loss_fn)), pair.embedding, params


@pytest.mark.lengthy
@pytest.mark.parametrize("skip", [True, False])
def test_paper_form_has_no_skip(skip):
    """Without weights nothing comes through message passing but what a skip adds."""
    settings = config.override(CONFIG, {"model.skip": skip, "matching.alpha": 1.0})
    loss_fn, embedding, params = _after_the_encoder(settings)
    params["message_passing"] = jax.tree.map(jnp.zeros_like, params["message_passing"])
    _, gradient = loss_fn(embedding, params, jax.random.key(0))
    assert np.any(np.asarray(gradient) != 0) == skip


def test_unknown_encoder_names_the_known():
    with pytest.raises(ValueError, match="resnet50"):
        two_views.make_networks(config.Model(encoder="resnet51"))


@pytest.mark.lengthy
def test_loss_of_many_noise_samples_is_their_mean():
    """So that over keys it varies less."""
    losses = {}
    for count in (1, 4):
        settings = config.override(CONFIG, {"matching.num_perturbations": count})
        loss_fn, embedding, params = _after_the_encoder(settings)
        losses[count] = [
            float(loss_fn(embedding, params, key)[0])
            for key in jax.random.split(jax.random.key(0), 32)
        ]
    assert 0 < np.std(losses[4]) < np.std(losses[1])
    np.testing.assert_allclose(np.mean(losses[4]), np.mean(losses[1]), atol=0.7)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("matching.rule", "fenchel_young"),
        ("matching.rule", "sinkhorn"),
        ("matching.noise", "sum_of_gamma"),
        ("matching.noise", "margin"),
        ("matching.noise", "none"),
    ],
)
def test_each_rule_and_noise_has_a_gradient(name, value):
    settings = config.override(CONFIG, {name: value, "matching.sigma": 0.1})
    loss_fn, embedding, params = _after_the_encoder(settings)
    loss, gradient = loss_fn(embedding, params, jax.random.key(2))
    assert loss > 0 and np.isfinite(loss)
    assert np.all(np.isfinite(gradient)) and np.linalg.norm(gradient) > 1e-4


def test_without_weight_edges_and_their_noise_count_for_nothing():
    """What is left is linear assignment on the vertices, as SciPy solves it."""
    settings = {"matching.edge_weight": 0.0, "matching.alpha": 1.0}
    settings |= {"model.message_passing_layers": 0, "matching.sigma": 1e-4}
    settings |= {"matching.sigma_edges": 1e3}  # would drown the vertices
    loss_fn, embedding, params = _after_the_encoder(config.override(CONFIG, settings))
    loss, _ = loss_fn(embedding, params, jax.random.key(2))
    unit = embedding / jnp.linalg.norm(embedding, axis=-1, keepdims=True)
    wrong = 0
    for graph in np.asarray(unit).reshape(2, 4, 2, 16):
        cosines = graph[:, 0] @ graph[:, 1].T
        rows, columns = optimize.linear_sum_assignment(-cosines)
        wrong += np.sum(rows != columns)
    assert 0 < wrong < 8
    assert float(loss) == 2 * wrong / 2  # two entries a wrong node, mean of two graphs


def test_loss_is_nan_where_an_affinity_is(eight):
    """A permutation is always found: without this a broken encoder went unnoticed."""
    mesh, _, first, run = eight
    params = {
        **first.params,
        "projector": jax.tree.map(
            lambda x: x.at[:1].set(jnp.nan), first.params["projector"]
        ),
    }
    broken = dataclasses.replace(jax.tree.map(jnp.copy, first), params=params)
    _, found = run(broken, sharding.put_parts(_batch(), mesh, 1))
    assert np.isnan(float(found["loss"]))


@pytest.mark.slow
def test_real_resnet50_step_at_224_pixels():
    """The paper's network: 16 images, one graph, one update that moves parameters."""
    settings = config.override(
        config.Config(), {"data.global_batch": 16, "train.num_evaluation_images": 16}
    )
    mesh, _, first, run = _start(1, settings)
    before = jax.device_get(first.params)
    batch = sharding.put_parts(_batch(16, 256), mesh, 1)
    now, metrics = run(first, batch)
    assert 0 < float(metrics["loss"]) <= 32
    assert 0 < float(metrics["gradient_norm"]) < 1e3
    changes = jax.tree.map(
        lambda a, b: float(np.abs(a - b).max()), jax.device_get(now.params), before
    )
    assert all(0 < change < 0.01 for change in jax.tree.leaves(changes))
