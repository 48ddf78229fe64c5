"""DICOM files as slices, as a viewer shows them."""

import dicom_files
import numpy as np
import pydicom
import pydicom.data
import pytest

from data_pipelines import slices
from data_pipelines.readers import dicom

RAMP = np.add.outer(np.arange(40), np.arange(50)).astype(np.int16)
SCREEN = RAMP.astype(np.uint8)


def read(path, modality=None):
    return list(dicom.read(path, slices.Context("the file", modality)))


def test_rescaled_ct_is_windowed_in_hounsfield_units(tmp_path):
    stored = np.full((40, 40), 1024, np.int16)  # water
    stored[0, 0] = 0  # air
    path = dicom_files.write(
        tmp_path / "a", stored, modality="CT", RescaleSlope=1, RescaleIntercept=-1024
    )
    (piece,) = read(path)
    assert piece.intensity_rule == "ct_soft_tissue"
    assert piece.pixels[0, 0] == 0 and piece.pixels[1, 1] == 102  # 160 of 400


def test_frames_with_their_own_slope_share_one_scale(tmp_path):
    groups = []
    for slope in (1, 2):
        transform, group = pydicom.Dataset(), pydicom.Dataset()
        transform.RescaleSlope, transform.RescaleIntercept = slope, 0
        group.PixelValueTransformationSequence = [transform]
        groups.append(group)
    path = dicom_files.write(
        tmp_path / "a",
        np.stack([RAMP, RAMP]),
        PerFrameFunctionalGroupsSequence=groups,
    )
    first, second = read(path)
    assert (first.index, second.index) == (0, 1)
    assert second.pixels.max() == 255
    assert int(first.pixels.max()) == pytest.approx(128, abs=10)


def test_monochrome1_is_inverted(tmp_path):
    path = dicom_files.write(tmp_path / "a", SCREEN, photometric="MONOCHROME1")
    np.testing.assert_array_equal(read(path)[0].pixels, 255 - SCREEN)


def test_8_bit_values_are_untouched(tmp_path):
    (piece,) = read(dicom_files.write(tmp_path / "a", SCREEN, modality="US"))
    np.testing.assert_array_equal(piece.pixels, SCREEN)
    assert piece.intensity_rule == "8bit"


def test_ybr_becomes_rgb(tmp_path):
    ybr = np.empty((40, 40, 3), np.uint8)
    ybr[:] = 76, 85, 255  # red
    path = dicom_files.write(tmp_path / "a", ybr, photometric="YBR_FULL")
    red = read(path)[0].pixels[0, 0].astype(int)
    np.testing.assert_allclose(red, [254, 0, 0], atol=2)


def test_palette_becomes_rgb():
    path = pydicom.data.get_testdata_file("examples_palette.dcm", download=False)
    (piece,) = read(path)
    assert piece.pixels.shape == (350, 800, 3) and piece.modality == "US"
    blue_banner = piece.pixels[5, 700].astype(int)
    assert blue_banner[2] > blue_banner[0] + 30


@pytest.mark.parametrize(
    ("elements", "identity"),
    [
        ({"PatientID": "P7", "StudyInstanceUID": "1.2"}, "patient P7"),
        (
            {"PatientID": "anonymous", "StudyInstanceUID": "1.2"},
            "StudyInstanceUID 1.2",
        ),
        ({}, "the file"),
    ],
)
def test_identity_is_patient_then_study_then_file(tmp_path, elements, identity):
    path = dicom_files.write(tmp_path / "a", SCREEN, **elements)
    assert read(path)[0].identity == identity


def test_metadata_is_taken_from_allow_lists(tmp_path):
    path = dicom_files.write(
        tmp_path / "a",
        SCREEN,
        modality="DOE",
        BodyPartExamined="JOHN DOE",
        PixelSpacing=[0.5, 0.25],
        InstanceNumber=12,
    )
    (piece,) = read(path, modality="XA")
    assert piece.modality == "XA" and piece.organ is None
    assert piece.spacing == (0.5, 0.25) and piece.index == 12


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("reportsi.dcm", "SR, structured report"),
        ("rtdose_1frame.dcm", "RTDOSE"),
        ("liver_1frame.dcm", "SEG"),
        ("no_meta_group_length.dcm", "no pixel data"),
        ("JPGExtended.dcm", "pylibjpeg-libjpeg"),
        ("README.txt", "not a DICOM file"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_what_is_no_image_says_why(name, reason):
    with pytest.raises(slices.SkippedError, match=reason):
        read(pydicom.data.get_testdata_file(name, download=False))
