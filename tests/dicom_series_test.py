"""A series: one order, one scale, and a broken file that costs itself."""

import dicom_files
import numpy as np
import pydicom
import pytest
from pydicom import uid

from data_pipelines import slices
from data_pipelines.readers import dicom, dicom_pixels, dicom_series

RAMP = np.add.outer(np.arange(40), np.arange(50)).astype(np.uint16)


def write(path, z=0, step=0, **elements):
    known = {
        "SeriesInstanceUID": "1.2.1",
        "ImagePositionPatient": [0, 0, z],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
    }
    return dicom_files.write(path, RAMP + (100 + step), **known | elements)


@pytest.fixture
def files(tmp_path):
    """Three files whose names run against their places."""
    depths = {"a": 20.0, "b": -5.0, "c": 3.5}
    return [write(tmp_path / name, z, int(z * 10)) for name, z in depths.items()]


def read(paths):
    return list(dicom_series.read(paths, slices.Context("them")))


def test_slices_are_in_the_order_of_the_body(files):
    pieces = read(files)
    assert [piece.file for piece in pieces] == [1, 2, 0]
    assert [piece.index for piece in pieces] == [0, 1, 2]


def test_they_have_one_scale(files):
    stored = np.stack([RAMP + (100 + step) for step in (-50, 35, 200)])
    low, high = np.percentile(stored, [1, 99])
    expected = np.clip((stored.astype(float) - low) / (high - low), 0, 1) * 255
    found = np.stack([piece.pixels for piece in read(files)])
    np.testing.assert_allclose(found, expected, atol=0.51)


def test_it_is_the_same_without_room_to_remember(files, monkeypatch):
    before = read(files)
    decoded = []
    frames = dicom_pixels.frames
    monkeypatch.setattr(
        dicom_pixels, "frames", lambda dataset: decoded.append(1) or frames(dataset)
    )
    assert len(read(files)) == len(decoded) == 3
    monkeypatch.setattr(dicom, "_KEPT", 0)
    after = read(files)
    assert len(decoded) == 9
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one.pixels, other.pixels)


def break_marker(path):
    path.write_bytes(b"x" * 300)


def break_pixels(path):
    path.write_bytes(path.read_bytes()[:-100])


def break_table(path):
    """Its header reads, and its values cannot be made of it."""
    dataset = pydicom.dcmread(path)
    dataset.ModalityLUTSequence = [dicom_files.item(LUTDescriptor=[1, 0], LUTData=[1])]
    dataset.save_as(path)


def break_colour(path):
    dataset = pydicom.dcmread(path)
    dataset.PhotometricInterpretation = "JOHN DOE"
    dataset.save_as(path)


def break_shape(path):
    dataset = pydicom.dcmread(path)
    dataset.add_new("PixelSpacing", "SQ", [])
    dataset.add_new("ImagePositionPatient", "SQ", [dicom_files.item()])
    dataset.save_as(path)


@pytest.mark.parametrize("modality", ["MR", "CT"])
@pytest.mark.parametrize(
    "spoil", [break_marker, break_pixels, break_table, break_colour]
)
def test_a_broken_file_costs_itself(tmp_path, modality, spoil):
    paths = [
        write(tmp_path / str(z), z, modality=modality, RescaleSlope=1) for z in range(4)
    ]
    spoil(paths[1])
    found = read(paths)
    assert [each.file for each in found if isinstance(each, slices.Slice)] == [0, 2, 3]
    (skipped,) = [each for each in found if isinstance(each, slices.Skipped)]
    assert skipped.file == 1 and "DOE" not in skipped.reason


def test_a_strange_header_does_not_cost_the_rest(files):
    break_shape(files[0])
    assert {each.file for each in read(files)} == {0, 1, 2}


def test_nothing_readable_is_no_crash(files):
    for path in files:
        break_marker(path)
    assert all(isinstance(each, slices.Skipped) for each in read(files))


def test_ct_is_put_in_order_too_and_keeps_its_window(tmp_path):
    paths = [
        write(tmp_path / name, z, modality="CT", RescaleSlope=1, RescaleIntercept=0)
        for name, z in [("a", 2), ("b", 1)]
    ]
    assert list(dicom_series.group(paths).values()) == [tuple(paths)]
    pieces = read(paths)
    assert [piece.file for piece in pieces] == [1, 0]
    assert {piece.intensity_rule for piece in pieces} == {"ct_soft_tissue"}


def test_only_single_grey_slices_of_volumes_are_grouped(tmp_path):
    films = np.stack([RAMP, RAMP])
    rgb = np.zeros((40, 50, 3), np.uint8)
    paths = [
        write(tmp_path / "mr1"),
        write(tmp_path / "mr2"),
        write(tmp_path / "pt", modality="PT"),  # under the same UID
        write(tmp_path / "dx1", modality="DX"),
        write(tmp_path / "dx2", modality="DX"),
        dicom_files.write(tmp_path / "films", films, SeriesInstanceUID="1.2.1"),
        dicom_files.write(
            tmp_path / "rgb", rgb, photometric="RGB", SeriesInstanceUID="1.2.1"
        ),
        write(tmp_path / "packed", syntax=uid.DeflatedExplicitVRLittleEndian),
        write(tmp_path / "other", SeriesInstanceUID="1.2.9"),
        tmp_path / "nowhere",
    ]
    (tmp_path / "text").write_text("no DICOM")
    found = dicom_series.group([*paths, tmp_path / "text"])
    assert found == {paths[0]: (paths[0], paths[1])}


def test_headers_are_read_no_further_than_needed(tmp_path, monkeypatch):
    """However large the pixels, and whatever lies before them."""
    path = write(tmp_path / "a")
    again = write(tmp_path / "b")
    for each in (path, again):
        content = each.read_bytes()
        begin = content.index(b"\xe0\x7f\x10\x00OW")
        each.write_bytes(content[:begin] + b"\x01\x77\x10\x00OB\0\0\xff\xff\xff\x7f")
    assert dicom_series.group([path, again]) == {path: (path, again)}
