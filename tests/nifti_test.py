"""NIfTI volumes as slices along anatomical planes."""

import nibabel
import numpy as np
import pytest

from data_pipelines import nifti, slices

ALL = ("axial", "coronal", "sagittal")


def save(path, volume, affine=None):
    affine = np.diag([2.0, 3.0, 4.0, 1.0]) if affine is None else affine
    nibabel.save(nibabel.Nifti1Image(volume, affine), path)
    return path


def read(path, modality=None, planes=ALL):
    return list(nifti.read(path, slices.Context("v", modality, tuple(planes))))


@pytest.fixture
def volume():
    return np.random.default_rng(0).normal(size=(5, 6, 7)).astype(np.float32)


def test_planes_have_their_shape_spacing_and_index(tmp_path, volume):
    pieces = read(save(tmp_path / "a.nii.gz", volume))
    assert len(pieces) == 5 + 6 + 7
    axial, coronal, sagittal = pieces[0], pieces[7], pieces[13]
    assert axial.pixels.shape == (6, 5) and axial.spacing == (3.0, 2.0)
    assert coronal.pixels.shape == (7, 5) and coronal.spacing == (4.0, 2.0)
    assert sagittal.pixels.shape == (7, 6) and sagittal.spacing == (4.0, 3.0)
    assert [piece.index for piece in pieces[:7]] == list(range(7))


def test_front_is_up_and_the_right_side_is_left(tmp_path):
    volume = np.zeros((5, 6, 7), np.float32)
    volume[4, 5, 6] = 1  # right, anterior, superior
    axial = nifti.cut(volume, "axial", 6)
    coronal = nifti.cut(volume, "coronal", 5)
    sagittal = nifti.cut(volume, "sagittal", 4)
    assert axial[0, 0] == coronal[0, 0] == sagittal[0, 0] == 1


def test_stored_orientation_does_not_matter(tmp_path, volume):
    flipped = np.diag([-2.0, 3.0, 4.0, 1.0])
    plain = read(save(tmp_path / "a.nii", volume))
    turned = read(save(tmp_path / "b.nii", volume[::-1].copy(), flipped))
    for one, other in zip(plain, turned, strict=True):
        np.testing.assert_array_equal(one.pixels, other.pixels)


def test_scale_is_that_of_the_volume(tmp_path, volume):
    volume[..., 0] -= 100
    first = read(save(tmp_path / "a.nii", volume), planes=["axial"])[0]
    assert first.pixels.max() < 10
    assert first.intensity_rule == "percentile_1_99" and first.modality == "OT"


def test_ct_by_the_users_word_is_windowed(tmp_path):
    volume = np.full((4, 4, 4), 40, np.int16)
    piece = read(save(tmp_path / "a.nii", volume), "CT", ["axial"])[0]
    assert piece.intensity_rule == "ct_soft_tissue" and (piece.pixels == 128).all()


def test_four_axes_are_volumes(tmp_path, volume):
    series = np.stack([volume, 100 * volume], axis=-1)
    pieces = read(save(tmp_path / "a.nii", series), planes=["axial"])
    assert len(pieces) == 14
    np.testing.assert_array_equal(pieces[0].pixels, pieces[7].pixels)


def test_two_axes_are_no_volume(tmp_path):
    with pytest.raises(slices.SkippedError, match="axes"):
        read(save(tmp_path / "a.nii", np.zeros((4, 4), np.float32)))
