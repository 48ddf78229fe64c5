"""NIfTI volumes with labels, as slices in order, and slices stacked back."""

import functools
import hashlib
import os
import pathlib
import tempfile
from collections.abc import Callable, Sequence

import numpy as np

from data_pipelines import intensity, slices
from data_pipelines.readers import nifti, nifti_header
from data_pipelines.readers import volumes as cuts

SHAPE_DIFFERS = "image and label differ in shape"
AXES_DIFFER = "image and label differ in the orientation of their axes"
NOT_3D = "not a volume of three axes"
UNREADABLE = "the header of the volume or of its label cannot be read"
_KEPT = 4  # volumes in memory where there is no cache


def num_slices(path: pathlib.Path, plane: str) -> int:
    """How many slices a volume has; reads its header only."""
    return _shape(path)[0][cuts.PLANES[plane]]


def mismatch(image: pathlib.Path, label: pathlib.Path) -> str | None:
    """Why a label is not one of this volume, by their headers, or None."""
    try:
        (shape, axes), (label_shape, label_axes) = _shape(image), _shape(label)
    except Exception:
        return UNREADABLE
    if len(shape) != 3:
        return NOT_3D
    if shape != label_shape:
        return SHAPE_DIFFERS
    # one of them would be turned, the other not
    return AXES_DIFFER if axes != label_axes else None


def _shape(path) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """The shape in RAS order, and the axes as they are stored, e.g. ("L", "P", "S")."""
    import nibabel

    layout = nifti_header.parse(path)
    *stored, count = layout.shape
    shape = [*stored] if count == 1 else [*stored, count]
    orientation = nibabel.io_orientation(layout.affine)
    for axis, (to, _) in enumerate(orientation[:3]):
        shape[int(to)] = stored[axis]
    return tuple(shape), nibabel.aff2axcodes(layout.affine)


def image_slices(
    path: pathlib.Path, context: slices.Context, cache: pathlib.Path | None
) -> np.ndarray:
    """uint8 [n, H, W]: all slices of a volume along the context's first plane.

    The whole volume has one scale, so that a tissue is as bright in every slice.

    Args:
      path: a NIfTI file of three axes.
      context: modality and plane.
      cache: a folder that keeps decoded volumes, which are mapped then; None keeps the
        last few in memory: enough to read in order, slow for slices at random.
    """
    plane, modality = context.planes[0], slices.modality_of(context.modality, None)

    def make():
        rule = intensity.rule_for(modality=modality, organ=None, hounsfield=True)
        return _cut(intensity.to_uint8(nifti.load(path)[0], rule), plane)

    return stored(path, f"{plane} {modality} {intensity.VERSION}", make, cache)


def label_slices(
    path: pathlib.Path, plane: str, cache: pathlib.Path | None
) -> np.ndarray:
    """int32 [n, H, W]: the numbers of a label volume; `cache` as in `image_slices`.

    Raises:
      slices.SkippedError: its values are no whole numbers.
    """

    def make():
        values = nifti.load(path)[0]
        numbers = np.rint(values).astype(np.int32)
        if not np.array_equal(numbers, values):
            raise slices.SkippedError("is no label: its values are no whole numbers")
        return _cut(numbers, plane)

    return stored(path, f"{plane} label", make, cache)


def _cut(volume, plane):
    number = range(volume.shape[cuts.PLANES[plane]])
    return np.stack([cuts.cut(volume, plane, index) for index in number])


def stack(sections: Sequence[np.ndarray], plane: str) -> np.ndarray:
    """The volume [X, Y, Z] in RAS order whose slices these are, 0 to n - 1.

    Args:
      sections: n of [H, W], as `readers.volumes.cut` turns them.
      plane: that they were cut along.
    """
    turned = [np.asarray(section).T[::-1, ::-1] for section in sections]
    return np.ascontiguousarray(np.stack(turned, axis=cuts.PLANES[plane]))


def stored(
    path: pathlib.Path,
    what: str,
    make: Callable[[], np.ndarray],
    cache: pathlib.Path | None,
) -> np.ndarray:
    """An array made of a file, kept in memory or as a mapped file.

    Args:
      path: the file; another size or time of it makes the array anew.
      what: tells the arrays of one file apart.
      make: decodes it.
      cache: see `image_slices`.
    """
    state = path.stat()
    key = f"{path.resolve()} {state.st_size} {state.st_mtime_ns} {what}"
    digest = hashlib.sha256(os.fsencode(key)).hexdigest()[:32]
    if cache is None:
        return _in_memory(_Made(digest, make))
    place = cache / f"{digest}.npy"
    if not place.exists():
        _save(place, make())
    return np.load(place, mmap_mode="r")


class _Made:
    """A way to make an array that equals others by its key."""

    def __init__(self, key: str, make: Callable[[], np.ndarray]):
        """Keeps both."""
        self.key, self.make = key, make

    def __eq__(self, other) -> bool:
        return self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


@functools.lru_cache(maxsize=_KEPT)
def _in_memory(made: _Made) -> np.ndarray:
    return made.make()


def _save(place: pathlib.Path, array: np.ndarray) -> None:
    """Whole or not at all; of two processes the last wins, with equal bytes."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=place.parent, delete=False) as file:
        np.save(file, array)
    os.replace(file.name, place)
