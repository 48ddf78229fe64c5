import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lvmmed_jax import config, views

PLAIN = config.Views(
    size=16,
    crop_area=(0.3, 1.0),
    jitter_probability=0.0,
    blur_probability=0.0,
)
KEY = jax.random.key(0)
CENTRES = (np.array([1, 3, 5, 7]) / 8,) * 2  # of a 4 x 4 grid of tiles


def _make(images, sizes, settings=PLAIN, key=KEY):
    run = jax.jit(lambda *arrays: views.make_views(*arrays, settings, CENTRES))
    return run(jnp.asarray(images), jnp.asarray(sizes, jnp.int32), key)


def _ramps(height, width, size=40):
    """An image whose red is its row and green its column, zero-padded to `size`."""
    image = np.zeros((size, size, 3), np.uint8)
    rows, columns = np.mgrid[:height, :width]
    image[:height, :width, 0] = (rows + 0.5) / height * 255
    image[:height, :width, 1] = (columns + 0.5) / width * 255
    return image


def test_locations_say_where_the_cells_of_a_view_lie():
    """Of an image that shows its own coordinates, cells show their locations."""
    images = np.stack([_ramps(40, 30), _ramps(25, 40)] * 8)
    made, locations = _make(images, [[40, 30], [25, 40]] * 8)
    cells = made.reshape(16, 2, 4, 4, 4, 4, 3).mean(axis=(3, 5))[..., :2]
    flipped = cells[:, :, :, -1, 1] < cells[:, :, :, 0, 1]
    assert flipped.any() and not flipped.all()
    np.testing.assert_allclose(cells, locations, atol=0.02)


def test_padding_never_shows():
    image = np.zeros((40, 40, 1), np.uint8)
    image[:20, :15] = 200
    made, _ = _make(np.stack([image] * 8), [[20, 15]] * 8)
    np.testing.assert_allclose(made, 200 / 255, atol=1e-5)


def test_views_are_those_of_the_position_and_no_others():
    images = np.random.default_rng(0).integers(0, 255, (4, 40, 40, 1), np.uint8)
    made, _ = _make(images, [[40, 40]] * 4)
    again, _ = _make(images[:2], [[40, 40]] * 2)
    np.testing.assert_allclose(made[:2], again, atol=1e-6)
    assert not np.allclose(made[:, 0], made[:, 1])
    other, _ = _make(images, [[40, 40]] * 4, key=jax.random.key(1))
    assert not np.allclose(made, other)


def test_whole_image_at_its_own_size_is_the_image():
    settings = dataclasses.replace(
        PLAIN, size=40, crop_area=(1.0, 1.0), crop_ratio=(1.0, 1.0), flip_probability=0
    )
    image = np.random.default_rng(1).integers(0, 255, (1, 40, 40, 3), np.uint8)
    made, _ = _make(image, [[40, 40]], settings)
    np.testing.assert_allclose(made[0, 0], image[0] / 255, atol=1e-5)


def test_grey_data_and_grey_colour_data_give_the_same_views():
    grey = np.random.default_rng(2).integers(0, 255, (3, 40, 40, 1), np.uint8)
    settings = dataclasses.replace(PLAIN, jitter_probability=1.0, blur_probability=1.0)
    made, _ = _make(grey, [[40, 40]] * 3, settings)
    colour, _ = _make(np.repeat(grey, 3, axis=3), [[40, 40]] * 3, settings)
    np.testing.assert_allclose(made, colour, atol=2e-5)


def test_hue_turns_colour_and_keeps_luma():
    view = jnp.full((2, 2, 3), 0.5).at[..., 0].set(0.7)
    turned = views._turn_hue(view, jnp.float32(1.0))
    np.testing.assert_allclose(views._grey(turned), views._grey(view), atol=1e-3)
    assert np.abs(turned - view).max() > 0.05
    whole = views._turn_hue(view, jnp.float32(2 * np.pi))
    np.testing.assert_allclose(whole, view, atol=1e-5)


@pytest.mark.parametrize("sigma", [0.5, 1.5])
def test_blur_spreads_a_point_as_a_gaussian(sigma):
    settings = dataclasses.replace(
        PLAIN, blur_probability=1.0, blur_sigma=(sigma, sigma)
    )
    point = jnp.zeros((33, 33, 1)).at[16, 16].set(1.0)
    draws = views._Draws(*jnp.zeros(len(views._Draws._fields)))
    blurred = np.asarray(views._blur(point, draws, settings))[..., 0]
    np.testing.assert_allclose(blurred.sum(), 1.0, rtol=1e-5)
    ratio = blurred[16, 17] / blurred[16, 16]
    np.testing.assert_allclose(ratio, np.exp(-1 / (2 * sigma**2)), rtol=1e-4)


def test_normalise_by_channel():
    found = views.normalise(jnp.ones((1, 2, 2, 3)), (0.0, 0.5, 1.0), (1.0, 0.5, 2.0))
    np.testing.assert_allclose(found[0, 0, 0], [1.0, 1.0, 0.0])


def _make_small(images, sizes, settings, key=KEY):
    run = jax.jit(lambda *arrays: views.make_small_views(*arrays, settings, CENTRES))
    return run(jnp.asarray(images), jnp.asarray(sizes, jnp.int32), key)


SMALL = dataclasses.replace(
    PLAIN, small_crops=3, small_size=8, small_crop_area=(0.05, 0.14)
)


def test_small_views_are_of_small_parts_of_the_image():
    """Of images that show their own coordinates."""
    images = np.stack([_ramps(40, 30), _ramps(25, 40)] * 8)
    made, locations = _make_small(images, [[40, 30], [25, 40]] * 8, SMALL)
    assert made.shape == (16, 3, 8, 8, 3) and locations.shape == (16, 3, 4, 4, 2)
    cells = made.reshape(16, 3, 4, 2, 4, 2, 3).mean(axis=(3, 5))[..., :2]
    np.testing.assert_allclose(cells, locations, atol=0.03)
    spread = locations.max(axis=(2, 3)) - locations.min(axis=(2, 3))
    area = np.prod(np.asarray(spread) * 4 / 3, axis=-1)  # of four centres to the whole
    assert area.min() > 0.045 and area.max() < 0.145
    assert len(np.unique(np.round(locations[:, :, 0, 0, 0], 4))) > 40


def test_small_views_change_no_large_one():
    images = np.random.default_rng(0).integers(0, 255, (4, 40, 40, 1), np.uint8)
    large, _ = _make(images, [[40, 40]] * 4)
    beside, _ = _make(images, [[40, 40]] * 4, SMALL)
    np.testing.assert_array_equal(large, beside)


def test_solarised_is_the_second_view_where_it_is_bright():
    images = np.random.default_rng(0).integers(0, 255, (32, 40, 40, 1), np.uint8)
    plain, _ = _make(images, [[40, 40]] * 32)
    for probability in (1.0, 0.5):
        settings = dataclasses.replace(PLAIN, solarise_probability=probability)
        made, _ = _make(images, [[40, 40]] * 32, settings)
        np.testing.assert_array_equal(made[:, 0], plain[:, 0])
        inverted = np.where(plain[:, 1] >= 0.5, 1 - plain[:, 1], plain[:, 1])
        changed = np.abs(made[:, 1] - plain[:, 1]).max(axis=(1, 2, 3)) > 0
        np.testing.assert_allclose(made[changed, 1], inverted[changed], atol=1e-6)
        assert changed.all() if probability == 1 else 4 < changed.sum() < 28
