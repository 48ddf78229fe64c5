"""What a DICOM header says of one frame, and whom the file must not be split from."""

from typing import Any

from data_pipelines import slices

# what anonymisers write where an id was: it tells nobody apart
_NO_IDS = ("", "0", "ANON", "ANONYMOUS", "ANONYMIZED", "NONE", "UNKNOWN")
_TRANSFORM = "PixelValueTransformationSequence"


def num_frames(dataset) -> int:
    """Frames of the file, at least 1."""
    return int(dataset.get("NumberOfFrames") or 1)


def rescale(dataset, index: int) -> tuple[float, float] | None:
    """(slope, intercept) that give a frame its unit, or None where none are named."""
    slope = nearest(dataset, index, _TRANSFORM, "RescaleSlope")
    intercept = nearest(dataset, index, _TRANSFORM, "RescaleIntercept")
    if slope is None and intercept is None:
        return None
    return (1.0 if slope is None else float(slope)), float(intercept or 0)


def spacing(dataset, index: int) -> tuple[float, float] | None:
    """(row, column) in mm of a frame, at the detector for radiographs, or None."""
    found = nearest(dataset, index, "PixelMeasuresSequence", "PixelSpacing")
    found = found or dataset.get("ImagerPixelSpacing")
    if not found or len(found) != 2 or not all(size > 0 for size in found):
        return None
    return float(found[0]), float(found[1])


def slice_index(dataset, index: int) -> int | None:
    """The frame's number in its file, else the file's in its series, else None."""
    if num_frames(dataset) > 1:
        return index
    number = dataset.get("InstanceNumber")
    return None if number is None else int(number)


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
    if patient.upper() not in _NO_IDS:
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
    frames = dataset.get("PerFrameFunctionalGroupsSequence") or []
    shared = dataset.get("SharedFunctionalGroupsSequence") or []
    for group in [*frames[index : index + 1], *shared]:
        for item in group.get(sequence) or []:
            if item.get(keyword) is not None:
                return item.get(keyword)
    return dataset.get(keyword)
