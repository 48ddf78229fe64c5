"""What tells a transformer of ours from its peers: sizes, tables, compiling."""

import re

import encoder_weights
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lvmmed_jax.models import attention, vit


def test_tiles_that_images_do_not_fill_are_filled_with_zeros():
    variables = encoder_weights.random_variables("vit_s16", 2, 64)
    images = encoder_weights.random_images(1, 50, 33, 3)
    network = encoder_weights.make("vit_s16", 2)
    found = network.apply(variables, images, train=False)
    whole = np.pad(images, ((0, 0), (0, 14), (0, 15), (0, 0)))
    np.testing.assert_allclose(
        found, network.apply(variables, whole, train=False), rtol=1e-5, atol=1e-5
    )
    assert found.shape == (1, 4, 3, 12)


def test_tables_of_one_size_serve_images_of_another():
    network = encoder_weights.make("vit_s16", 2)
    small, large = (
        encoder_weights.random_variables("vit_s16", 2, size) for size in (64, 96)
    )
    assert small["params"]["positions"].shape == (1, 17, 12)
    assert large["params"]["positions"].shape == (1, 37, 12)
    for variables in (small, large):
        maps = network.apply(variables, jnp.zeros((1, 80, 80, 3)), train=False)
        assert maps.shape == (1, 5, 5, 12)


def test_a_table_is_made_for_square_images():
    with pytest.raises(ValueError, match="square images: its table of 2 x 3"):
        encoder_weights.make("vit_s16", 2).init(
            jax.random.key(0), jnp.zeros((1, 32, 48, 3)), False
        )


def test_positions_matter_and_class_token_and_registers_are_no_cells():
    variables = encoder_weights.random_variables("dinov2_s14_reg", 2, 56)
    network = encoder_weights.make("dinov2_s14_reg", 2)
    same = jnp.ones((1, 56, 56, 3))
    maps = network.apply(variables, same, train=False)
    assert maps.shape == (1, 4, 4, 12)
    assert np.std(maps[0].reshape(16, -1), axis=0).min() > 0.01
    params = dict(variables["params"])
    params["positions"] = jnp.zeros_like(params["positions"])
    maps = network.apply({"params": params}, same, train=False)
    np.testing.assert_allclose(maps, jnp.broadcast_to(maps[:, :1, :1], maps.shape))


@pytest.mark.parametrize("grid", [(14, 14), (5, 3), (15, 29)])
def test_windows_are_put_together_again(grid):
    tokens = jax.random.normal(jax.random.key(0), (2, grid[0] * grid[1], 3))
    cut, counts = attention.to_windows(tokens, grid, 7)
    assert cut.shape == (2 * counts[0] * counts[1], 49, 3)
    np.testing.assert_array_equal(cut[0, 0], tokens[0, 0])
    np.testing.assert_array_equal(cut[0, 7], tokens[0, grid[1]])
    np.testing.assert_array_equal(attention.from_windows(cut, grid, counts), tokens)


def test_blocks_are_compiled_apart():
    """Else a gradient's programs read every earlier block: compiled in minutes."""
    if jax.__version_info__ < (0, 12):
        pytest.skip("this jax drops optimisation barriers on a CPU")
    network = encoder_weights.make("vit_s16", 1)
    variables = encoder_weights.random_variables("vit_s16", 1, 32)

    def loss(variables):
        return network.apply(variables, jnp.ones((1, 32, 32, 3)), train=True).sum()

    program = jax.jit(jax.grad(loss)).lower(variables).compile().as_text()
    operands = [
        found.count("%") for found in re.findall(r" fusion\((.*?)\), kind", program)
    ]
    assert len(operands) > 100 and max(operands) < 30


def test_neck_gives_the_decoders_channels():
    maps = jnp.ones((2, 4, 5, 12))
    found, _ = vit.Neck(8).init_with_output(jax.random.key(0), maps)
    assert found.shape == (2, 4, 5, 8) and found.dtype == jnp.float32
