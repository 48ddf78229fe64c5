"""Reads the files of a DICOM series together: one order, one scale."""

import contextlib
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from data_pipelines import quiet, slices
from data_pipelines.readers import (
    dicom,
    dicom_file,
    dicom_grey,
    dicom_header,
    dicom_order,
    dicom_pixels,
)

# of these the slices of a series are one volume
_VOLUMES = ("CT", "MR", "NM", "OPT", "PT")
_TAGS = (
    "SeriesInstanceUID",
    "Modality",
    "Rows",
    "SamplesPerPixel",
    "NumberOfFrames",
    "PhotometricInterpretation",
)
_LAST_GROUP = 0x0028  # of _TAGS; what follows may be long


class _File(NamedTuple):
    number: int
    header: Any  # without pixels


def group(
    paths: Sequence[pathlib.Path],
) -> dict[pathlib.Path, tuple[pathlib.Path, ...]]:
    """The files of each series that is one volume, by its first file.

    They are single grey frames of a modality that makes volumes.

    Args:
      paths: DICOM files, in their order; what is not one is in no series.

    Returns:
      first file -> all files, of each series that has several.
    """
    found: dict[tuple[str, str], list[pathlib.Path]] = {}
    with quiet.readers():
        for path in paths:
            series = series_of(path)
            if series:
                found.setdefault(series, []).append(path)
    return {each[0]: tuple(each) for each in found.values() if len(each) > 1}


def read(
    paths: Sequence[pathlib.Path], context: slices.Context
) -> Iterator[slices.Slice | slices.Skipped]:
    """Yields the slices of a series in the order of their place in the patient.

    A file that cannot be read costs itself. `index` counts the files whose header can
    be read. Frames of more than 8 bits share one scale where their table asks for it.

    Args:
      paths: the files, as `group` puts them together.
      context: counts where the headers do not say.
    """
    files: list[_File] = []
    for number, path in enumerate(paths):
        try:
            header = dicom_file.parse(path, with_pixels=False)
            dicom_order.place(header, 0)
            files.append(_File(number, header))
        except Exception as error:
            yield slices.Skipped(number, slices.reason_of(error))
    order = dicom_order.sorted_places(
        [dicom_order.place(file.header, 0) for file in files]
    )
    files = [files[each] for each in order]
    decode = dicom.remembered(lambda number: _stored(paths[number]))
    scales, refused = _scales(files, decode, context)
    yield from refused
    for index, file in enumerate(files):
        if file.number not in scales:
            continue
        try:
            scale = scales[file.number]
            pixels = dicom_grey.to_uint8(file.header, 0, decode(file.number), scale)
            piece = dicom.piece_of(file.header, 0, pixels, scale.name, context)
        except Exception as error:
            yield slices.Skipped(file.number, slices.reason_of(error))
            continue
        yield piece._replace(index=index, file=file.number)


def _scales(files, decode, context):
    """{number of a file: its scale}, and what could not be read to find them."""
    if not files:
        return {}, []
    first = files[0].header
    modality = slices.modality_of(first.get("Modality"), context.modality)
    organ = slices.organ_of(first.get("BodyPartExamined")) or context.organ
    scales = {
        file.number: dicom_grey.table_scale(file.header, modality, organ)
        for file in files
    }
    unscaled = [file for file in files if dicom_grey.is_open(scales[file.number])]
    samples, refused = _samples(unscaled, decode)
    if samples:
        scale = dicom_grey.with_limits(scales[unscaled[0].number], samples.values())
        scales |= dict.fromkeys(samples, scale)
    for skipped in refused:
        del scales[skipped.file]
    return scales, refused


def _samples(files, decode):
    samples, refused = {}, []
    num_values = sum(file.header.Rows * file.header.Columns for file in files)
    for number, header in files:
        try:
            stored = decode(number)
            samples[number] = dicom_grey.sample(
                header, 0, stored, num_values=num_values
            )
        except Exception as error:
            refused.append(slices.Skipped(number, slices.reason_of(error)))
    return samples, refused


def series_of(path: pathlib.Path) -> tuple[str, str] | None:
    """(modality, UID) of a file's series where it is one slice of a volume.

    None of any other file; what is wrong with it `read` says.
    """
    from pydicom import datadict, filereader

    with contextlib.suppress(Exception):  # `read` says what is wrong
        if dicom_file.is_deflated(dicom_file.read_head(path)):
            return None  # to look into it is to inflate it
        with open(path, "rb") as file:
            header = filereader.read_partial(
                file,
                _is_beyond,
                force=True,
                specific_tags=list(map(datadict.tag_for_keyword, _TAGS)),
            )
        modality, uid = (
            str(header.get(name) or "").strip()
            for name in ("Modality", "SeriesInstanceUID")
        )
        if (
            modality in _VOLUMES
            and uid
            and header.get("Rows")
            and header.get("SamplesPerPixel") == 1
            and header.get("PhotometricInterpretation") != "PALETTE COLOR"
            and dicom_header.num_frames(header) == 1
        ):
            return modality, uid
    return None


def _is_beyond(tag, _, __) -> bool:
    return tag.group > _LAST_GROUP


def _stored(path) -> np.ndarray:
    dataset = dicom_file.parse(path)
    return dicom_pixels.frames(dataset).decode(0)
