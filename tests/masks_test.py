"""What stored values of masks mean: black and white, halos, classes, instances."""

import io

import numpy as np
import PIL.Image
import pytest

from data_pipelines import slices
from data_pipelines.labels import masks


def stored(path, pixels, **options):
    image = pixels if isinstance(pixels, PIL.Image.Image) else None
    (image or PIL.Image.fromarray(pixels)).save(path, **options)
    return masks.read(path)


def square(value, size=32):
    mask = np.zeros((size, size), np.uint8)
    mask[4:20, 6:22] = value
    return mask


def meaning(*found):
    return masks.meaning((masks.facts(each) for each in found), "data")


def test_black_and_white_is_one_class_however_it_was_stored(tmp_path):
    one, full = (stored(tmp_path / "a.png", square(value)) for value in (1, 255))
    for found in ([one], [full], [one, full]):
        shared = meaning(*found)
        assert shared.names == ("background", "foreground")
        for each in found:
            assert (masks.numbered(each, shared) == square(1)).all()


def test_jpeg_is_cut_at_127(tmp_path):
    lossy = stored(tmp_path / "a.jpg", square(255), quality=30)
    plain = np.asarray(PIL.Image.open(tmp_path / "a.jpg"))
    assert len(np.unique(plain)) > 2  # halos
    assert (lossy.values == (plain > 127)).all() and lossy.two_sided
    colour = np.stack([square(255)] * 3, axis=-1)
    assert (stored(tmp_path / "b.jpg", colour).values == square(1)).mean() > 0.99


def test_png_with_halos_is_cut_at_127(tmp_path):
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 2, (16, 16)).astype(np.uint8)
    mask = np.repeat(np.repeat(255 * noise, 21, axis=0), 21, axis=1)
    PIL.Image.fromarray(mask).save(buffer, "JPEG", quality=60)
    halo = stored(tmp_path / "a.png", np.asarray(PIL.Image.open(buffer)))
    shared = meaning(halo)
    assert len(np.unique(halo.values)) > 32 and shared.threshold == 127
    assert (masks.numbered(halo, shared) == mask // 255).mean() > 0.99


def test_a_grey_picture_is_no_mask(tmp_path):
    grey = np.random.default_rng(0).integers(0, 256, (32, 32)).astype(np.uint8)
    with pytest.raises(slices.SkippedError, match="JPEG of many greys"):
        stored(tmp_path / "a.jpg", grey, quality=95)
    with pytest.raises(ValueError, match="values in 8-bit masks") as error:
        meaning(stored(tmp_path / "a.png", grey))
    assert str(error.value).startswith("data: ")


def test_palettes(tmp_path):
    classes = PIL.Image.fromarray(square(2)).convert("P")
    classes.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    assert (stored(tmp_path / "a.png", classes).values == square(2)).all()
    white_first = PIL.Image.fromarray(1 - square(1)).convert("P")
    white_first.putpalette([255, 255, 255, 0, 0, 0])
    assert (stored(tmp_path / "b.png", white_first).values == square(255)).all()


def test_alpha_and_equal_channels_are_dropped(tmp_path):
    rgba = np.stack([square(3)] * 3 + [np.full((32, 32), 255, np.uint8)], axis=-1)
    assert (stored(tmp_path / "a.png", rgba).values == square(3)).all()
    grey_alpha = np.stack([square(3), np.full((32, 32), 9, np.uint8)], axis=-1)
    assert (stored(tmp_path / "b.png", grey_alpha).values == square(3)).all()


def test_colour_is_refused(tmp_path):
    colour = np.full((16, 16, 3), (90, 20, 20), np.uint8)
    for name in ("a.png", "a.jpg"):
        with pytest.raises(slices.SkippedError, match="colour picture"):
            stored(tmp_path / name, colour)


def test_instances_and_bits_are_foreground(tmp_path):
    instances = np.arange(64, dtype=np.uint16).reshape(8, 8)
    assert stored(tmp_path / "a.png", instances).values.sum() == 63
    assert stored(tmp_path / "b.png", square(1) > 0).values.sum() == 16 * 16


def test_classes_are_numbered_in_order(tmp_path):
    found = stored(tmp_path / "a.png", square(7) + square(93) // 2)
    other = stored(tmp_path / "b.png", square(3))
    shared = meaning(found, other)
    assert shared.names == ("background", "3", "53")  # 7 + 93 // 2
    assert (masks.numbered(found, shared) == square(2)).all()
    with pytest.raises(ValueError, match="other values than when it was first read"):
        masks.numbered(stored(tmp_path / "b.png", square(9)), shared)


def test_classes_beside_instances_are_refused(tmp_path):
    classes = square(1)
    classes[0, 0] = 2
    found = stored(tmp_path / "a.png", classes)
    with pytest.raises(ValueError, match="some masks have 2 classes, others"):
        meaning(found, stored(tmp_path / "b.png", square(1).astype(np.uint16)))


def test_an_empty_set_of_masks_has_no_foreground(tmp_path):
    empty = stored(tmp_path / "a.png", square(0))
    assert not masks.numbered(empty, meaning(empty)).any()
