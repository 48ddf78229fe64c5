"""Augmentation: masks and boxes follow their images; one key an image."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from lvmmed_jax import augmentation, config

STILL = config.Augmentation(
    flip_probability=0.0,
    flip_rows_probability=0.0,
    rotation=0.0,
    scale=(1.0, 1.0),
    shift=0.0,
    elastic_probability=0.0,
    brightness=0.0,
    contrast=0.0,
    gamma=(1.0, 1.0),
    noise=0.0,
)
GEOMETRY = dataclasses.replace(
    STILL,
    flip_probability=0.5,
    flip_rows_probability=0.5,
    rotation=40.0,
    scale=(0.7, 1.4),
    shift=0.1,
    elastic_probability=1.0,
)
SIDE = 48


def batch(count=8, channels=1):
    """Noise of 40 x 48 in a square, with a mask that says where it is bright."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 2, (count, 5, 6))
    mask = np.zeros((count, SIDE, SIDE), np.int32)
    mask[:, :40] = np.kron(coarse, np.ones((8, 8), int))
    image = np.repeat((50 + 150 * mask)[..., None], channels, axis=-1)
    image[:, 40:] = 0
    return {
        "image": image.astype(np.uint8),
        "inner": np.tile(np.array([40, 48], np.int32), (count, 1)),
        "mask": mask,
        "index": np.arange(count),
    }


CHANGED = jax.jit(augmentation.augment, static_argnames="settings")


def run(given, settings, key=0):
    found = CHANGED(given, jax.random.key(key), settings=settings)
    return {name: np.asarray(x) for name, x in found.items()}


def boxed(boxes, classes):
    given = batch(len(boxes))
    del given["mask"]
    return {
        **given,
        "boxes": np.array(boxes, np.float32),
        "classes": np.array(classes, np.int32),
    }


@pytest.mark.parametrize("channels", [1, 3])
def test_nothing_changes_where_all_is_off(channels):
    given = batch(channels=channels)
    found = run(given, STILL)
    plain = np.asarray(augmentation.plain(jnp.asarray(given["image"])))
    assert found["image"].shape == plain.shape == (8, SIDE, SIDE, 3)
    np.testing.assert_allclose(found["image"], plain, atol=1e-5)
    assert (found["mask"] == given["mask"]).all()
    assert (found["index"] == given["index"]).all()


def test_masks_follow_their_images():
    given = batch()
    found = run(given, GEOMETRY)
    grey = found["image"][..., 0] * 255
    seen = grey > 0
    # bright where the mask is, dark where it is not, but for pixels on an edge
    clear = seen & ((grey < 51) | (grey > 199))
    assert clear.sum() > 0.5 * seen.sum() > 0
    assert ((grey > 125) == (found["mask"] == 1))[clear].all()
    assert (found["mask"][~seen] == 0).all() and not seen[:, 40:].any()
    changed = (found["mask"] != given["mask"]).any(axis=(1, 2))
    assert changed.all() and set(np.unique(found["mask"])) == {0, 1}


def test_flips_are_exact():
    left = dataclasses.replace(STILL, flip_probability=1.0)
    given = batch()
    found = run(given, left)
    assert (found["mask"] == given["mask"][:, :, ::-1]).all()
    down = dataclasses.replace(STILL, flip_rows_probability=1.0)
    found = run(given, down)
    # the image lies in the upper 40 rows, and stays there
    assert (found["mask"][:, :40] == given["mask"][:, 39::-1]).all()
    plain = given["image"][:, 39::-1, :, 0] / 255
    np.testing.assert_allclose(found["image"][:, :40, :, 0], plain, atol=1e-5)


def test_a_quarter_turn_turns():
    settings = dataclasses.replace(STILL, rotation=90.0)
    given = batch(1)
    given = {**given, "inner": np.full((1, 2), SIDE, np.int32)}
    keys = range(200)
    turns = np.stack([run(given, settings, key)["mask"][0] for key in keys])
    expected = [np.rot90(given["mask"][0], k) for k in (1, -1)]
    most = max((turns == each).mean(axis=(1, 2)).max() for each in expected)
    assert most > 0.95  # one of 200 angles is nearly 90 degrees


def test_boxes_follow_flips_scales_and_shifts():
    settings = dataclasses.replace(
        GEOMETRY, rotation=0.0, elastic_probability=0.0, least_box_share=0.0
    )
    given = boxed([[[8, 12, 24, 36], [-1] * 4]] * 16, [[2, -1]] * 16)
    painted = np.zeros((16, SIDE, SIDE, 1), np.uint8)
    painted[:, 8:24, 12:36] = 255
    given["image"] = painted
    found = run(given, settings)
    assert (found["classes"] == [2, -1]).all() and (found["boxes"][:, 1] == -1).all()
    for image, (y0, x0, y1, x1) in zip(
        found["image"][..., 0], found["boxes"][:, 0], strict=True
    ):
        rows = np.flatnonzero(image.max(axis=1) > 0.5)
        columns = np.flatnonzero(image.max(axis=0) > 0.5)
        edges = [rows[0], columns[0], rows[-1] + 1, columns[-1] + 1]
        np.testing.assert_allclose(edges, [y0, x0, y1, x1], atol=0.75)


def test_boxes_are_cut_and_dropped_where_little_is_left():
    # content doubles about (20, 24): rows 0 to 10 leave, 8 to 12 become -4 to 4
    settings = dataclasses.replace(STILL, scale=(2.0, 2.0))
    given = boxed([[[0, 16, 9, 32], [8, 16, 12, 32], [12, 16, 16, 32]]], [[0, 1, 2]])
    found = run(given, settings)
    assert found["classes"].tolist() == [[-1, 1, 2]]
    np.testing.assert_allclose(
        found["boxes"][0],
        [[-1] * 4, [0, 8, 4, 40], [4, 8, 12, 40]],
        atol=1e-3,
    )


def test_boxes_refuse_what_turns_or_bends():
    with pytest.raises(ValueError, match="set rotation and elastic_probability to 0"):
        run(boxed([[[0, 0, 9, 9]]], [[0]]), config.Augmentation())


def test_intensity_stays_in_range_and_leaves_masks_and_padding():
    settings = dataclasses.replace(
        STILL, brightness=0.5, contrast=0.5, gamma=(0.5, 2.0), noise=0.1
    )
    given = batch()
    found = run(given, settings)
    assert (found["mask"] == given["mask"]).all()
    assert found["image"].min() >= 0 and found["image"].max() <= 1
    assert not found["image"][:, 40:].any()
    plain = given["image"] / 255
    assert (np.abs(found["image"] - plain).mean(axis=(1, 2, 3)) > 0.005).all()


def test_keys_decide_and_images_differ():
    given = {name: np.repeat(x[:1], 4, axis=0) for name, x in batch().items()}
    one, same, other = (run(given, GEOMETRY, key)["image"] for key in (0, 0, 1))
    assert (one == same).all() and (one != other).any()
    assert (one[0] != one[1]).any()  # equal images, own keys


def test_the_number_of_devices_changes_no_number():
    given = batch()
    expected = run(given, GEOMETRY)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    shards = jax.device_put(given, NamedSharding(mesh, P("data")))
    found = run(shards, GEOMETRY)
    assert (found["mask"] == expected["mask"]).all()
    np.testing.assert_allclose(found["image"], expected["image"], atol=1e-6)
