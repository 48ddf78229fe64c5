"""Volumes of any file format as 2-D slices along the anatomical planes.

Which slices become records:

* A volume is turned to the axes nearest to right, anterior, superior (RAS), so that it
  gives the same slices in the same order however it was stored.
* Of a series of at most MAX_VOLUMES volumes (modalities, echoes, phases) all are read;
  a longer one (fMRI, diffusion, cine) repeats itself: its first and its middle volume.
* Each volume is scaled for itself, also one of 8 bits, whose siblings may have more.
  Colours and pictures of 8 bits stay as they are.
* A volume of 2 to MAX_LABELS different whole numbers is a label map, and no image.
* A slice is empty where less than MIN_FOREGROUND of its pixels are further from its
  most frequent grey level than a tenth of the range between the 0.1th and the 99.9th
  percentile of the volume: air with its noise, the table of a CT, one grey.
* An image with an axis of one voxel is a picture: it is cut across that axis, whatever
  planes are asked for, and never called empty.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from data_pipelines import intensity, slices

# the axis, of right-anterior-superior (RAS) order, that a plane is perpendicular to
PLANES = {"sagittal": 0, "coronal": 1, "axial": 2}
MAX_VOLUMES = 8
MAX_LABELS = 16
MIN_FOREGROUND = 0.02

EMPTY = "empty slice"
LABEL_MAP = f"a label map: at most {MAX_LABELS} different values, all whole numbers"
LEFT_OUT = (
    f"volume of a series of more than {MAX_VOLUMES}: only the first and the middle "
    "one are read"
)
_SAMPLE = 2**16  # voxels that tell most images from label maps

Spacing = tuple[float, float, float]  # of X, Y, Z in mm; 0 is unknown


def read(
    volumes: Iterable[np.ndarray | slices.Skipped],
    *,
    spacing: Spacing,
    context: slices.Context,
    modality: str,
) -> Iterator[slices.Slice | slices.Skipped]:
    """Yields the slices of a file, plane by plane; see above which.

    Args:
      volumes: each [X, Y, Z] or colour [X, Y, Z, 3] (uint8) in RAS order.
      spacing: of all of them.
      context: its planes and identity count.
      modality: one of `slices.MODALITIES`; CT is in Hounsfield units.
    """
    for values in volumes:
        if isinstance(values, slices.Skipped):
            yield values
        elif is_label_map(values):
            yield slices.Skipped(0, LABEL_MAP)
        else:
            yield from _slices(values, spacing, context, modality)


def _slices(values, spacing, context, modality):
    is_picture = 1 in values.shape[:3]
    is_8_bit = values.dtype == np.uint8
    # 8 bits hold no Hounsfield units
    rule = intensity.rule_for(
        modality=modality, organ=context.organ, hounsfield=not is_8_bit
    )
    name = rule.name
    if values.ndim == 4 or (is_8_bit and is_picture):
        name = intensity.UNTOUCHED
    else:
        values = intensity.to_uint8(values, rule)
    distance = _range(values) / 10
    for plane in _planes(values.shape, context.planes):
        for index in range(values.shape[PLANES[plane]]):
            pixels = cut(values, plane, index)
            if not is_picture and _is_empty(pixels, distance):
                yield slices.Skipped(0, EMPTY)
                continue
            yield slices.Slice(
                pixels=slices.grey_where_equal(pixels),
                modality=modality,
                organ=context.organ,
                spacing=spacing_of(spacing, plane),
                identity=context.identity,
                index=None if is_picture else index,
                intensity_rule=name,
            )


def _planes(shape, wanted) -> list[str]:
    across = [plane for plane, axis in PLANES.items() if shape[axis] == 1]
    return across or list(wanted)


def cut(volume: np.ndarray, plane: str, index: int) -> np.ndarray:
    """One slice of [X, Y, Z] or [X, Y, Z, 3] in RAS order, as readers of scans see it.

    Row 0 is anterior (axial) or superior; column 0 is the patient's right, or anterior
    (sagittal): the orientation of most DICOM series.
    """
    section = np.moveaxis(volume, PLANES[plane], 0)[index]
    return np.ascontiguousarray(section[::-1, ::-1].swapaxes(0, 1))


def spacing_of(spacing: Spacing, plane: str) -> tuple[float, float] | None:
    """(row, column) in mm of a slice as `cut` turns it; None where it is unknown."""
    column, row = (size for axis, size in enumerate(spacing) if axis != PLANES[plane])
    known = np.isfinite([row, column]).all() and min(row, column) > 0
    return (row, column) if known else None


def is_usable(affine: np.ndarray) -> bool:
    """Whether an affine [4, 4] is finite and gives each axis a direction of its own."""
    import nibabel.orientations

    part = np.asarray(affine, np.float64)[:3, :3]
    if not np.isfinite(affine).all() or not (part**2).sum(axis=0).all():
        return False
    return not np.isnan(nibabel.orientations.io_orientation(affine)).any()


def to_ras(
    stored: np.ndarray, affine: np.ndarray, sizes: Spacing
) -> tuple[np.ndarray, Spacing]:
    """Turns the axes of a volume to the nearest of right, anterior, superior.

    Args:
      stored: [I, J, K, ...].
      affine: usable [4, 4], from I, J, K to RAS.
      sizes: of a voxel along I, J, K.

    Returns:
      A view [X, Y, Z, ...] and the sizes along X, Y, Z.
    """
    import nibabel.orientations

    orientation = nibabel.orientations.io_orientation(affine)
    steps = tuple(slice(None, None, int(step)) for step in orientation[:, 1])
    order = np.argsort(orientation[:, 0]).tolist()  # of each of X, Y, Z its stored axis
    turned = stored[steps].transpose(*order, *range(3, stored.ndim))
    x, y, z = (float(sizes[axis]) for axis in order)
    return turned, (x, y, z)


def chosen(count: int) -> tuple[int, ...]:
    """Which volumes of a series are read."""
    return tuple(range(count)) if count <= MAX_VOLUMES else (0, count // 2)


def is_label_map(values: np.ndarray) -> bool:
    """Whether a volume has 2 to MAX_LABELS different values, all whole numbers."""
    if values.ndim == 4 or not values.size:
        return False
    step = int(np.ceil((values.size / _SAMPLE) ** (1 / 3)))
    known = np.unique(values[::step, ::step, ::step])
    for index in intensity.slabs(values):
        if len(known) > MAX_LABELS or not _are_whole(known):
            return False
        slab = values[index]
        known = np.union1d(known, slab[~np.isin(slab, known)])
    return 2 <= len(known) <= MAX_LABELS and _are_whole(known)


def _are_whole(values) -> bool:
    return bool((np.isfinite(values) & (np.rint(values) == values)).all())


def _range(scaled) -> int:
    """Grey levels between the 0.1th and the 99.9th percentile of a volume."""
    counts = np.zeros(256, np.int64)
    for index in intensity.slabs(scaled):
        counts += np.bincount(scaled[index].ravel(), minlength=256)
    low, high = np.searchsorted(np.cumsum(counts) / counts.sum(), (0.001, 0.999))
    return int(high - low)


def _is_empty(pixels, distance) -> bool:
    counts = np.bincount(pixels.ravel(), minlength=256)
    stands_out = np.abs(np.arange(256) - np.argmax(counts)) > distance
    return bool(counts[stands_out].sum() < MIN_FOREGROUND * pixels.size)
