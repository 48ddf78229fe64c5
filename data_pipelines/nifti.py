"""Reads NIfTI volumes; slices them along the anatomical planes."""

import pathlib
from collections.abc import Iterator

import numpy as np

from data_pipelines import intensity, slices

# the axis, of right-anterior-superior (RAS) order, that a plane is perpendicular to
PLANES = {"sagittal": 0, "coronal": 1, "axial": 2}


def read(path: pathlib.Path, context: slices.Context) -> Iterator[slices.Slice]:
    """Yields every slice of a file in the planes asked for.

    Args:
      path: a .nii or .nii.gz file with three or four axes; of four, each volume is
        scaled for itself.
      context: NIfTI does not say its modality; CT counts as Hounsfield units.
    """
    values, spacing = load(path)
    modality = slices.modality_of(context.modality, None)
    rule = intensity.rule_for(modality=modality, organ=None, hounsfield=True)
    for volume in np.moveaxis(values, -1, 0) if values.ndim == 4 else [values]:
        scaled = intensity.to_uint8(volume, rule)
        for plane in context.planes:
            for index in range(scaled.shape[PLANES[plane]]):
                yield slices.Slice(
                    pixels=cut(scaled, plane, index),
                    modality=modality,
                    organ=None,
                    spacing=spacing_of(spacing, plane),
                    identity=context.identity,
                    index=index,
                    intensity_rule=rule.name,
                )


def load(path: pathlib.Path) -> tuple[np.ndarray, tuple[float, float, float]]:
    """A volume [X, Y, Z] or [X, Y, Z, T] in RAS order, and its spacing in mm."""
    import nibabel

    image = nibabel.as_closest_canonical(nibabel.load(path))
    if len(image.shape) not in (3, 4):
        raise slices.SkippedError(f"a volume of {len(image.shape)} axes, not 3 or 4")
    if image.get_data_dtype().fields:
        raise slices.SkippedError("a colour volume")
    x, y, z = (float(size) for size in image.header.get_zooms()[:3])
    return np.asarray(image.dataobj), (x, y, z)


def cut(volume: np.ndarray, plane: str, index: int) -> np.ndarray:
    """One slice of [X, Y, Z] in RAS order, as a reader of scans sees it.

    Row 0 is anterior (axial) or superior; column 0 is the patient's right, or anterior
    (sagittal): the orientation of most DICOM series.
    """
    section = np.take(volume, index, axis=PLANES[plane])
    return np.ascontiguousarray(section[::-1, ::-1].T)


def spacing_of(
    spacing: tuple[float, float, float], plane: str
) -> tuple[float, float] | None:
    """(row, column) in mm of a slice as `cut` turns it."""
    column, row = (size for axis, size in enumerate(spacing) if axis != PLANES[plane])
    return (row, column) if min(row, column) > 0 else None
