"""Reads DICOM files; each frame is a slice."""

import contextlib
import pathlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from data_pipelines import dicom_header, intensity, quiet, slices

# modalities (PS3.3, C.7.3.1.1.1) whose objects hold no image of a patient
NOT_IMAGES = {
    "AU": "audio",
    "DOC": "document",
    "ECG": "electrocardiogram",
    "KO": "key object selection",
    "PR": "presentation state",
    "REG": "registration",
    "RTDOSE": "radiotherapy dose",
    "RTPLAN": "radiotherapy plan",
    "RTSTRUCT": "radiotherapy structures",
    "SEG": "segmentation",
    "SR": "structured report",
}
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
# of these the slices of a series are one volume, which has one scale
_VOLUMES = ("CT", "MR", "NM", "OPT", "PT")
_JPEG_12_BIT = "1.2.840.10008.1.2.4.51"


def read(path: pathlib.Path, context: slices.Context) -> Iterator[slices.Slice]:
    """Yields the frames of a DICOM file, as a viewer shows them.

    Modality tables and slopes are applied (also those of single frames), MONOCHROME1
    is inverted, palettes and YBR become RGB. Grey frames of more than 8 bits are
    scaled together.

    Args:
      path: a DICOM file.
      context: counts where the header does not say.

    Raises:
      slices.SkippedError: the file holds no image.
    """
    dataset = _parse(path)
    found = slices.modality_of(dataset.get("Modality"), context.modality)
    organ = slices.organ_of(dataset.get("BodyPartExamined"))
    frames, rule = _frames(dataset, found, organ)
    for index, frame in enumerate(frames):
        yield _slice(dataset, index, frame, context, found, rule)


def read_series(
    paths: Sequence[pathlib.Path], context: slices.Context
) -> Iterator[slices.Slice | slices.Skipped]:
    """Yields the slices of a series in files of one grey frame each, in one scale.

    Args:
      paths: the files, as `series` groups them.
      context: counts where the headers do not say.
    """
    datasets, values = [], []
    for file, path in enumerate(paths):
        try:
            dataset = _parse(path)
            (frame,) = _decoded(dataset)
            values.append(_values(dataset, 0, frame))
            datasets.append((file, dataset))
        except Exception as error:
            yield slices.Skipped(file, slices.reason_of(error))
    if not datasets:
        return
    _, first = datasets[0]
    modality = slices.modality_of(first.get("Modality"), context.modality)
    rule = intensity.rule_for(
        modality=modality,
        organ=slices.organ_of(first.get("BodyPartExamined")),
        hounsfield=dicom_header.rescale(first, 0) is not None,
    )
    scaled = intensity.all_to_uint8(values, rule)
    for (file, dataset), frame in zip(datasets, scaled, strict=True):
        (frame,) = _shown(dataset, [frame])
        piece = _slice(dataset, 0, frame, context, modality, rule.name)
        yield piece._replace(file=file)


def series(
    paths: Sequence[pathlib.Path],
) -> dict[pathlib.Path, tuple[pathlib.Path, ...]]:
    """Files of one series that need one scale, by its first file.

    They are single grey frames of more than 8 bits of a modality that makes volumes;
    not CT in Hounsfield units, whose windows are fixed.

    Args:
      paths: DICOM files, in their order.

    Returns:
      first file -> all files, of each series that has several.
    """
    found: dict[str, list[pathlib.Path]] = {}
    with quiet.readers():
        for path in paths:
            uid = _series_to_scale(path)
            if uid:
                found.setdefault(uid, []).append(path)
    return {group[0]: tuple(group) for group in found.values() if len(group) > 1}


def _series_to_scale(path) -> str | None:
    """The UID of a file's series where it must be scaled with the others."""
    import pydicom

    tags = ["SeriesInstanceUID", "Modality", "BitsAllocated", "SamplesPerPixel"]
    tags += ["NumberOfFrames", "RescaleSlope", "PhotometricInterpretation"]
    with contextlib.suppress(Exception):  # `read` says what is wrong
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=tags)
        modality = str(header.get("Modality") or "")
        fixed = modality == "CT" and header.get("RescaleSlope") is not None
        if (
            modality in _VOLUMES
            and not fixed
            and not _has_palette(header)
            and header.SamplesPerPixel == 1
            and header.BitsAllocated > 8
            and dicom_header.num_frames(header) == 1
        ):
            return str(header.get("SeriesInstanceUID") or "") or None
    return None


def _slice(dataset, index, frame, context, modality, rule) -> slices.Slice:
    return slices.Slice(
        pixels=slices.grey_where_equal(frame),
        modality=modality,
        organ=slices.organ_of(dataset.get("BodyPartExamined")),
        spacing=dicom_header.spacing(dataset, index),
        identity=dicom_header.identity(dataset, context.identity),
        index=dicom_header.slice_index(dataset, index),
        intensity_rule=rule,
        identities=dicom_header.identities(dataset),
        flags=dicom_header.flags(dataset),
    )


def _parse(path):
    import pydicom

    try:
        dataset = pydicom.dcmread(path)
    except pydicom.errors.InvalidDicomError:
        raise slices.SkippedError("not a DICOM file: it has no DICM marker") from None
    code = str(dataset.get("Modality") or "")
    if code in NOT_IMAGES:
        raise slices.SkippedError(f"not an image: {code}, {NOT_IMAGES[code]}")
    if not any(name in dataset for name in _PIXELS):
        raise slices.SkippedError("no pixel data")
    return dataset


def _frames(dataset, modality, organ) -> tuple[Iterable[np.ndarray], str]:
    """uint8 frames [H, W] or [H, W, 3], and the name of the intensity rule."""
    if _has_palette(dataset) or dataset.SamplesPerPixel > 1:
        return _colour(dataset), intensity.UNTOUCHED
    rescale = dicom_header.rescale(dataset, 0)
    plain = "ModalityLUTSequence" not in dataset and rescale in (None, (1.0, 0.0))
    if dataset.BitsAllocated == 8 and plain:
        return _shown(dataset, _decoded(dataset)), intensity.UNTOUCHED
    rule = intensity.rule_for(
        modality=modality, organ=organ, hounsfield=rescale is not None
    )
    values = [
        _values(dataset, index, frame) for index, frame in enumerate(_decoded(dataset))
    ]
    return _shown(dataset, intensity.to_uint8(np.stack(values), rule)), rule.name


def _decoded(dataset) -> Iterator[np.ndarray]:
    from pydicom import pixels

    try:
        # one by one, so that a long loop is never in memory whole; not `iter_pixels`,
        # which fails on JPEG 2000 of the other signedness (3.0.2)
        for index in range(dicom_header.num_frames(dataset)):
            yield pixels.pixel_array(dataset, index=index)
    except Exception:
        if dataset.file_meta.TransferSyntaxUID != _JPEG_12_BIT:
            raise
        raise slices.SkippedError(
            "12-bit JPEG: install pylibjpeg-libjpeg (GPL v3) to read it"
        ) from None


def _colour(dataset) -> Iterator[np.ndarray]:
    from pydicom import pixels

    palette = _has_palette(dataset)
    for frame in _decoded(dataset):
        bits = dataset.BitsStored
        if palette:
            frame = pixels.apply_color_lut(frame, dataset)
            bits = 8 * frame.dtype.itemsize
        yield (frame[..., :3] >> max(bits - 8, 0)).astype(np.uint8)


def _has_palette(dataset) -> bool:
    return dataset.PhotometricInterpretation == "PALETTE COLOR"


def _shown(dataset, frames) -> Iterator[np.ndarray]:
    """Bright is dense: MONOCHROME1 says that low values are shown bright."""
    inverted = dataset.PhotometricInterpretation == "MONOCHROME1"
    return (255 - frame if inverted else frame for frame in frames)


def _values(dataset, index, frame) -> np.ndarray:
    """A frame in the unit of its modality: Hounsfield units for CT."""
    from pydicom import pixels

    if "ModalityLUTSequence" in dataset:
        return pixels.apply_modality_lut(frame, dataset)
    slope, intercept = dicom_header.rescale(dataset, index) or (1.0, 0.0)
    values = frame.astype(np.float32) * slope + intercept
    values[_is_padding(dataset, frame)] = np.nan
    return values


def _is_padding(dataset, frame) -> np.ndarray:
    """Where a stored value means that the device measured nothing."""
    low = dataset.get("PixelPaddingValue")
    if low is None:
        return np.zeros(frame.shape, bool)
    high = dataset.get("PixelPaddingRangeLimit", low)
    return (frame >= min(low, high)) & (frame <= max(low, high))
