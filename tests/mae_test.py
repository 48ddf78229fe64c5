import jax
import jax.numpy as jnp
import methods_test
import numpy as np
import pytest
import tiny_runs
from tiny_encoders import tiny_encoders  # noqa: F401

from lvmmed_jax import config
from lvmmed_jax.methods import mae, table
from lvmmed_jax.models import mae_decoder, vit
from lvmmed_jax.train import sharding

GENERATOR = np.random.default_rng(0)
IMAGES = GENERATOR.normal(size=(3, 8, 12, 3)).astype(np.float32)


def test_patches_are_cut_row_by_row():
    found = np.asarray(mae.patches_of(jnp.asarray(IMAGES), 4))
    assert found.shape == (3, 6, 48)
    np.testing.assert_array_equal(found[1, 4], IMAGES[1, 4:8, 4:8].reshape(-1))


@pytest.mark.parametrize("normalise", [True, False])
def test_loss_is_that_of_the_paper_written_out(normalise):
    told, true = GENERATOR.normal(size=(2, 3, 6, 48)).astype(np.float32)
    hidden = np.array([[0, 5], [2, 1], [4, 3]])
    errors = []
    for image in range(3):
        for place in hidden[image]:
            wanted = true[image, place].astype(float)
            if normalise:
                wanted = (wanted - wanted.mean()) / np.sqrt(wanted.var(ddof=1) + 1e-6)
            errors.append(np.mean((told[image, place] - wanted) ** 2))
    found = mae.reconstruction(*map(jnp.asarray, (told, true, hidden)), normalise)
    np.testing.assert_allclose(found, np.mean(errors), rtol=1e-5)


def test_brightness_and_contrast_of_a_patch_do_not_count_where_it_is_normalised():
    told, true = GENERATOR.normal(size=(2, 3, 6, 48)).astype(np.float32)
    hidden = jnp.zeros((3, 1), jnp.int32)
    losses = [
        mae.reconstruction(jnp.asarray(told), jnp.asarray(each), hidden, True)
        for each in (true, 3 * true + 2)
    ]
    np.testing.assert_allclose(*losses, rtol=1e-4)


def test_each_image_has_its_own_patches_whatever_the_batch():
    hidden, visible = mae.split(jax.random.key(0), 8, 16, 4)
    assert hidden.shape == (8, 12) and visible.shape == (8, 4)
    both = np.sort(np.concatenate([hidden, visible], axis=1), axis=1)
    np.testing.assert_array_equal(both, np.broadcast_to(np.arange(16), (8, 16)))
    assert len({tuple(row) for row in visible.tolist()}) > 4
    np.testing.assert_array_equal(
        visible[:3], mae.split(jax.random.key(0), 3, 16, 4)[1]
    )


@pytest.mark.lengthy
def test_encoder_sees_visible_patches_only():
    network = vit.ViT("vit_s16", 2)
    images = jnp.asarray(GENERATOR.normal(size=(2, 48, 48, 3)), jnp.float32)
    variables = jax.jit(lambda key: network.init(key, images, train=False))(
        jax.random.key(0)
    )
    run = jax.jit(
        lambda images, visible: network.apply(
            variables, images, train=True, visible=visible
        )
    )
    visible = jnp.array([[0, 4, 8], [2, 1, 5]])
    found = run(images, visible)
    assert found.shape == (2, 3, 12)
    spoilt = images.at[0, :16, 16:32].set(9.0).at[1, 32:].set(9.0)  # 1; 6 to 8
    np.testing.assert_array_equal(found, run(spoilt, visible))
    shown = images.at[0, :16, :16].set(9.0)
    assert np.abs(found - run(shown, visible))[0].max() > 1e-3
    # the same patches in another order are the same tokens: positions go along
    turned = run(images, visible[:, ::-1])
    np.testing.assert_allclose(turned[:, ::-1], found, atol=1e-5)
    every = jnp.broadcast_to(jnp.arange(9), (2, 9))
    whole = jax.jit(lambda x: network.apply(variables, x, train=False))(images)
    np.testing.assert_allclose(run(images, every), whole.reshape(2, 9, 12), atol=1e-5)


def test_positions_tell_rows_from_columns():
    found = mae_decoder.positions((3, 4), 8)
    assert found.shape == (12, 8) and len({tuple(row) for row in found.tolist()}) == 12
    np.testing.assert_allclose(found[6, 0], np.sin(1.0), rtol=1e-6)  # row 1
    np.testing.assert_allclose(found[6, 4], np.sin(2.0), rtol=1e-6)  # column 2
    with pytest.raises(ValueError, match="decoder_width=6 must be a multiple of 4"):
        mae_decoder.positions((2, 2), 6)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({}, "model.encoder='resnet8' is not"),
        ({"model.encoder": "sam_b16"}, "needs a plain ViT"),
        (
            {"model.encoder": "vit_s16", "views.size": 40},
            "views.size=40 must be a multiple of vit_s16's patches of 16",
        ),
    ],
)
def test_encoders_that_cannot_hide_patches_are_refused(overrides, message):
    settings = config.override(tiny_runs.CONFIG, overrides)
    with pytest.raises(ValueError, match=message):
        mae.make_task(settings, sharding.make_mesh(1))


@pytest.mark.lengthy
def test_whole_images_are_not_encoded():
    """17 tokens with the class token: the encoder has 5 of them, the decoder 16."""
    settings = methods_test.settings_of("mae")
    mesh = sharding.make_mesh(1)
    method = table.make(settings, mesh)
    state = jax.eval_shape(method.init, jax.random.key(0))
    gradient = jax.jit(jax.value_and_grad(method.loss_fn, has_aux=True))
    batch = methods_test.make_batch(0)
    text = gradient.lower(*state, batch, jax.random.key(0)).compile().as_text()
    assert ",5,5]" in text and ",16,16]" in text
    assert ",17,17]" not in text
