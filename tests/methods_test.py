"""What every pre-training method must do, whatever its loss."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny_runs
from tiny_encoders import tiny_encoders  # noqa: F401

from data_pipelines import mixture
from lvmmed_jax import config, planning, pretraining
from lvmmed_jax.methods import table
from lvmmed_jax.train import checkpoint, saving, sharding, state, step

SMALL = {  # sizes at which a method compiles and runs in seconds
    "simclr.hidden": 8,
    "simclr.width": 6,
    "moco.hidden": 8,
    "moco.width": 6,
    "moco.queue_size": 24,
    "moco_v3.hidden": 8,
    "moco_v3.width": 6,
    "barlow_twins.hidden": 8,
    "barlow_twins.width": 10,
    "vicreg.hidden": 8,
    "vicreg.width": 10,
    "vicregl.local_width": 6,
    "vicregl.num_matches": 3,
    "swav.hidden": 8,
    "swav.width": 6,
    "swav.num_prototypes": 7,
    "swav.queue_size": 40,
    "swav.queue_from": 0.1,
    "swav.frozen": 0.1,
    "deepcluster.hidden": 8,
    "deepcluster.width": 6,
    "deepcluster.num_heads": 2,
    "deepcluster.num_prototypes": 7,
    "deepcluster.num_iterations": 3,
    "deepcluster.bank_size": 48,
    "deepcluster.cluster_every": 0.1,  # two steps
    "dino.hidden": 8,
    "dino.width": 6,
    "dino.num_prototypes": 12,
    "dino.decay": 0.9,
    "dino.frozen": 0.1,
    "mae.decoder_width": 16,
    "mae.decoder_depth": 1,
    "mae.decoder_heads": 2,
    "supervised.num_classes": 3,
}
OF_METHOD = {"mae": {"model.encoder": "tiny_vit", "model.width": 64}}
NAMES = tuple(table.METHODS)
NEW = tuple(name for name in NAMES if name != "graph_matching")
_QUICK = ("deepcluster_v2", "dino")  # with the most state; `-m slow` has the others


def some(names):
    """Parameters of which CI takes a few."""
    return [
        pytest.param(name, marks=[] if name in _QUICK else pytest.mark.slow)
        for name in names
    ]


def settings_of(name, **overrides):
    return config.override(
        tiny_runs.CONFIG,
        {
            "train.method": name,
            "train.steps": 20,
            "model.encoder": "tiles",
            "model.width": 12,
            **SMALL,
            **OF_METHOD.get(name, {}),
            **overrides,
        },
    )


def make_batch(number, count=32, size=40):
    """Images with a bright square each, and three classes of ground."""
    generator = np.random.default_rng(number)
    labels = generator.integers(0, 3, count)
    image = generator.integers(0, 60, (count, size, size, 3)) + 60 * labels.reshape(
        -1, 1, 1, 1
    )
    for each in image:
        row, column = generator.integers(0, size - 10, 2)
        each[row : row + 10, column : column + 10] += 70
    return {
        "image": image.astype(np.uint8),
        "size": np.full((count, 2), size, np.int32),
        "index": (np.arange(count) + count * number) % 64,
        "label": labels.astype(np.int32),
    }


def _start(settings, num_devices=1):
    mesh = sharding.make_mesh(num_devices)
    method = table.make(settings, mesh)
    tx, schedule = tiny_runs.adam(3e-3)
    now = state.create(method.init, tx, jax.random.key(0), mesh)
    return mesh, method, now, step.make_train_step(method.loss_fn, tx, schedule, mesh)


def _run(settings, num_devices, num_steps):
    mesh, _, now, run = _start(settings, num_devices)
    found = []
    for number in range(num_steps):
        batch = make_batch(number)
        now, metrics = run(now, sharding.put_parts(batch, mesh, 1))
        found.append({name: float(value) for name, value in metrics.items()})
    return now, found


@functools.cache
def _first(name):
    return _run(settings_of(name), 1, 5)


@pytest.mark.lengthy
@pytest.mark.parametrize("name", some(NEW))
def test_five_steps_are_the_same_on_one_device_and_on_eight(name):
    """Losses and what the method carries: queues, teachers, centres, banks."""
    now, found = _first(name)
    other, other_found = _run(settings_of(name), 8, 5)
    for ours, theirs in zip(found, other_found, strict=True):
        assert ours["skipped"] == 0
        np.testing.assert_allclose(ours["loss"], theirs["loss"], rtol=2e-3, atol=1e-5)
    np.testing.assert_allclose(
        found[0]["gradient_norm"], other_found[0]["gradient_norm"], rtol=1e-3
    )
    ours, theirs = (jax.device_get(each.model_state) for each in (now, other))
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=0.05, atol=0.02),
        ours,
        theirs,
    )


@pytest.mark.lengthy
@pytest.mark.parametrize("name", some(NEW))
def test_a_run_that_was_saved_goes_on_as_if_it_had_not_been(name, tmp_path):
    """With all that a method carries, bit for bit."""
    settings = settings_of(name)
    mesh, method, now, run = _start(settings)
    for number in range(5):
        if number == 3:
            with saving.Saver(tmp_path, keep_last=1) as saver:
                saver.save(3, now, {"next_batch": 3})
            tx, _ = tiny_runs.adam(3e-3)
            like = state.abstract(method.init, tx, jax.random.key(0), mesh)
            now, _ = checkpoint.restore(tmp_path / "checkpoints" / "3", like)
        now, _ = run(now, sharding.put_parts(make_batch(number), mesh, 1))
    whole, _ = _first(name)
    for part in ("params", "model_state", "opt_state"):
        jax.tree.map(
            np.testing.assert_array_equal, getattr(now, part), getattr(whole, part)
        )


@pytest.mark.parametrize("name", ["simclr", "dino"])
def test_every_method_starts_with_the_same_encoder(name):
    """So that a comparison of methods begins at the same random weights."""
    mesh = sharding.make_mesh(1)
    starts = [
        jax.jit(table.make(settings_of(each), mesh).init)(jax.random.key(3))[0]
        for each in ("graph_matching", name)
    ]
    jax.tree.map(np.testing.assert_array_equal, *(each["encoder"] for each in starts))


@pytest.mark.parametrize("name", ["dino", "moco_v2"])
def test_teacher_starts_with_weights_that_a_run_is_given(name):
    """As `--init` puts them in: the first step's teacher is the student."""
    mesh, method, now, _ = _start(settings_of(name))
    given = jax.tree.map(lambda x: x + 0.25, now.params["encoder"])
    params = {**now.params, "encoder": given}
    batch = sharding.put_batch(make_batch(0), mesh)
    _, (model_state, _) = jax.jit(method.loss_fn)(
        params, now.model_state, batch, jax.random.key(0)
    )
    jax.tree.map(
        np.testing.assert_array_equal, model_state["teacher"]["encoder"], given
    )


SMALL_CROPS = {"views.small_crops": 2, "views.small_size": 16}


@pytest.mark.lengthy
@pytest.mark.parametrize(
    "name", some(name for name, row in table.METHODS.items() if row.small_crops)
)
def test_small_crops_change_the_loss_and_have_a_gradient(name):
    mesh, _, now, run = _start(settings_of(name, **SMALL_CROPS))
    batch = sharding.put_parts(make_batch(0), mesh, 1)
    for _ in range(3):  # deepcluster's first two only fill the bank
        now, metrics = run(now, batch)
    assert metrics["skipped_steps"] == 0 and metrics["gradient_norm"] > 0
    alone, found = _first(name)
    assert float(metrics["loss"]) != pytest.approx(found[2]["loss"], rel=1e-3)
    shapes = [
        jax.tree.map(jnp.shape, (each.params, each.model_state))
        for each in (now, alone)
    ]
    assert shapes[0] == shapes[1]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dino", "vicregl"])
def test_matching_beside_another_loss_is_their_sum(name):
    """At the same weights, views and noise: both losses, both gradients."""
    losses = {}
    for weight in (0.0, 1.0, 3.0):
        settings = settings_of(name, **{"matching.beside": weight})
        mesh, method, now, _ = _start(settings)
        batch = sharding.put_batch(make_batch(0), mesh)
        (loss, (_, metrics)), gradient = jax.jit(
            jax.value_and_grad(method.loss_fn, has_aux=True)
        )(now.params, now.model_state, batch, jax.random.key(0))
        losses[weight] = loss
    matching = metrics["matching_loss"]
    assert matching > 0 and 0 <= metrics["matching_accuracy_noisy"] <= 1
    np.testing.assert_allclose(losses[1.0] - losses[0.0], matching, rtol=1e-4)
    np.testing.assert_allclose(losses[3.0] - losses[0.0], 3 * matching, rtol=1e-4)
    for own in ("head", "projector", "message_passing"):
        assert optax.tree.norm(gradient[own]) > 0, own


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("graph_matching", {"matching.beside": 1.0}, "another method's, not to"),
        ("moco_v2", SMALL_CROPS, "small_crops=2 must be 0 with train.method='moco_v2'"),
    ],
)
def test_settings_that_a_method_does_not_take_are_refused(name, overrides, message):
    with pytest.raises(ValueError, match=message):
        table.make(settings_of(name, **overrides), sharding.make_mesh(1))


def test_teacher_of_a_vit_has_the_position_tables_that_a_run_is_given():
    settings = settings_of("dino", **{"model.encoder": "tiny_vit", "model.width": 64})
    mesh = sharding.make_mesh(1)
    method = planning.make_method(settings, mesh, {"positions": [1, 50, 16]})
    params, model_state = jax.eval_shape(method.init, jax.random.key(0))
    for weights in (params["encoder"], model_state["teacher"]["encoder"]):
        assert weights["positions"].shape == (1, 50, 16)


def test_classes_must_be_those_of_the_data(tmp_path):
    manifest = {"parts": [{"settings": {"classes": None}}]}
    settings = settings_of("supervised")
    with pytest.raises(ValueError, match=r"no labels, .* prepare them with --classes"):
        pretraining.check_labels(settings, "shards", manifest)
    manifest["parts"].append({"settings": {"classes": ["a", "b"]}})
    with pytest.raises(ValueError, match="num_classes=3, but shards has 2 classes"):
        pretraining.check_labels(settings, "shards", manifest)
    pretraining.check_labels(settings_of("dino"), "shards", {"parts": []})


def test_classes_to_measure_on_are_those_that_are_learned(monkeypatch):
    def manifest(*names):
        return {"parts": [{"settings": {"classes": list(names)}}]}

    def check(name, others):
        monkeypatch.setattr(mixture, "read_manifest", lambda _: others)
        given = settings_of(name), "shards", manifest("a", "b"), "val"
        pretraining._check_same_labels(*given)

    check("supervised", manifest("a", "b"))
    check("dino", manifest("a", "c"))
    with pytest.raises(ValueError, match=r"--held-out val has other classes \(a, c\)"):
        check("supervised", manifest("a", "c"))
