"""Windows by the arithmetic of PS3.3, C.11.2.1.2, and which of them count."""

import dicom_files
import numpy as np
import pydicom
import pydicom.data
import pydicom.pixels
import pytest

from data_pipelines import slices
from data_pipelines.readers import dicom, dicom_window

RAMP = np.add.outer(np.arange(40), np.arange(50)).astype(np.uint16)


def grey(values, centre, width, function="LINEAR"):
    window = dicom_window.Window(centre, width, function)
    return dicom_window.to_grey(np.array(values, np.float32), window).tolist()


def test_a_linear_window_of_the_standard_s_own_example():
    """C.11.2.1.2.1: centre 2048, width 4096 is the identity on 12 bits."""
    values = np.array([0, 1, 819, 2047, 2048, 4095, 5000, -3])
    expected = np.rint(np.clip(values, 0, 4095) / 4095 * 255)
    assert grey(values, 2048, 4096) == expected.tolist()


def test_a_linear_window_that_is_narrow():
    """c = 2048, w = 1: all up to 2047 is black; w = 2 has one step between."""
    assert grey([2046, 2047, 2048], 2048, 1) == [0, 0, 255]
    # ((x - 2047.5) / 1 + 0.5) * 255
    assert grey([2047, 2047.5, 2048], 2048, 2) == [0, 128, 255]


def test_an_exact_window():
    """((x - c) / w + 0.5) * 255."""
    assert grey([-1, 0, 1, 2, 4, 5], 2, 4, "LINEAR_EXACT") == [0, 0, 64, 128, 255, 255]


def test_a_sigmoid():
    """255 / (1 + exp(-4 (x - c) / w)) at 0, 1/4, 1/2 and -1/2 of the width."""
    found = grey([10, 20, 30, -10], 10, 40, "SIGMOID")
    expected = [255 / (1 + np.exp(power)) for power in (0, -1, -2, 2)]
    assert found == np.rint(expected).tolist()


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_windows_are_those_of_pydicom(function):
    values = np.arange(-3000, 3000, 7, dtype=np.int16)
    dataset = dicom_files.item(
        PhotometricInterpretation="MONOCHROME2",
        BitsStored=16,
        PixelRepresentation=1,
        WindowCenter=37,
        WindowWidth=411,
        VOILUTFunction=function,
    )
    theirs = pydicom.pixels.apply_windowing(values, dataset)
    theirs = (theirs + 2**15) / (2**16 - 1) * 255
    np.testing.assert_allclose(grey(values, 37, 411, function), theirs, atol=0.51)


def shown(tmp_path, modality="DX", stored=RAMP, **elements):
    path = dicom_files.write(tmp_path / "a", stored, modality=modality, **elements)
    pieces = list(dicom.read(path, slices.Context()))
    return pieces[0] if len(pieces) == 1 else pieces


def test_the_first_of_several_windows_is_taken_and_named(tmp_path):
    piece = shown(tmp_path, WindowCenter=[40, 9], WindowWidth=[20, 4])
    assert piece.intensity_rule == "window_1_of_2"
    expected = np.rint(np.clip((RAMP - 39.5) / 19 + 0.5, 0, 1) * 255)
    np.testing.assert_array_equal(piece.pixels, expected)


@pytest.mark.parametrize(
    ("centres", "widths", "rule"),
    [
        ([40, 40], [0, 20], "window_2_of_2"),  # no width
        ([40, 40], [-5, 20], "window_2_of_2"),
        ([9000, 40], [20, 20], "window_2_of_2"),  # beside all values: black
        ([9000], [20], "percentile_1_99"),
        (["x", 40], [20, 20], "percentile_1_99"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_windows_that_show_nothing_do_not_count(tmp_path, centres, widths, rule):
    dataset = pydicom.dcmread(dicom_files.write(tmp_path / "b", RAMP, modality="CR"))
    with pydicom.config.disable_value_validation():
        dataset.WindowWidth = widths
        dataset.add_new("WindowCenter", "LO", list(map(str, centres)))
        dataset.save_as(tmp_path / "b")
    (piece,) = dicom.read(tmp_path / "b", slices.Context())
    assert piece.intensity_rule == rule and len(np.unique(piece.pixels)) > 10


def test_an_unknown_function_does_not_count(tmp_path):
    elements = {"WindowCenter": 40, "WindowWidth": 20, "VOILUTFunction": "DOE"}
    assert shown(tmp_path, **elements).intensity_rule == "percentile_1_99"


def test_a_table_comes_before_a_window(tmp_path):
    steps = np.linspace(0, 4095, 60).astype("<u2")
    item = dicom_files.item(LUTDescriptor=[60, 10, 12], LUTData=steps.tobytes())
    piece = shown(
        tmp_path, VOILUTSequence=[item, item], WindowCenter=40, WindowWidth=20
    )
    assert piece.intensity_rule == "voi_lut_1_of_2"
    expected = steps[np.clip(RAMP.astype(int) - 10, 0, 59)] * (255 / 4095)
    np.testing.assert_array_equal(piece.pixels, np.rint(expected))


def test_a_table_with_few_entries_of_8_bits_for_many_values(tmp_path):
    """pydicom 3.0.2 counts their places in 8 bits."""
    entries = np.repeat([0, 50, 200], 150).astype(np.uint8)
    item = dicom_files.item(LUTDescriptor=[450, 0, 8], LUTData=entries.tobytes())
    piece = shown(tmp_path, stored=RAMP * 5, VOILUTSequence=[item])
    np.testing.assert_array_equal(piece.pixels, entries[RAMP * 5])


def test_a_table_whose_descriptor_says_too_many_bits_is_not_black(tmp_path):
    item = dicom_files.item(
        LUTDescriptor=[89, 0, 16], LUTData=np.arange(89).astype("<u2").tobytes()
    )
    assert shown(tmp_path, VOILUTSequence=[item]).pixels.max() == 255


def test_the_table_of_a_real_file_is_that_of_pydicom():
    path = pydicom.data.get_testdata_file("vlut_04.dcm", download=False)
    dataset = pydicom.dcmread(path)
    theirs = pydicom.pixels.apply_voi_lut(dataset.pixel_array, dataset)
    bits = dataset.VOILUTSequence[0].LUTDescriptor[2]
    (piece,) = dicom.read(path, slices.Context())
    assert piece.intensity_rule == "voi_lut_1_of_1"
    np.testing.assert_allclose(piece.pixels, theirs * (255 / (2**bits - 1)), atol=0.51)


@pytest.mark.filterwarnings("ignore")
def test_a_real_radiograph_is_that_of_pydicom():
    path = pydicom.data.get_testdata_file("RG3_UNCI.dcm", download=False)
    dataset = pydicom.dcmread(path)
    theirs = pydicom.pixels.apply_windowing(dataset.pixel_array, dataset)
    (piece,) = dicom.read(path, slices.Context())
    expected = 255 - theirs / (2**dataset.BitsStored - 1) * 255
    np.testing.assert_allclose(piece.pixels, expected, atol=0.51)


def test_the_window_of_each_frame(tmp_path):
    groups = [
        dicom_files.item(
            FrameVOILUTSequence=[dicom_files.item(WindowCenter=c, WindowWidth=20)]
        )
        for c in (30, 60)
    ]
    pieces = shown(
        tmp_path,
        modality="XA",
        stored=np.stack([RAMP, RAMP]),
        PerFrameFunctionalGroupsSequence=groups,
    )
    assert [piece.pixels[0, 40] for piece in pieces] == [255, 0]


@pytest.mark.parametrize("modality", ["MR", "US", "PT", "OP"])
def test_windows_of_other_modalities_do_not_count(tmp_path, modality):
    piece = shown(tmp_path, modality=modality, WindowCenter=9, WindowWidth=4)
    assert "window" not in piece.intensity_rule
