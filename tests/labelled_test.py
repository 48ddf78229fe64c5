"""Labelled images: layouts, split, refusals."""

import re

import labelled_files
import numpy as np
import PIL.Image
import pytest
import tifffile

from data_pipelines import labelled

RNG = np.random.default_rng(0)


def picture(*shape):
    return RNG.integers(0, 256, shape or (20, 24), np.uint8)


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(pixels).save(path)


@pytest.fixture
def classes(tmp_path):
    for name, count in (("benign", 20), ("malignant", 8)):
        for index in range(count):
            save(tmp_path / name / f"{index}.png", picture())
    return tmp_path


@pytest.fixture
def masks(tmp_path):
    for index in range(8):
        save(tmp_path / "images" / f"{index}.png", picture())
        mask = np.zeros((20, 24), np.uint8)
        mask[5:9, 5:9] = 255
        save(tmp_path / "labels" / f"{index}.png", mask)
    return tmp_path


def test_class_folders(classes):
    found = labelled.load(str(classes), 0)
    assert found.class_names == ("benign", "malignant")
    assert found.labels.tolist() == [0] * 20 + [1] * 8
    assert found.masks is None and found.images[0].shape == (20, 24)
    test = found.labels[found.is_test].tolist()
    assert (test.count(0), test.count(1)) == (5, 2)


def test_split_follows_the_seed_and_the_content(classes):
    one, same, other = (labelled.load(str(classes), seed).is_test for seed in (0, 0, 1))
    assert (one == same).all() and (one != other).any()
    (classes / "benign" / "0.png").rename(classes / "benign" / "99.png")
    renamed = labelled.load(str(classes), 0).is_test
    assert renamed[19] == one[0] and (renamed[:19] == one[1:20]).all()


def test_duplicates_stand_on_one_side(classes):
    for index in range(8):
        copy = (classes / "benign" / f"{index}.png").read_bytes()
        (classes / "benign" / f"copy{index}.png").write_bytes(copy)
    found = labelled.load(str(classes), 3)
    sides = {}
    for pixels, is_test in zip(found.images, found.is_test, strict=True):
        assert sides.setdefault(pixels.tobytes(), is_test) == is_test


def test_the_way_a_grey_image_was_saved_tells_nothing(classes):
    grey = picture()
    save(classes / "benign" / "rgb.png", np.stack([grey] * 3, axis=-1))
    assert all(image.ndim == 2 for image in labelled.load(str(classes), 0).images)


def test_thumbnails_of_a_tiff_are_not_its_image(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        with tifffile.TiffWriter(tmp_path / name / "1.tif") as writer:
            writer.write(np.zeros((20, 25), np.uint8), subfiletype=1)
            writer.write(np.full((40, 50), ord(name[0]), np.uint8))
    found = labelled.load(str(tmp_path), seed=0)
    assert [image.shape for image in found.images] == [(40, 50)] * 2


def test_masks_of_equal_names(masks):
    found = labelled.load(str(masks), 0)
    assert found.labels is None and found.mask_names == ("background", "foreground")
    assert found.masks[0].max() == 1 and found.masks[0].sum() == 16
    assert found.is_test.sum() == 2


def test_16_bit_masks_count_instances(masks):
    instances = np.arange(20 * 24, dtype=np.uint16).reshape(20, 24)
    save(masks / "labels" / "0.png", instances)
    assert labelled.load(str(masks), 0).masks[0].sum() == 20 * 24 - 1


def test_mask_classes_are_numbered_from_one(masks):
    mask = np.zeros((20, 24), np.uint8)
    mask[0, 0], mask[0, 1] = 3, 255
    save(masks / "labels" / "0.png", mask)
    found = labelled.load(str(masks), 0)
    assert found.mask_names == ("background", "3", "255")
    assert found.masks[0][0, :3].tolist() == [1, 2, 0]


def test_packaged_brain():
    found = labelled.load("packaged:mni", 0)
    assert found.class_names == ("axial", "coronal", "sagittal")
    assert found.mask_names == ("other", "grey matter", "white matter")
    assert (~found.is_test).sum() == found.is_test.sum() == 120
    for side in (found.is_test, ~found.is_test):
        assert np.bincount(found.labels[side]).tolist() == [40, 40, 40]
    for image, mask in zip(found.images, found.masks, strict=True):
        assert image.shape == mask.shape == (73, 73)
    brightness = [
        np.mean([image[mask == tissue].mean() for image, mask in pairs])
        for tissue in (1, 2)
        for pairs in [
            [
                pair
                for pair in zip(found.images, found.masks, strict=True)
                if (pair[1] == tissue).any()
            ]
        ]
    ]
    assert brightness[0] + 30 < brightness[1]  # T1: white matter is brighter


def refused(path, pattern):
    with pytest.raises((ValueError, FileNotFoundError), match=pattern) as error:
        labelled.load(str(path), 0)
    assert "\n" not in str(error.value)


def test_mistakes_are_one_line(classes, tmp_path):
    refused(tmp_path / "nowhere", "nowhere: no such folder")
    (tmp_path / "empty").mkdir()
    refused(tmp_path, "empty: no image")
    refused(tmp_path / "empty", "needs one folder of images a class")
    (tmp_path / "empty" / "doe.png").write_bytes(b"broken")
    refused(tmp_path, re.compile(r"empty: #0001 [0-9a-f]{12} not a PNG"))


def test_mistakes_of_masks_name_the_image(masks):
    save(masks / "labels" / "3.png", np.zeros((20, 23), np.uint8))
    refused(masks, r"images/ #0004 .* is \(20, 24\) pixels, its mask .* \(20, 23\)")
    (masks / "labels" / "3.png").unlink()
    refused(masks, "images/ #0004 .* no file of equal name in labels/")
    save(masks / "labels" / "3.png", picture(20, 24, 3))
    refused(masks, "colour picture, not a mask")
    save(masks / "labels" / "3.png", picture(20, 24))
    refused(masks, "instances are stored in 16 bits")


@pytest.fixture
def parts(tmp_path):
    """A split made by others; the value of a mask's class differs between its sides."""
    for part, value in (("train", 1), ("val", 1), ("test", 2)):
        for index in range(3):
            save(tmp_path / "classes" / part / "a" / f"{index}.png", picture())
            save(tmp_path / "classes" / part / "b" / f"{index}.png", picture())
            save(tmp_path / "masks" / part / "images" / f"{index}.png", picture())
            mask = np.zeros((20, 24), np.uint8)
            mask[:9] = value
            save(tmp_path / "masks" / part / "labels" / f"{index}.png", mask)
    return tmp_path


@pytest.mark.parametrize("part", ["test", "val"])
def test_a_split_of_folders_is_kept(parts, part):
    found = labelled.load(str(parts / "classes"), 0, part)
    assert found.class_names == ("a", "b")
    assert found.labels.tolist() == [0, 0, 0, 1, 1, 1] * 2
    assert found.is_test.tolist() == [False] * 6 + [True] * 6
    first = PIL.Image.open(parts / "classes" / part / "a" / "0.png")
    assert (found.images[6] == np.asarray(first)).all()


def test_masks_of_both_sides_share_their_numbers(parts):
    found = labelled.load(str(parts / "masks"), 0)
    assert found.mask_names == ("background", "1", "2")
    assert [mask.max() for mask in found.masks] == [1, 1, 1, 2, 2, 2]


def test_splits_that_do_not_fit_are_refused(parts):
    classes = parts / "classes"
    save(classes / "test" / "c" / "0.png", picture())
    with pytest.raises(ValueError, match="test/ has c, train/ has no such class"):
        labelled.load(str(classes), 0)
    (parts / "masks" / "val").rename(parts / "elsewhere")
    with pytest.raises(ValueError, match="has train/ but no val/"):
        labelled.load(str(parts / "masks"), 0, "val")
    with pytest.raises(ValueError, match="no val/ beside train/"):
        labelled.load(str(parts / "elsewhere"), 0, "val")
    (parts / "elsewhere").rename(classes / "val2")
    (classes / "val").rename(parts / "gone")
    (classes / "val2").rename(classes / "val")
    with pytest.raises(ValueError, match="different layouts"):
        labelled.load(str(classes), 0, "val")


def _bytes(images):
    return {image.tobytes() for image in images}


def test_validation_never_looks_at_test_images(classes):
    whole = labelled.load(str(classes), 0)
    tested = _bytes([whole.images[index] for index in np.nonzero(whole.is_test)[0]])
    found = labelled.load_for_validation(str(classes), 0)
    assert not tested & _bytes(found.images)
    assert len(found.images) == (~whole.is_test).sum() == len(found.labels)
    assert 0 < found.is_test.sum() < len(found.images) / 2


def test_validation_takes_val_where_there_is_one(tmp_path):
    for part in ("train", "val", "test"):
        for name in ("a", "b"):
            for index in range(3):
                save(tmp_path / part / name / f"{index}.png", picture())
    found = labelled.load_for_validation(str(tmp_path), 0)
    asked = labelled.load(str(tmp_path), 0, "val")
    assert _bytes(found.images) == _bytes(asked.images)
    assert found.is_test.tolist() == asked.is_test.tolist()


def test_validation_keeps_masks(masks):
    found = labelled.load_for_validation(str(masks), 0)
    assert len(found.masks) == len(found.images) == 6
    assert found.labels is None and found.is_test.any()


def test_rows_of_one_group_stand_on_one_side(tmp_path):
    for index in range(24):
        save(tmp_path / f"{index}.png", picture())
    rows = "".join(f"{i}.png,{'ab'[i // 3 % 2]},{i // 3}\n" for i in range(24))
    (tmp_path / "a.csv").write_text("path,label,group\n" + rows)
    for load in (labelled.load, labelled.load_for_validation):
        found = load(str(tmp_path / "a.csv"), 0)
        sides = found.is_test.reshape(-1, 3)
        assert (sides == sides[:, :1]).all() and 0 < found.is_test.sum() < len(
            sides
        ) * 3


def test_slices_of_one_volume_stand_on_one_side(tmp_path):
    found = labelled.load(str(labelled_files.volumes(tmp_path, 4)), 0)
    assert found.mask_names == ("background", "3", "7")
    assert found.is_test.reshape(4, 5).sum(axis=1).tolist().count(5) == 1
    assert found.is_test.sum() == 5


def test_any_number_of_labels(tmp_path):
    rows = {"train": [[0, 1, 0], [1, 1, 0]], "test": [[0, 0, 1]]}
    found = labelled.load(str(labelled_files.npz(tmp_path / "a.npz", rows)), 0)
    assert found.labels is None and found.class_names == ("0", "1", "2")
    assert found.label_sets.tolist() == [
        [False, True, False],
        [True, True, False],
        [False, False, True],
    ]
    assert found.is_test.tolist() == [False, False, True]


def test_boxes_are_not_for_probes(tmp_path):
    save(tmp_path / "images" / "1.png", picture())
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "1.xml").write_text(
        "<annotation><size><width>24</width><height>20</height></size><object>"
        "<name>a</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax>"
        "<ymax>9</ymax></bndbox></object></annotation>"
    )
    refused(tmp_path, "has boxes; probes take labels or masks")


def blurred(size=64):
    """A picture that has a near hash: coarse structure, unlike any other."""
    coarse = RNG.integers(0, 256, (8, 8), np.uint8)
    return np.asarray(PIL.Image.fromarray(coarse).resize((size, size)))


def test_near_copies_stand_on_one_side(tmp_path):
    for index in range(12):
        one = blurred()
        save(tmp_path / "a" / f"{index}.png", one)
        darker = np.round(one * 0.9).astype(np.uint8)
        save(tmp_path / "a" / f"copy{index}.png", darker)
        save(tmp_path / "b" / f"{index}.png", blurred())
    found = labelled.load(str(tmp_path), 0)
    sides = found.is_test[:24]
    assert 0 < sides.sum() < 24
    assert (sides[:12] == sides[12:]).all()  # 0, 1, ... then copy0, copy1, ...


def test_a_picture_under_two_labels_is_left_out(tmp_path):
    for name in ("a", "b"):
        for index in range(6):
            save(tmp_path / name / f"{index}.png", picture())
    both = picture()
    for place in ("a/8.png", "a/9.png", "b/9.png"):
        save(tmp_path / place, both)
    found = labelled.load(str(tmp_path), 0)
    assert found.contradicted == 3 and len(found.images) == 12
    assert not any(np.array_equal(one, both) for one in found.images)


def test_a_given_split_stays_whole(parts):
    both = picture()
    save(parts / "classes" / "train" / "a" / "both.png", both)
    save(parts / "classes" / "test" / "b" / "both.png", both)
    found = labelled.load(str(parts / "classes"), 0)
    assert found.contradicted == 2
    assert sum(np.array_equal(one, both) for one in found.images) == 2
