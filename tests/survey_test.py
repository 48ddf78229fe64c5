"""One look at every example: what is left out, and by which rule."""

import hashlib

import nibabel
import numpy as np
import pytest
from labelled_files import (
    class_folders,
    masks,
    npz,
    picture,
    save,
    surveyed,
    voc,
    volumes,
)

from data_pipelines.labels import examples, survey
from data_pipelines.labels import masks as mask_rules
from data_pipelines.labels import volumes as volume_files
from data_pipelines.readers import volumes as readers_volumes


def counted(found):
    return examples.counts(found.listing.notes)


def test_what_cannot_be_read_is_counted_and_named_by_content(tmp_path):
    class_folders(tmp_path, a=3, b=3)
    (tmp_path / "a" / "1.png").write_bytes(b"broken")
    found = surveyed(tmp_path)
    assert len(found.looks) == 5
    (note,) = found.listing.notes
    assert note.reason == "not a PNG, JPEG, BMP, WebP or TIFF file"
    digest = hashlib.sha256(b"broken").hexdigest()[:12]
    assert note.where == f"{tmp_path / 'a'}: #0002 {digest}"


def test_nothing_left_is_an_error(tmp_path):
    class_folders(tmp_path, a=1)
    (tmp_path / "a" / "0.png").write_bytes(b"broken")
    with pytest.raises(
        ValueError, match=r"no example can be used; the first: .* #0001"
    ):
        surveyed(tmp_path)


def test_one_picture_under_two_labels_is_left_out_with_all_its_copies(tmp_path):
    class_folders(tmp_path, a=3, b=3)
    for place in ("a/8.png", "b/8.png", "b/9.png"):
        save(tmp_path / place, picture(99))
    save(tmp_path / "a" / "7.png", picture(98))
    save(tmp_path / "a" / "6.png", picture(98))  # twice under one label: kept
    found = surveyed(tmp_path)
    assert len(found.looks) == 8 and counted(found) == {survey.TWO_LABELS: 3}


def test_masks_of_another_size_are_left_out(tmp_path):
    masks(tmp_path, 4)
    save(tmp_path / "labels" / "1.png", np.zeros((48, 40), np.uint8))
    save(tmp_path / "labels" / "2.png", picture(0, 40, 48, 3))
    found = surveyed(tmp_path)
    assert [each.image.number for each in found.listing.examples] == [1, 4]
    assert counted(found) == {
        survey.SIZES_DIFFER: 1,
        f"has a mask that {mask_rules.COLOUR}": 1,
    }
    assert [found.has_foreground(index) for index in range(2)] == [False, True]


def test_boxes_are_cut_at_the_edges(tmp_path):
    save(tmp_path / "images" / "0.png", picture(0))  # 40 x 48
    save(tmp_path / "images" / "1.png", picture(1))
    boxes = [(-3, 5, 10, 60, "a"), (41, 0, 50, 9, "a"), (1, 1, 40, 48, "b")]
    voc(tmp_path / "annotations" / "0.xml", boxes)
    voc(tmp_path / "annotations" / "1.xml", boxes, size=(48, 40))
    found = surveyed(tmp_path)
    assert found.listing.examples[0].boxes == (
        (0, 5, 10, 48, "a"),
        (1, 1, 40, 48, "b"),
    )
    assert counted(found) == {
        survey.OUTSIDE: 1,
        survey.ALL_OUTSIDE: 1,
        survey.OTHER_SIZE: 1,
    }
    assert found.classes_of(0) == ("a", "b")


def test_slices_stacked_back_are_the_volume(tmp_path):
    found = surveyed(volumes(tmp_path, 2), cache=tmp_path / "cache")
    assert found.meaning.names == ("background", "3", "7")
    label = nibabel.as_closest_canonical(
        nibabel.load(tmp_path / "labels" / "v1.nii.gz")
    )
    own = [each for each in found.listing.examples if each.volume == 1]
    for decoder in (found.decoder, found.decoder._replace(cache=None)):
        cuts = [decoder.mask(each.mask).values for each in own]
        back = volume_files.stack(cuts, "axial")
        assert (back == np.asarray(label.dataobj)).all() and (back > 0).any()
    shown = [found.decoder.picture(each.image).pixels for each in own]
    image = nibabel.as_closest_canonical(
        nibabel.load(tmp_path / "images" / "v1.nii.gz")
    )
    back = volume_files.stack(shown, "axial").ravel()
    # one scale for the whole volume: the order of its values stays
    order = np.argsort(np.asarray(image.dataobj).ravel())
    assert (np.diff(back[order].astype(int)) >= 0).all() and np.ptp(back) == 255


@pytest.mark.parametrize("plane", ["sagittal", "coronal", "axial"])
def test_every_plane_stacks_back(plane):
    volume = np.arange(3 * 4 * 5).reshape(3, 4, 5)
    length = volume.shape[readers_volumes.PLANES[plane]]
    cuts = [readers_volumes.cut(volume, plane, index) for index in range(length)]
    assert (volume_files.stack(cuts, plane) == volume).all()


def test_a_label_volume_of_fractions_is_left_out(tmp_path):
    volumes(tmp_path, 2)
    path = tmp_path / "labels" / "v0.nii.gz"
    label = nibabel.load(path)
    values = np.asarray(label.dataobj) + np.float32(0.5)
    nibabel.save(nibabel.Nifti1Image(values, label.affine), path)
    found = surveyed(tmp_path)
    assert counted(found) == {
        "has a mask that is no label: its values are no whole numbers": 5
    }


def test_rows_of_an_npz_are_pictures(tmp_path):
    path = npz(tmp_path / "a.npz", {"train": [[0], [1]], "test": [[0]]})
    for cache in (None, tmp_path / "cache"):
        found = surveyed(path, cache)
        place = found.listing.examples[2].image
        assert (found.decoder.picture(place).pixels == picture(2)).all()
        assert place.public() == f"{path}: row 0 of test_images"
