"""Which scale grey values take; padding, inversion, slopes."""

import dicom_files
import numpy as np
import pytest

from data_pipelines import slices
from data_pipelines.readers import dicom, dicom_grey

RAMP = np.add.outer(np.arange(40), np.arange(50)).astype(np.uint16)


def shown(tmp_path, stored=RAMP, modality="MR", **elements):
    path = dicom_files.write(tmp_path / "a", stored, modality=modality, **elements)
    pieces = list(dicom.read(path, slices.Context()))
    return pieces[0] if len(pieces) == 1 else pieces


@pytest.mark.parametrize(
    ("elements", "rule"),
    [
        ({"RescaleSlope": 1, "RescaleIntercept": -1024}, "ct_soft_tissue"),
        ({"RescaleIntercept": -1024}, "ct_soft_tissue"),  # no slope: 1
        ({"RescaleSlope": 0, "RescaleIntercept": -1024}, "ct_soft_tissue"),
        ({"RescaleSlope": 1, "RescaleType": "HU"}, "ct_soft_tissue"),
        ({"RescaleSlope": 1, "RescaleType": "US"}, "ct_soft_tissue"),
        ({"RescaleSlope": 1, "RescaleType": "Z_EFF"}, "percentile_1_99"),
        ({"RescaleSlope": 1e12}, "percentile_1_99"),
        ({"RescaleSlope": 1e99}, "percentile_1_99"),
        ({}, "percentile_1_99"),
    ],
)
def test_ct_has_a_window_of_ours_in_hounsfield_units_only(tmp_path, elements, rule):
    stored = RAMP * 20  # to 1740
    piece = shown(tmp_path, stored, modality="CT", **elements)
    assert piece.intensity_rule == rule and piece.pixels.max() == 255


def test_a_table_may_give_hounsfield_units(tmp_path):
    item = dicom_files.item(
        LUTDescriptor=[90, 0, 16],
        LUTData=np.arange(0, 900, 10).astype("<u2").tobytes(),
        ModalityLUTType="HU",
    )
    piece = shown(tmp_path, modality="CT", ModalityLUTSequence=[item])
    assert piece.intensity_rule == "ct_soft_tissue"
    assert piece.pixels[0, 8] == round((80 + 160) / 400 * 255)
    item.ModalityLUTType = "OD"
    piece = shown(tmp_path, modality="CT", ModalityLUTSequence=[item])
    assert piece.intensity_rule == "percentile_1_99"


@pytest.mark.parametrize("slope", [-2, 1e-12, 3e14])
def test_slopes_of_any_size_keep_their_order(tmp_path, slope):
    piece = shown(tmp_path, RescaleSlope=slope, RescaleIntercept=0)
    first, last = int(piece.pixels[0, 0]), int(piece.pixels[-1, -1])
    assert (first, last) == ((0, 255) if slope > 0 else (255, 0))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_whatever_is_inverted(tmp_path, bits, photometric):
    stored = RAMP.astype(np.uint8 if bits == 8 else np.uint16) + 5
    stored[:4] = 0
    stored[4:8] = 60
    piece = shown(tmp_path, stored, "DX", photometric=photometric, PixelPaddingValue=0)
    assert (piece.pixels[:4] == 0).all() and (piece.pixels[4:8] > 0).any()
    piece = shown(
        tmp_path,
        stored,
        "DX",
        photometric=photometric,
        PixelPaddingValue=62,
        PixelPaddingRangeLimit=58,
    )
    assert (piece.pixels[4:8] == 0).all()


def test_padding_has_no_part_in_percentiles(tmp_path):
    stored = RAMP.astype(np.int16) + 100
    stored[:20] = -2000
    piece = shown(tmp_path, stored, PixelPaddingValue=-2000)
    lows, highs = np.percentile(stored[20:], [1, 99])
    expected = np.clip((stored[20:] - lows) / (highs - lows), 0, 1) * 255
    np.testing.assert_allclose(piece.pixels[20:], expected, atol=0.51)
    assert not piece.pixels[:20].any()


def test_padding_of_the_other_sign_is_meant_too(tmp_path):
    """63536 is -2000 in 16 bits: writers of signed pixels get this wrong."""
    stored = RAMP.astype(np.int16)
    stored[:20] = -2000
    dataset = dicom_files.item(PixelPaddingValue=63536)
    assert dicom_grey._is_padding(dataset, stored)[:20].all()
    assert not dicom_grey._is_padding(dataset, stored)[20:].any()


def test_padding_of_floats(tmp_path):
    values = RAMP.astype(np.float32)
    dataset = dicom_files.item(FloatPixelPaddingValue=7.0)
    np.testing.assert_array_equal(dicom_grey._is_padding(dataset, values), RAMP == 7)


@pytest.mark.parametrize(
    ("photometric", "shape", "inverted"),
    [
        ("MONOCHROME1", "INVERSE", True),  # as the standard wants them together
        ("MONOCHROME1", None, True),
        ("MONOCHROME1", "IDENTITY", True),
        ("MONOCHROME2", "IDENTITY", False),
        ("MONOCHROME2", "INVERSE", True),
        ("MONOCHROME2", None, False),
    ],
)
def test_inversion_is_done_once(tmp_path, photometric, shape, inverted):
    elements = {} if shape is None else {"PresentationLUTShape": shape}
    piece = shown(tmp_path, modality="DX", photometric=photometric, **elements)
    assert (piece.pixels[0, 0] == 255) == inverted


def test_inversion_comes_after_the_window(tmp_path):
    piece = shown(
        tmp_path,
        modality="DX",
        photometric="MONOCHROME1",
        WindowCenter=20.5,
        WindowWidth=11,
    )  # LINEAR: from 15 to 25
    assert piece.pixels[0, :40].tolist()[14:27:11] == [255, 0]
    assert piece.pixels[0, 17] == 255 - round(2 / 10 * 255)


def test_8_stored_bits_are_kept_and_others_scaled(tmp_path):
    for stored, elements in [
        (RAMP.astype(np.uint8), {}),
        (RAMP | 0x5A00, {"BitsStored": 8, "HighBit": 7}),
    ]:
        piece = shown(tmp_path, stored, "US", **elements)
        assert piece.intensity_rule == "8bit"
        np.testing.assert_array_equal(piece.pixels, RAMP)
    piece = shown(tmp_path, RAMP % 16, "US", BitsStored=4, HighBit=3)
    assert piece.intensity_rule == "percentile_1_99" and piece.pixels.max() == 255
    piece = shown(tmp_path, RAMP.astype(np.int8) - 40, "US")
    assert piece.pixels[0, 0] == 0 and piece.pixels[-1, -1] == 255


def test_of_many_values_an_even_part_gives_the_percentiles(monkeypatch):
    monkeypatch.setattr(dicom_grey, "_SAMPLED", 1000)
    dataset = dicom_files.item()
    sample = dicom_grey.sample(dataset, 0, RAMP, num_values=20_000)
    assert 90 <= sample.size <= 100  # of 2,000, a 21st
    whole = np.percentile(RAMP, [1, 50, 99])
    np.testing.assert_allclose(np.percentile(sample, [1, 50, 99]), whole, atol=4)
