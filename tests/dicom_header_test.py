"""What a header says: spacing from the right place, numbers within bounds."""

import dicom_files
import pytest

from data_pipelines.readers import dicom_header

item = dicom_files.item


def region(**elements):
    known = {
        "RegionSpatialFormat": 1,
        "PhysicalUnitsXDirection": 3,
        "PhysicalUnitsYDirection": 3,
        "PhysicalDeltaX": 0.02,
        "PhysicalDeltaY": 0.03,
    }
    return item(**known | elements)


def test_spacing_of_the_patient_s_plane_comes_before_that_of_the_detector():
    dataset = item(NominalScannedPixelSpacing=[0.3, 0.4])
    assert dicom_header.spacing(dataset, 0) == (0.3, 0.4)
    dataset.ImagerPixelSpacing = [0.1, 0.2]
    assert dicom_header.spacing(dataset, 0) == (0.1, 0.2)
    dataset.PixelSpacing = [0.5, 0.6]
    assert dicom_header.spacing(dataset, 0) == (0.5, 0.6)


def test_spacing_of_a_frame_comes_before_what_all_share():
    def group(size):
        return item(PixelMeasuresSequence=[item(PixelSpacing=[size, size])])

    dataset = item(
        SharedFunctionalGroupsSequence=[group(3)],
        PerFrameFunctionalGroupsSequence=[group(1), item()],
    )
    assert dicom_header.spacing(dataset, 0) == (1, 1)
    assert dicom_header.spacing(dataset, 1) == (3, 3)


@pytest.mark.parametrize(
    ("regions", "spacing"),
    [
        ([{}], (0.3, 0.2)),  # cm to mm
        ([{"PhysicalDeltaX": -0.02}], (0.3, 0.2)),
        ([{}, {}], (0.3, 0.2)),
        ([{}, {"PhysicalDeltaX": 0.05}], None),  # two scales in one picture
        ([{}, {"RegionSpatialFormat": 3, "PhysicalDeltaX": 9}], (0.3, 0.2)),  # a curve
        ([{"PhysicalUnitsXDirection": 4}], None),  # seconds
        ([{"PhysicalDeltaY": 0}], None),
    ],
)
def test_spacing_of_ultrasound_is_that_of_its_planes(regions, spacing):
    dataset = item(SequenceOfUltrasoundRegions=[region(**each) for each in regions])
    found = dicom_header.spacing(dataset, 0)
    assert found == (spacing if spacing is None else pytest.approx(spacing))


@pytest.mark.parametrize(
    "wrong",
    [[0, 1], [-1, 1], ["nan", 1], ["inf", 1], [1], [1, 1, 1], ["1e9", 1], [1e-9, 1]],
)
@pytest.mark.filterwarnings("ignore")
def test_senseless_spacing_is_none(wrong):
    dataset = item()
    dataset.add_new("PixelSpacing", "LO", [str(each) for each in wrong])
    assert dicom_header.spacing(dataset, 0) is None


def test_no_spacing_is_none():
    assert dicom_header.spacing(item(), 0) is None
    assert dicom_header.spacing(item(PixelAspectRatio=[1, 1]), 0) is None


@pytest.mark.parametrize(
    ("number", "index"),
    [(0, 0), (7, 7), (2**31 - 1, 2**31 - 1), (-1, None), (None, None)],
)
def test_a_number_in_the_series_fits_32_bits(number, index):
    assert dicom_header.slice_index(item(InstanceNumber=number)) == index


@pytest.mark.parametrize("text", ["2147483648", "99999999999", "x7", "1e400", ""])
def test_else_there_is_none(text):
    dataset = item()
    dataset.add_new("InstanceNumber", "LO", text)
    assert dicom_header.slice_index(dataset) is None


@pytest.mark.parametrize(
    ("slope", "intercept", "expected"),
    [
        (None, None, None),
        ("2", None, (2, 0)),
        (None, "-5", (1, -5)),
        ("0", "-5", (1, -5)),
        ("-1", "3", (-1, 3)),
        ("nan", "3", None),
        ("inf", "3", None),
        ("1e30", "3", None),
        ("1", "-1e30", None),
        ("x", "3", None),
    ],
)
def test_slopes(slope, intercept, expected):
    dataset = item()
    for keyword, text in [("RescaleSlope", slope), ("RescaleIntercept", intercept)]:
        if text is not None:
            dataset.add_new(keyword, "LO", text)
    assert dicom_header.rescale(dataset, 0) == expected


@pytest.mark.parametrize("text", ["x", "-3", "", "0"])
def test_at_least_one_frame(text):
    dataset = item()
    dataset.add_new("NumberOfFrames", "LO", text)
    assert dicom_header.num_frames(dataset) == 1
