"""All encoders by name: published sizes, maps of every size, cells where they lie."""

import functools

import encoder_weights
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs

from lvmmed_jax import config, encoders
from lvmmed_jax.methods import simclr
from lvmmed_jax.models import encoder_table, vit
from lvmmed_jax.train import sharding, state, step

pytestmark = pytest.mark.lengthy

HEAD = 1000  # classes
# torchvision's counts, less the classifier; vit_s16: timm's
PARAMETERS = {
    "resnet18": 11_689_512 - 513 * HEAD,
    "resnet34": 21_797_672 - 513 * HEAD,
    "resnet50": 25_557_032 - 2049 * HEAD,
    "resnet101": 44_549_160 - 2049 * HEAD,
    "resnet152": 60_192_808 - 2049 * HEAD,
    "vit_s16": 22_050_664 - 385 * HEAD,
    "vit_b16": 86_567_656 - 769 * HEAD,
    "vit_l16": 304_326_632 - 1025 * HEAD,
    "vit_h14": 632_045_800 - 1281 * HEAD,
    # the hub's counts, less the token of masked patches
    "dinov2_s14": 22_056_576 - 384,
    "dinov2_b14": 86_580_480 - 768,
    "dinov2_l14": 304_368_640 - 1024,
    "dinov2_g14": 1_136_480_768 - 1536,
    # torchvision's, less the classifier and the LayerNorm in it
    "convnext_t": 28_589_128 - 769 * HEAD - 2 * 768,
    "convnext_s": 50_223_688 - 769 * HEAD - 2 * 768,
    "convnext_b": 88_591_464 - 1025 * HEAD - 2 * 1024,
    "convnext_l": 197_767_336 - 1537 * HEAD - 2 * 1536,
    # segment_anything's; lvmmed_vit.pth has 86,525,184 with the neck, in 176 tensors
    "sam_b16": 89_670_912 - 787_456,
    "sam_l16": 308_278_272 - 852_992,
    "sam_h16": 637_026_048 - 918_528,
    "lvmmed_b16": 86_525_184 - 787_456,
    "lvmmed_h16": 631_783_168 - 918_528,
}
NATIVE = {"dinov2": 518, "sam": 1024, "lvmmed": 1024}  # pixels; others 224
SMALLEST = {"resnet": 4, "convnext": 2}  # widths


def _shapes(name, width, size):
    network = encoder_weights.make(name, width)
    images = jax.ShapeDtypeStruct((2, size, size, 3), jnp.float32)
    return jax.eval_shape(
        lambda key, x: network.init_with_output(key, x, train=False),
        jax.random.key(0),
        images,
    )


@pytest.mark.parametrize("name", PARAMETERS)
def test_sizes_are_the_published_ones(name):
    size = NATIVE.get(name.split("_")[0], 224)
    maps, variables = _shapes(name, 64, size)
    leaves = jax.tree.leaves(variables["params"])
    assert sum(leaf.size for leaf in leaves) == PARAMETERS[name]
    side = size // encoder_table.find(name).stride
    assert maps.shape[:3] == (2, side, side) and maps.dtype == jnp.float32


@pytest.mark.parametrize(
    ("name", "tensors", "parameters"),
    [("lvmmed_b16", 176, 86_525_184), ("lvmmed_h16", 456, 631_783_168)],
)
def test_released_weights_fit_encoder_and_neck(name, tensors, parameters):
    maps, variables = _shapes(name, 64, 1024)
    neck = jax.eval_shape(vit.Neck().init, jax.random.key(0), maps)
    leaves = jax.tree.leaves((variables, neck))
    assert len(leaves) == tensors
    assert sum(leaf.size for leaf in leaves) == parameters


@pytest.mark.parametrize("size", [37, 64, 100])
@pytest.mark.parametrize(
    "name",
    ["resnet8", "resnet18", "vit_s16", "dinov2_s14_reg", "lvmmed_b16", "convnext_t"],
)
def test_cells_of_any_image_lie_in_it(name, size):
    width = SMALLEST.get(name.rstrip("0123456789").split("_")[0], 1)
    maps, _ = _shapes(name, width, size)
    row = encoder_table.find(name)
    centres = row.cell_centres(maps.shape[1], size)
    assert len(centres) == maps.shape[1]
    steps = np.diff(centres) * size
    assert np.all(centres > 0) and np.all(centres < 1) and np.all(steps > 0)
    assert np.all(np.abs(steps[:-1] - row.stride) < 8)


def test_unknown_names_are_told_the_known():
    with pytest.raises(ValueError, match=r"'vit_b'; known: resnet8, .*vit_b16.*"):
        encoder_table.find("vit_b")


def test_widths_that_do_not_divide_are_told_what_does():
    images = jnp.zeros((1, 32, 32, 3))
    for name, width, hint in (
        ("convnext_t", 7, "a multiple of 2"),
        ("vit_h14", 6, "a multiple of 4"),
    ):
        with pytest.raises(ValueError, match=hint):
            encoder_weights.make(name, width).init(jax.random.key(0), images, False)


@pytest.mark.parametrize(
    ("name", "stages", "message"),
    [
        ("resnet18", (5,), "stage 5 must be from 0 to 4"),
        ("vit_s16", (0,), "stage 0 must be from 1 to 12"),
        ("convnext_t", (1, 7), "stage 7 must be from 1 to 4"),
    ],
)
def test_unknown_stages_are_told_the_known(name, stages, message):
    with pytest.raises(ValueError, match=message):
        encoder_weights.make(name, 4).init(
            jax.random.key(0), jnp.zeros((1, 32, 32, 3)), False, stages
        )


@pytest.mark.parametrize("name", ["resnet8", "vit_s16", "convnext_t"])
def test_stages_end_with_the_map_that_is_given_without(name):
    network = encoder_weights.make(name, 4)
    last = {"resnet8": 3, "vit_s16": 12, "convnext_t": 4}[name]
    variables = encoder_weights.random_variables(name, 4, 64)
    images = encoder_weights.random_images(1, 64, 64)
    apply = jax.jit(
        functools.partial(network.apply, train=False), static_argnames="stages"
    )
    both = apply(variables, images, stages=(last, 1))
    np.testing.assert_array_equal(both[0], apply(variables, images))
    assert len(both) == 2 and {x.dtype for x in both} == {jnp.dtype("float32")}
    first = apply(variables, images, stages=(1,))
    np.testing.assert_allclose(first[0], both[1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["vit_s16", "sam_b16", "convnext_t"])
def test_bfloat16_keeps_parameters_and_maps_in_float32(name):
    network = encoder_table.find(name).make(name, 2, jnp.bfloat16, False)
    variables = encoder_weights.random_variables(name, 2, 64)
    images = encoder_weights.random_images(1, 64, 64)
    made = jax.eval_shape(lambda x: network.init(jax.random.key(0), x, False), images)
    assert {x.dtype for x in jax.tree.leaves(made)} == {jnp.dtype("float32")}
    apply = jax.jit(functools.partial(network.apply, train=False))
    found = apply(variables, images)
    whole = encoder_weights.make(name, 2).apply(variables, images, train=False)
    assert found.dtype == jnp.float32
    assert 0 < np.abs(whole - found).mean() < 0.1 * np.abs(whole).mean()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lvmmed_b16", "convnext_t"])
def test_remat_changes_neither_names_nor_gradients(name):
    images = encoder_weights.random_images(1, 64, 64)
    variables = encoder_weights.random_variables(name, 2, 64)
    found = []
    for remat in (False, True):
        network = encoder_table.find(name).make(name, 2, jnp.float32, remat)

        def loss(variables, network=network):
            return (network.apply(variables, images, train=True) ** 2).sum()

        found.append(jax.jit(jax.grad(loss))(variables))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), *found
    )


@pytest.mark.slow
def test_encoders_without_statistics_train_and_are_evaluated():
    settings = config.override(
        tiny_runs.CONFIG, {"model.encoder": "vit_s16", "model.width": 2}
    )
    mesh = sharding.make_mesh(1)
    method = simclr.make_task(settings, mesh)
    tx, schedule = tiny_runs.adam(3e-3)
    now = state.create(method.init, tx, jax.random.key(0), mesh)
    assert now.model_state["batch_stats"] == {}
    run = step.make_train_step(method.loss_fn, tx, schedule, mesh)
    images = np.random.default_rng(0).integers(0, 255, (32, 48, 48, 3), np.uint8)
    batch = {"image": images, "size": np.full((32, 2), 48, np.int32)}
    for _ in range(4):
        now, metrics = run(now, sharding.put_parts(batch, mesh, 1))
    assert np.isfinite(float(metrics["loss"])) and float(metrics["gradient_norm"]) > 0
    encoder = encoders.random(settings)
    assert encoders.calibrate(encoder, images) is encoder
    assert encoders.pooled_features(encoder, images[:3]).shape[0] == 3
