"""What a DICOM header says of one frame, and whom the file must not be split from."""

import math
from collections.abc import Iterable
from typing import Any

from data_pipelines import slices

# what anonymisers write where an id was: it tells nobody apart
_LEAST_ID = 3  # characters; shorter ids are of many patients, of many data sets
_NO_IDS = ("", "0", "ANON", "ANONYMOUS", "ANONYMIZED", "NONE", "UNKNOWN")
TRANSFORM = "PixelValueTransformationSequence"  # where frames name a slope
_SLOPES = 1e-15, 1e15  # beyond them a slope is a mistake
_SPACINGS = 1e-6, 1e3  # mm; the same
_CENTIMETRES = 3  # code of a unit of an ultrasound region
_FLAT = 1  # code of a region that shows a plane, not a curve over time
_LARGEST_NUMBER = 2**31  # an index column holds 32 bits


def num_frames(dataset) -> int:
    """Frames that the header names, at least 1."""
    return max(1, int(number(dataset.get("NumberOfFrames")) or 1))


def number(value: Any) -> float | None:
    """A header's value, or the first of several, as a finite number, or None."""
    found = numbers(value)
    return found[0] if found and math.isfinite(found[0]) else None


def numbers(value: Any) -> list[float]:
    """A header's values as numbers; empty where one of them is none."""
    if value is None or isinstance(value, bytes):
        return []
    several = isinstance(value, Iterable) and not isinstance(value, str)
    try:
        return [float(each) for each in (value if several else [value])]
    except (TypeError, ValueError, OverflowError):
        return []


def rescale(dataset, index: int) -> tuple[float, float] | None:
    """(slope, intercept) that give a frame its unit, or None where none are named.

    A slope of 0 counts as 1; where a number is no number, or beyond reason, both count
    as not named.
    """
    found = [
        nearest(dataset, index, TRANSFORM, keyword)
        for keyword in ("RescaleSlope", "RescaleIntercept")
    ]
    if all(value is None for value in found):
        return None
    slope, intercept = (
        default if value is None else number(value)
        for value, default in zip(found, (1.0, 0.0), strict=True)
    )
    slope = 1.0 if slope == 0 else slope
    low, high = _SLOPES
    if slope is None or intercept is None:
        return None
    if not low <= abs(slope) <= high or abs(intercept) > high:
        return None
    return slope, intercept


def spacing(dataset, index: int) -> tuple[float, float] | None:
    """(row, column) in mm of a frame, or None where the file does not say.

    Of ultrasound its region, else in the patient's plane, else at the detector
    (radiographs) or on the film.
    """
    found = [
        _region_spacing(dataset),
        nearest(dataset, index, "PixelMeasuresSequence", "PixelSpacing"),
        dataset.get("ImagerPixelSpacing"),
        dataset.get("NominalScannedPixelSpacing"),
    ]
    low, high = _SPACINGS
    for sizes in map(numbers, found):
        if len(sizes) == 2 and all(low <= size <= high for size in sizes):
            return sizes[0], sizes[1]
    return None


def _region_spacing(dataset) -> tuple[float, float] | None:
    """Of the plane that ultrasound shows, where all its regions have one scale."""
    found = set()
    for region in dataset.get("SequenceOfUltrasoundRegions") or []:
        units = (
            region.get("PhysicalUnitsXDirection"),
            region.get("PhysicalUnitsYDirection"),
        )
        if region.get("RegionSpatialFormat") == _FLAT and units == (_CENTIMETRES,) * 2:
            sizes = (
                number(region.get("PhysicalDeltaY")),
                number(region.get("PhysicalDeltaX")),
            )
            found.add(tuple(10 * abs(size or 0) for size in sizes))
    return found.pop() if len(found) == 1 else None


def slice_index(dataset) -> int | None:
    """The file's number in its series, or None."""
    found = number(dataset.get("InstanceNumber"))
    if found is None or not 0 <= found < _LARGEST_NUMBER:
        return None
    return int(found)


def identity(dataset, otherwise: str) -> str:
    """The patient, else the study, else the series, else `otherwise`; in clear."""
    patient = str(dataset.get("PatientID") or "").strip()
    if patient.upper() not in _NO_IDS:
        return f"patient {patient}"
    for name in ("StudyInstanceUID", "SeriesInstanceUID"):
        if dataset.get(name):
            return f"{name} {dataset.get(name)}"
    return otherwise


def identities(dataset) -> tuple[tuple[str, str], ...]:
    """(kind, id) of patient, study, volume and instance, as far as they are named."""
    found = []
    patient = str(dataset.get("PatientID") or "").strip()
    if patient.upper() not in _NO_IDS and len(patient) >= _LEAST_ID:
        found.append(("patient", patient))
    kinds = {
        "study": "StudyInstanceUID",
        "volume": "SeriesInstanceUID",
        "instance": "SOPInstanceUID",
    }
    found += [
        (kind, str(dataset.get(name)))
        for kind, name in kinds.items()
        if dataset.get(name)
    ]
    return tuple(found)


def flags(dataset) -> tuple[str, ...]:
    """What a user should know of the pixels, see `slices.Slice`."""
    found = []
    if str(dataset.get("BurnedInAnnotation") or "").strip().upper() == "YES":
        found.append(slices.BURNED_IN)
    if any((group, 0x3000) in dataset for group in range(0x6000, 0x6020, 2)):
        found.append(slices.OVERLAY)
    return tuple(found)


def nearest(dataset, index: int, sequence: str, keyword: str) -> Any:
    """An element as the frame's own groups give it, else the shared, else the file."""
    item = nearest_item(dataset, index, sequence, keyword)
    return dataset.get(keyword) if item is None else item.get(keyword)


def nearest_item(dataset, index: int, sequence: str, keyword: str) -> Any:
    """The item of a frame's functional groups that has an element, or None."""
    frames = dataset.get("PerFrameFunctionalGroupsSequence") or []
    shared = dataset.get("SharedFunctionalGroupsSequence") or []
    for group in [*frames[index : index + 1], *shared]:
        for item in group.get(sequence) or []:
            if item.get(keyword) is not None:
                return item
    return None
