"""What of a network a downstream task trains, by encoder, head and tuning."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_finetunes

from lvmmed_jax import finetune_config
from lvmmed_jax.downstream import training
from lvmmed_jax.models import low_rank
from lvmmed_jax.tasks import segmentation, stem, table

SIZE = 32
MASKS = stem.Target(("background", "a", "b"))
CLASSES = stem.Target(("a", "b", "c"))
SEGMENTS = {"task": "segmentation", "head": "unet"}


def _origin(encoder, width=2):
    return stem.Origin(encoder, width, (0.5,) * 3, (0.25,) * 3, {})


def _batch(segments, seed=0):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (2, SIZE, SIZE, 3), np.uint8)
    batch = {"image": image, "inner": np.full((2, 2), SIZE, np.int32)}
    if segments:
        return batch | {"mask": rng.integers(0, 3, (2, SIZE, SIZE)).astype(np.int32)}
    return batch | {"label": rng.integers(0, 3, 2).astype(np.int32)}


def _moved(encoder, **model):
    """Names of parameters with a gradient and a rate; loss; states before and after."""
    config = tiny_finetunes.settings(model=model)
    origin, segments = _origin(encoder), config.model.task == "segmentation"
    task = table.make(config, origin, MASKS if segments else CLASSES)
    params, before = task.init(jax.random.key(0))
    if "lora" in params:  # B is 0 at first, so that A would have no gradient
        params["lora"] = jax.tree.map(lambda x: x + 0.1, params["lora"])
    gradient_fn = jax.jit(jax.value_and_grad(task.loss_fn, has_aux=True))
    batch = _batch(segments)
    (loss, (after, _)), gradient = gradient_fn(params, before, batch, jax.random.key(1))
    share = training.factors_of(config, origin) or (lambda path: 1.0)
    leaves, _ = jax.tree_util.tree_flatten_with_path(gradient)
    moved = set()
    for path, leaf in leaves:
        keys = tuple(key.key for key in path)
        if np.any(leaf) and share(keys):
            moved.add("/".join(keys[:2]))
    return moved, float(loss), before, after


def _parts(names, network):
    return {name.split("/")[1] for name in names if name.startswith(f"{network}/")}


@pytest.mark.slow
def test_a_unet_trains_all_of_a_resnet():
    moved, loss, before, after = _moved("resnet8", **SEGMENTS)
    assert _parts(moved, "encoder") >= {"Conv_0", "Block_0", "Block_2"}
    assert _parts(moved, "head") >= {"up_0", "up_3", "scores"}
    # cross-entropy of three classes and a Dice of a third, about
    assert 1.2 < loss < 3.0
    for name in ("batch_stats", "head_batch_stats"):
        pairs = zip(
            jax.tree.leaves(before[name]), jax.tree.leaves(after[name]), strict=True
        )
        assert all(np.any(a != b) for a, b in pairs)


@pytest.mark.slow
def test_a_probe_leaves_the_encoder_and_its_statistics():
    moved, _, before, after = _moved("resnet8", **SEGMENTS, tuning="linear_probe")
    assert not _parts(moved, "encoder") and _parts(moved, "head")
    jax.tree.map(
        np.testing.assert_array_equal, before["batch_stats"], after["batch_stats"]
    )
    assert jax.tree.leaves(before["head_batch_stats"])[0].shape


def test_a_frozen_encoder_sees_each_image_alone_and_keeps_its_statistics():
    config = dataclasses.replace(
        tiny_finetunes.settings(model={"tuning": "linear_probe"}),
        augmentation=finetune_config.NO_AUGMENTATION,  # it differs by place in a batch
    )
    task = table.make(config, _origin("resnet8"), CLASSES)
    params, model_state = task.init(jax.random.key(0))
    loss = jax.jit(task.loss_fn)
    batch, key = _batch(False), jax.random.key(0)
    whole, (after, _) = loss(params, model_state, batch, key)
    jax.tree.map(np.testing.assert_array_equal, model_state, after)
    parts = [
        loss(params, model_state, {k: v[[i, i]] for k, v in batch.items()}, key)[0]
        for i in range(2)
    ]
    assert float(whole) == pytest.approx(float(np.mean(parts)), rel=1e-4)


@pytest.mark.slow
def test_additions_of_low_rank_are_trained_in_place_of_a_vit():
    moved, *_ = _moved("vit_s16", lora_rank=2)
    assert not _parts(moved, "encoder") and _parts(moved, "head")
    assert _parts(moved, "lora") == {f"Block_{index}" for index in range(12)}
    assert low_rank.LAYERS == ("qkv", "projection")


@pytest.mark.slow
def test_the_unet_around_blocks_trains_them_and_nothing_else_of_a_vit():
    model = {"task": "segmentation", "head": "conv_unet"}
    moved, *_ = _moved("vit_s16", **model)
    assert _parts(moved, "encoder") == {f"Block_{index}" for index in range(12)}
    assert _parts(moved, "head") >= {"Conv_0", "Bottleneck_2", "up_3", "scores"}


@pytest.mark.parametrize(
    ("encoder", "head", "message"),
    [
        ("vit_s16", "unet", "use model.head=conv_unet or linear"),
        ("resnet8", "conv_unet", "use model.head=unet or linear"),
    ],
)
def test_heads_that_do_not_fit_an_encoder_are_refused(encoder, head, message):
    config = tiny_finetunes.settings(model={"task": "segmentation", "head": head})
    with pytest.raises(ValueError, match=message):
        segmentation.make_task(config, _origin(encoder), MASKS)


@pytest.mark.parametrize("encoder", ["convnext_t", "vit_s16", "resnet50"])
def test_shapes_of_every_family(encoder):
    head = "linear" if encoder == "vit_s16" else "unet"
    config = tiny_finetunes.settings(model={"task": "segmentation", "head": head})
    task = segmentation.make_task(config, _origin(encoder), MASKS)
    params, model_state = jax.eval_shape(task.init, jax.random.key(0))
    images = jax.ShapeDtypeStruct((2, 64, 64, 1), jnp.uint8)
    found = jax.eval_shape(task.predict, params, model_state, images)
    assert found.shape == (2, 64, 64, 3) and found.dtype == jnp.float32


def test_labels_have_sigmoids_and_their_weights_reach_the_loss():
    fields = {"focal": 0.0}
    config = dataclasses.replace(
        tiny_finetunes.settings(loss=fields, model={"tuning": "linear_probe"}),
        augmentation=finetune_config.NO_AUGMENTATION,
    )
    weights, labels = (0.5, 3.0, 1.0), np.array([[1, 0, 1], [0, 1, 1]], np.float32)
    target = CLASSES._replace(multi_label=True, weights=weights)
    task = table.make(config, _origin("resnet8"), target)
    params, model_state = task.init(jax.random.key(0))
    batch = {**_batch(False), "label": labels}
    loss, (_, found) = jax.jit(task.loss_fn)(
        params, model_state, batch, jax.random.key(0)
    )
    chances = np.asarray(task.predict(params, model_state, batch["image"]))
    assert not np.allclose(chances.sum(axis=1), 1)
    terms = labels * np.array(weights) * np.log(chances)
    terms += (1 - labels) * np.log(1 - chances)
    assert float(loss) == pytest.approx(-terms.mean(), rel=1e-4)
    right = (chances > 0.5) == (labels > 0.5)
    assert float(found["accuracy"]) == pytest.approx(right.mean())


def test_class_weights_reach_the_loss():
    config = dataclasses.replace(
        tiny_finetunes.settings(model={"tuning": "linear_probe"}),
        augmentation=finetune_config.NO_AUGMENTATION,
    )
    weights, labels = np.array([0.5, 3.0, 1.0]), np.array([0, 1], np.int32)
    target = CLASSES._replace(weights=tuple(weights.tolist()))
    task = table.make(config, _origin("resnet8"), target)
    params, model_state = task.init(jax.random.key(0))
    batch = {**_batch(False), "label": labels}
    loss, _ = jax.jit(task.loss_fn)(params, model_state, batch, jax.random.key(0))
    chances = np.asarray(task.predict(params, model_state, batch["image"]))
    own = -np.log(chances[[0, 1], labels])
    assert float(loss) == pytest.approx(np.average(own, weights=weights[labels]), 1e-4)


def test_grades_take_one_label_an_image_and_have_an_order():
    config = tiny_finetunes.settings(model={"head": "ordinal"})
    several = CLASSES._replace(multi_label=True)
    with pytest.raises(ValueError, match="whole numbers; the data has a, b, c"):
        table.make(config, _origin("resnet8"), CLASSES)
    grades = CLASSES._replace(class_names=("0", "1", "2"))
    task = table.make(config, _origin("resnet8"), grades)
    params, model_state = task.init(jax.random.key(0))
    chances = task.predict(params, model_state, _batch(False)["image"])
    np.testing.assert_allclose(np.sum(chances, axis=1), 1, rtol=1e-5)
    with pytest.raises(ValueError, match=r"model\.head=ordinal is for grades"):
        table.make(config, _origin("resnet8"), several)
    with pytest.raises(ValueError, match="1 class: two at least"):
        table.make(config, _origin("resnet8"), CLASSES._replace(class_names=("a",)))


def test_pixels_beside_the_image_do_not_count():
    found = segmentation.inside(jnp.array([[2, 3], [4, 1]]), 4)
    expected = np.zeros((2, 4, 4))
    expected[0, :2, :3] = expected[1, :4, :1] = 1
    np.testing.assert_array_equal(found, expected)
