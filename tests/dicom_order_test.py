"""Slices in the order in which they lie in the body."""

import dicom_files
import numpy as np

from data_pipelines import slices
from data_pipelines.readers import dicom, dicom_order

item = dicom_files.item
AXIAL = [1, 0, 0, 0, 1, 0]  # normal: along z
SAGITTAL = [0, 1, 0, 0, 0, -1]  # normal: (-1, 0, 0)
RAMP = np.add.outer(np.arange(40), np.arange(50)).astype(np.uint16)


def order(*headers):
    places = [dicom_order.place(item(**header), 0) for header in headers]
    return dicom_order.sorted_places(places)


def at(position, directions=AXIAL, number=None):
    header = {"ImagePositionPatient": position, "ImageOrientationPatient": directions}
    return header if number is None else header | {"InstanceNumber": number}


def test_along_the_normal_of_their_planes():
    assert order(at([9, 0, 30]), at([0, 9, -10]), at([0, 0, 2])) == [1, 2, 0]
    tilted = [1, 0, 0, 0, 0.8, 0.6]  # normal: (0, -0.6, 0.8)
    places = [at([0, -10, 0], tilted), at([0, 10, 0], tilted), at([0, 0, 1], tilted)]
    assert order(*places) == [1, 2, 0]
    places = [at([-5, 0, 0], SAGITTAL), at([5, 0, 0], SAGITTAL)]
    assert order(*places) == [1, 0]


def test_at_one_place_by_number_then_as_listed():
    places = [at([0, 0, z], number=n) for z, n in [(1, 4), (0, 9), (1, 3), (0, 8)]]
    assert order(*places) == [3, 1, 2, 0]
    places = [at([0, 0, z]) for z in (1, 0, 1.0000001, 0)]
    assert order(*places) == [1, 3, 0, 2]


def test_planes_of_two_directions_go_by_number():
    places = [
        at([0, 0, 5], number=2),
        at([3, 0, 0], SAGITTAL, 1),
        at([0, 0, 1], number=3),
    ]
    assert order(*places) == [1, 0, 2]


def test_a_slice_without_a_place_has_all_go_by_number():
    assert order(at([0, 0, 5], number=1), {"InstanceNumber": 0}) == [1, 0]
    assert order(at([0, 0, 5]), {}, at([0, 0, 1])) == [0, 1, 2]
    senseless = at([0, 0, 9], [0, 0, 0, 0, 0, 0])
    assert order(senseless, at([0, 0, 1])) == [0, 1]
    assert order() == []


def frames(tmp_path, groups, **elements):
    films = np.stack([RAMP + 1000 * step for step in range(len(groups))])
    path = dicom_files.write(
        tmp_path / "a", films, PerFrameFunctionalGroupsSequence=groups, **elements
    )
    return list(dicom.read(path, slices.Context()))


def test_frames_of_an_enhanced_object(tmp_path):
    groups = [
        item(PlanePositionSequence=[item(ImagePositionPatient=[0, 0, z])])
        for z in (3, 1, 2)
    ]
    plane = item(ImageOrientationPatient=AXIAL)
    shared = [item(PlaneOrientationSequence=[plane])]
    pieces = frames(tmp_path, groups, SharedFunctionalGroupsSequence=shared)
    assert [piece.index for piece in pieces] == [0, 1, 2]
    brightness = [piece.pixels.mean() for piece in pieces]
    assert np.argsort(brightness).tolist() == [2, 0, 1]  # stored as 3, 1, 2


def test_frames_by_their_dimensions(tmp_path):
    groups = [
        item(FrameContentSequence=[item(DimensionIndexValues=values)])
        for values in ([2, 1], [1, 10], [1, 9])
    ]
    brightness = [piece.pixels.mean() for piece in frames(tmp_path, groups)]
    assert np.argsort(brightness).tolist() == [2, 1, 0]
