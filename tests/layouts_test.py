"""Every layout is recognised; what does not fit is refused or counted."""

import re

import nibabel
import numpy as np
import pytest
from labelled_files import (
    CONTEXT,
    class_folders,
    coco,
    masks,
    picture,
    save,
    voc,
    volumes,
)

from data_pipelines.labels import annotations, examples, layouts
from data_pipelines.labels import volumes as volume_files


def find(data):
    return layouts.find(str(data), CONTEXT)


def refused(data, pattern):
    with pytest.raises((ValueError, FileNotFoundError), match=pattern) as error:
        find(data)
    assert "\n" not in str(error.value)


def counted(listing):
    return examples.counts(listing.notes)


def test_class_folders_in_natural_order(tmp_path):
    found = find(class_folders(tmp_path, grade10=1, grade2=11))
    assert found.kind == examples.CLASSES
    assert found.class_names == ("grade2", "grade10")
    assert [each.label for each in found.examples] == ["grade2"] * 11 + ["grade10"]
    assert found.examples[10].image.path.name == "10.png"


def test_folders_of_whole_numbers_are_grades(tmp_path):
    found = find(class_folders(tmp_path, **{"0": 1, "4": 1, "1": 1}))
    assert found.class_names == ("0", "1", "2", "3", "4")
    assert [each.label for each in found.examples] == ["0", "1", "4"]


def test_an_empty_class_folder_is_refused(tmp_path):
    class_folders(tmp_path, a=1)
    (tmp_path / "b").mkdir()
    refused(tmp_path, "b: no image")


def test_masks_pair_by_name_and_known_endings(tmp_path):
    masks(tmp_path, 3)
    labels = tmp_path / "labels"
    (labels / "0.png").rename(labels / "0_segmentation.png")
    found = find(tmp_path)
    assert [each.mask.path.name for each in found.examples] == [
        "0_segmentation.png",
        "1.png",
        "2.png",
    ]


def test_masks_without_images_and_the_reverse_are_counted_by_public_names(tmp_path):
    masks(tmp_path, 4)
    (tmp_path / "labels" / "3.png").rename(tmp_path / "labels" / "doe_jane.png")
    found = find(tmp_path)
    assert len(found.examples) == 3
    assert counted(found) == {layouts.NO_IMAGE: 1, layouts.NO_MASK: 1}
    told = "\n".join(str(note) for note in found.notes)
    assert re.search(r"images/ #0004 [0-9a-f]{12} no file of equal name", told)
    assert "jane" not in told


def test_names_that_mean_two_files_are_refused(tmp_path):
    masks(tmp_path, 2)
    save(tmp_path / "labels" / "1.tif", picture(0))
    refused(tmp_path, r"labels/ #000\d [0-9a-f]{12} and another file differ in their")
    (tmp_path / "labels" / "1.tif").unlink()
    save(tmp_path / "images" / "1.jpg", picture(0))
    refused(tmp_path, r"images/ #000\d [0-9a-f]{12} and another file differ in their")


def test_volumes_count_slice_by_slice(tmp_path):
    found = find(volumes(tmp_path, 2))
    assert len(found.examples) == 2 * 5  # of shape 6, 7, 5; axial
    places = [(each.volume, each.image.index, each.mask.index) for each in found[3]]
    assert places == [(volume, k, k) for volume in range(2) for k in range(5)]


def test_volumes_that_do_not_fit_their_labels_are_counted(tmp_path):
    volumes(tmp_path, 5)
    labels = tmp_path / "labels"
    label = nibabel.load(labels / "v0.nii.gz")
    values = np.asarray(label.dataobj)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), labels / "v0.nii.gz")
    nibabel.save(nibabel.Nifti1Image(values[:-1], label.affine), labels / "v1.nii.gz")
    (labels / "v2.nii.gz").write_bytes(b"broken")
    for kind in ("images", "labels"):
        several = nibabel.Nifti1Image(np.zeros((6, 7, 5, 2), np.int16), label.affine)
        nibabel.save(several, tmp_path / kind / "v3.nii.gz")
    found = find(tmp_path)
    assert counted(found) == {
        volume_files.AXES_DIFFER: 1,
        volume_files.SHAPE_DIFFERS: 1,
        volume_files.UNREADABLE: 1,
        volume_files.NOT_3D: 1,
    }
    assert {each.volume for each in found.examples} == {0}


def test_pascal_voc(tmp_path):
    for index in range(3):
        save(tmp_path / "images" / f"{index}.png", picture(index))
    folder = tmp_path / "annotations"
    voc(folder / "0.xml", [(1, 2, 11, 22, "b"), (5, 5, 5, 9, "a"), (0, 0, 9, 9, "a")])
    voc(folder / "1.xml", [], size=(0, 0))
    voc(folder / "9.xml", [(1, 1, 2, 2, "c")])
    found = find(tmp_path)
    assert found.kind == examples.BOXES and found.class_names == ("a", "b")
    assert found.examples[0].boxes == ((1, 2, 11, 22, "b"), (0, 0, 9, 9, "a"))
    assert found.examples[0].stated_size == (40, 48)
    assert found.examples[1].boxes == () and found.examples[1].stated_size is None
    assert counted(found) == {
        annotations.NO_AREA: 1,
        annotations.NO_ANNOTATION: 1,
        annotations.NO_PICTURE: 1,
    }


@pytest.mark.parametrize(
    "text",
    [
        "<annotation>",
        "<!DOCTYPE a [<!ENTITY b 'c'>]><annotation><x>&b;</x></annotation>",
        "<annotation><object><name>a</name></object></annotation>",
        "<annotation><object><name>a</name><bndbox><xmin>nan</xmin><ymin>0</ymin>"
        "<xmax>3</xmax><ymax>3</ymax></bndbox></object></annotation>",
    ],
)
def test_a_broken_annotation_costs_its_picture_only(tmp_path, text):
    for index in range(2):
        save(tmp_path / "images" / f"{index}.png", picture(index))
        voc(tmp_path / "annotations" / f"{index}.xml", [(0, 0, 5, 5, "a")])
    (tmp_path / "annotations" / "1.xml").write_text(text)
    found = find(tmp_path)
    assert len(found.examples) == 1 and counted(found) == {annotations.BROKEN: 1}


def test_coco(tmp_path):
    for index in range(4):
        save(tmp_path / "images" / f"{index}.png", picture(index))
    box = {"image_id": 7, "category_id": 30, "bbox": [2, 1, 20, 10]}
    coco(
        tmp_path / "annotations" / "all.json",
        [
            {"id": 7, "file_name": "train/0.png", "height": 40, "width": 48},
            {"id": 8, "file_name": "1.png"},
            {"id": 9, "file_name": "../gone.png"},
            {"id": 10, "file_name": "3.png"},
        ],
        [
            box,
            {**box, "iscrowd": 1},
            {**box, "bbox": [2, 1, 0, 10]},
            {**box, "image_id": 99},
            {**box, "image_id": 10, "category_id": 4},
        ],
        [{"id": 30, "name": "x"}, {"id": 4, "name": "y"}, {"id": 31, "name": "never"}],
    )
    found = find(tmp_path)
    assert found.class_names == ("y", "x", "never")  # by number
    assert [each.boxes for each in found.examples] == [
        ((1, 2, 11, 22, "x"),),
        (),
        ((1, 2, 11, 22, "y"),),
    ]
    assert [each.stated_size for each in found.examples] == [(40, 48), None, None]
    assert counted(found) == {
        annotations.CROWD: 1,
        annotations.NO_AREA: 1,
        annotations.NO_ANNOTATION: 1,
        annotations.NO_PICTURE: 2,
    }


def test_annotations_of_no_kind_are_refused(tmp_path):
    save(tmp_path / "images" / "0.png", picture(0))
    folder = tmp_path / "annotations"
    folder.mkdir()
    refused(tmp_path, "needs one .xml a picture .* has 0 and 0")
    (folder / "a.json").write_text("[1, 2]")
    refused(tmp_path, "a.json: not a COCO file")
    voc(folder / "0.xml", [])
    refused(tmp_path, "has 1 and 1")
    (folder / "a.json").unlink()
    (tmp_path / "labels").mkdir()
    refused(tmp_path, "both labels/ and annotations/")
    (tmp_path / "labels").rmdir()
    (folder / "0.xml").rename(folder / "7.xml")
    refused(tmp_path, "annotates no picture")


def test_a_split_made_by_others_is_kept(tmp_path):
    for part, count in (("train", 3), ("val", 1), ("test", 2)):
        volumes(tmp_path / part, count)
    found = find(tmp_path)
    parts = [each.part for each in found.examples]
    assert parts == ["train"] * 15 + ["val"] * 5 + ["test"] * 10
    assert [each.volume for each in found.examples[::5]] == [0, 1, 2, 3, 4, 5]


def test_a_class_that_only_the_test_knows_is_refused(tmp_path):
    class_folders(tmp_path / "train", a=1, b=1)
    class_folders(tmp_path / "test", a=1)
    assert find(tmp_path).class_names == ("a", "b")
    class_folders(tmp_path / "test", c=1)
    refused(tmp_path, "test/ has c, train/ has no such class")


def test_what_is_no_data_is_refused(tmp_path):
    refused(tmp_path / "gone", "no such folder")
    refused(save(tmp_path / "0.png", picture(0)), "neither a folder, a .csv nor an")
