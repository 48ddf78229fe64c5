"""The order of the slices of a volume: by where they lie in the patient."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from data_pipelines.readers import dicom_header

_SAME_DIRECTION = 0.99  # cosine of the angle between two normals, at least
_SAME_PLACE = 1e-3  # mm


class Place(NamedTuple):
    """Where a slice lies, as far as its header says.

    Attributes:
      position: [3] of its first pixel, in mm.
      normal: [3], of length 1, of its plane.
      numbers: of the slice among the others; compared one by one.
    """

    position: np.ndarray | None
    normal: np.ndarray | None
    numbers: tuple[float, ...] | None


def place(dataset, index: int) -> Place:
    """The place of a frame of a data set."""
    position = _vector(
        dicom_header.nearest(
            dataset, index, "PlanePositionSequence", "ImagePositionPatient"
        ),
        3,
    )
    directions = _vector(
        dicom_header.nearest(
            dataset, index, "PlaneOrientationSequence", "ImageOrientationPatient"
        ),
        6,
    )
    normal = None
    if directions is not None:
        normal = np.cross(directions[:3], directions[3:])
        length = np.linalg.norm(normal)
        normal = normal / length if length > 0.5 else None
    return Place(position, normal, _numbers(dataset, index))


def sorted_places(places: Sequence[Place]) -> list[int]:
    """The numbers of the slices in their order in the volume.

    Parallel slices whose positions are all known go along their normal; others by their
    numbers where all have some; else they stay as they are. Those of equal rank (other
    times, other echoes) go by their numbers, then stay.
    """
    listed = range(len(places))
    by_number = all(each.numbers is not None for each in places)
    numbers = [each.numbers if by_number else () for each in places]
    depths = _depths(places)
    if depths is not None:
        return sorted(listed, key=lambda each: (depths[each], numbers[each]))
    return sorted(listed, key=lambda each: numbers[each])


def _depths(places) -> list[int] | None:
    """Positions along the common normal, rounded, or None where there is none."""
    normal = places[0].normal if places else None
    if normal is None or any(
        each.position is None
        or each.normal is None
        or each.normal @ normal < _SAME_DIRECTION
        for each in places
    ):
        return None
    return [round(float(each.position @ normal) / _SAME_PLACE) for each in places]


def _numbers(dataset, index) -> tuple[float, ...] | None:
    if dicom_header.num_frames(dataset) == 1:
        number = dicom_header.number(dataset.get("InstanceNumber"))
        return None if number is None else (number,)
    found = dicom_header.nearest(
        dataset, index, "FrameContentSequence", "DimensionIndexValues"
    )
    return None if found is None else tuple(np.atleast_1d(found).tolist())


def _vector(value, length) -> np.ndarray | None:
    numbers = dicom_header.numbers(value)
    if len(numbers) != length or not all(map(math.isfinite, numbers)):
        return None
    return np.array(numbers)
