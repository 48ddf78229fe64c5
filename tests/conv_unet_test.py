import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lvmmed_jax.models import conv_unet, vit, vit_table


def test_channels_are_those_of_the_papers_code_for_vit_b():
    shapes = jax.eval_shape(
        lambda: conv_unet.ConvUNet(2, 768).init(
            jax.random.key(0), jnp.zeros((1, 32, 32, 3)), lambda x: x, train=False
        )
    )["params"]
    assert shapes["Conv_0"]["kernel"].shape == (7, 7, 3, 96)
    widths = [
        shapes[f"Bottleneck_{index}"]["Conv_1"]["kernel"].shape for index in range(3)
    ]
    assert widths == [(3, 3, width, width) for width in (192, 384, 768)]
    assert shapes["Conv_1"]["kernel"].shape == (3, 3, 768, 384)
    decoder = [
        shapes[f"up_{level}"]["Conv_0"]["kernel"].shape[2:] for level in (3, 2, 1, 0)
    ]
    into = (384 + 384, 192 + 192, 96 + 96, 48)
    assert decoder == list(zip(into, (192, 96, 48, 12), strict=True))
    assert shapes["scores"]["kernel"].shape == (1, 1, 12, 2)


def test_the_blocks_see_a_sixteenth_and_the_scores_the_image():
    size, seen = (37, 50), []

    def blocks(feature_map):
        seen.append(feature_map.shape)
        return feature_map

    network, images = conv_unet.ConvUNet(3, 16), jnp.zeros((2, *size, 3))
    scores, _ = jax.eval_shape(
        lambda key: network.init_with_output(key, images, blocks, train=False),
        jax.random.key(0),
    )
    assert seen[-1] == (2, -(-size[0] // 16), -(-size[1] // 16), 16)
    assert scores.shape == (2, *size, 3)


def test_enlarging_puts_corners_on_corners():
    x = jnp.arange(6.0).reshape(1, 2, 3, 1)
    found = conv_unet._enlarge(x, (3, 5))[0, ..., 0]
    rows = np.array([[0, 0.5, 1, 1.5, 2], [3, 3.5, 4, 4.5, 5]])
    expected = np.stack([rows[0], rows.mean(axis=0), rows[1]])
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.slow
def test_blocks_alone_are_those_of_the_whole_transformer():
    """Without positions, tokens and final norm the two are one."""
    row = vit_table.VARIANTS["sam_b16"]
    assert row.absolute is not None and not row.class_token and not row.final_norm
    model = vit.ViT("sam_b16", 4)
    images = jax.random.normal(jax.random.key(0), (1, 32, 32, 3))
    params = model.init(jax.random.key(1), images, train=False)["params"]
    params["positions"] = jnp.zeros_like(params["positions"])
    layer = params["patch_embedding"]
    tiles = images.reshape(1, 2, 16, 2, 16, 3).swapaxes(2, 3).reshape(1, 2, 2, -1)
    embedded = tiles @ layer["kernel"].reshape(-1, layer["kernel"].shape[-1])
    embedded = embedded + layer["bias"][None, None, None]
    whole = model.apply({"params": params}, images, train=False)
    alone = vit.apply_blocks("sam_b16", 4, jnp.float32, False, params, embedded)
    np.testing.assert_allclose(alone, whole, rtol=1e-4, atol=1e-5)
