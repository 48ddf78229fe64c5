import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lvmmed_jax.models import unet


def _maps(sizes, width=3):
    keys = jax.random.split(jax.random.key(0), len(sizes))
    return [
        jax.random.normal(key, (2, *size, width))
        for key, size in zip(keys, sizes, strict=True)
    ]


@pytest.mark.parametrize(
    ("size", "sizes"),
    [
        ((16, 16), [(8, 8), (4, 4), (2, 2)]),
        ((21, 13), [(11, 7), (6, 4), (3, 2)]),  # halves are rounded up
        ((16, 16), [(4, 4), (2, 2)]),  # no map at half of the size
    ],
)
def test_scores_have_the_size_of_the_image(size, sizes):
    maps = _maps(sizes)
    decoder = unet.UNet(4, width=2)
    scores, _ = jax.eval_shape(
        lambda key: decoder.init_with_output(key, maps, size, train=False),
        jax.random.key(1),
    )
    assert scores.shape == (2, *size, 4) and scores.dtype == jnp.float32


def test_decoder_has_the_papers_channels():
    sizes = [(32 >> i, 32 >> i) for i in range(1, 6)]
    widths = (64, 256, 512, 1024, 2048)
    maps = [jnp.zeros((1, *s, w)) for s, w in zip(sizes, widths, strict=True)]
    shapes = jax.eval_shape(
        lambda: unet.UNet(2).init(jax.random.key(0), maps, (32, 32), train=False)
    )["params"]
    kernels = [
        shapes[f"up_{level}"][f"Conv_{index}"]["kernel"].shape
        for level in (4, 3, 2, 1, 0)
        for index in (0, 1)
    ]
    # segmentation_models_pytorch: Unet("resnet50"), channels in and out of each block
    into = (2048 + 1024, 256 + 512, 128 + 256, 64 + 64, 32)
    out = (256, 128, 64, 32, 16)
    expected = [
        (3, 3, first, width)
        for a, width in zip(into, out, strict=True)
        for first in (a, width)
    ]
    assert kernels == expected
    assert shapes["scores"]["kernel"].shape == (3, 3, 16, 2)


def test_every_map_changes_the_scores():
    size, maps = (16, 16), _maps([(8, 8), (4, 4), (2, 2)])
    decoder = unet.UNet(2, width=2)
    variables = decoder.init(jax.random.key(1), maps, size, train=False)

    def total(maps):
        return jnp.sum(decoder.apply(variables, maps, size, train=False) ** 2)

    assert all(np.abs(each).sum() > 0 for each in jax.grad(total)(maps))


def test_maps_that_are_no_halvings_are_refused():
    decoder = unet.UNet(2, width=2)
    with pytest.raises(ValueError, match=r"\(3, 3\) is no halving of .*\(16, 16\)"):
        decoder.init(jax.random.key(0), _maps([(3, 3)]), (16, 16), train=False)
    with pytest.raises(ValueError, match=r"\(5, 5\) is no halving of \(16, 16\)"):
        maps = _maps([(5, 5), (2, 2)])
        decoder.init(jax.random.key(0), maps, (16, 16), train=False)


def test_a_linear_head_is_one_layer_a_cell():
    maps = _maps([(4, 4)])
    head = unet.LinearDense(2)
    variables = head.init(jax.random.key(1), maps, (4, 4), train=True)
    layer = variables["params"]["Conv_0"]
    expected = np.asarray(maps[0]) @ np.asarray(layer["kernel"])[0, 0]
    found = head.apply(variables, maps, (4, 4), train=True)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert head.apply(variables, maps, (9, 6), train=True).shape == (2, 9, 6, 2)
