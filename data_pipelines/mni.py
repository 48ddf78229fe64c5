"""The MNI ICBM152 brain that nilearn ships, cut into a training and a test part.

Training is left of the mid-sagittal plane, test is right of it. The template is
symmetric, though: its right half mirrors its left, voxel by voxel, so a split by sides
alone would test on mirrored training data. The slices of every plane are therefore also
dealt in stripes: of each 26, 14 to train on (left) and 8 to test on
(right), with gaps of 2 between. No slice, nor its mirror image, nor a direct neighbour
of it, stands on both sides. Slices of other planes do cross: it is one brain, and this
a check that training works, no benchmark. Slices are cut to cubes, so that all have one
shape, which does not tell their plane.
"""

import importlib.util
import itertools
import pathlib
from typing import NamedTuple

import numpy as np

from data_pipelines import intensity
from data_pipelines.readers import nifti, volumes

SHAPE = (197, 233, 189)
# sides of 73 voxels of 1 mm; the brain fills 26 to 170, 27 to 207 and 0 to 154
_SIDES = {
    "training": slice(25, 98),
    "test": slice(99, 172),
}  # plane 98 is in the middle
_DEPTHS = slice(35, 108), slice(127, 200)  # back, front
_HEIGHTS = slice(0, 73), slice(82, 155)  # bottom, top
_PERIOD = 26  # voxels
_STRIPES = {"training": range(14), "test": range(16, 24)}  # of each period
TISSUES = ("other", "grey matter", "white matter")
RULE = intensity.rule_for(modality="MR", organ="BRAIN", hounsfield=False)
_MIN_BRAIN = 0.15  # share of a slice that must be brain


class CubeSlice(NamedTuple):
    """One slice of one cube: its plane, its index in the volume, and how to cut it."""

    plane: str
    index: int
    cube: tuple[slice, slice, slice]

    def cut(self, volume: np.ndarray) -> np.ndarray:
        """This slice [73, 73] of a volume [197, 233, 189] in RAS order."""
        start = self.cube[volumes.PLANES[self.plane]].start
        return volumes.cut(volume[self.cube], self.plane, self.index - start)


def path(kind: str) -> pathlib.Path:
    """Where the template lies: `kind` is "t1", "gm" or "wm" (1 mm, 197x233x189)."""
    spec = importlib.util.find_spec("nilearn")
    if spec is None:
        raise ImportError("nilearn brings the MNI brain: pip install nilearn")
    folder = pathlib.Path(spec.submodule_search_locations[0]) / "datasets" / "data"
    found = sorted(folder.glob(f"mni_icbm152_{kind}_*.nii.gz"))
    if not found:
        raise FileNotFoundError(f"{folder}: no MNI template {kind!r} in this nilearn")
    return found[0]


def load() -> np.ndarray:
    """The T1 volume, uint8 [197, 233, 189] in RAS order, scaled; 0 is no brain."""
    return intensity.to_uint8(nifti.load(path("t1"))[0], RULE)


def load_tissues() -> np.ndarray:
    """The likeliest of TISSUES at each voxel, int32 [197, 233, 189]."""
    grey, white = (nifti.load(path(kind))[0].astype(np.int16) for kind in ("gm", "wm"))
    other = 255 - grey - white  # shares are stored in 255ths
    return np.where(grey > white, grey > other, 2 * (white > other)).astype(np.int32)


def cube_slices(
    brain: np.ndarray, *, part: str, per_plane: int | None
) -> list[CubeSlice]:
    """The slices of a part that show enough brain, plane by plane.

    Args:
      brain: [197, 233, 189] in RAS order; above 0 is brain.
      part: "training" or "test".
      per_plane: how many of each plane, evenly spread; None takes all.
    """
    cubes = list(itertools.product((_SIDES[part],), _DEPTHS, _HEIGHTS))
    found = []
    for plane, axis in volumes.PLANES.items():
        pieces = [
            CubeSlice(plane, index, cube)
            for cube in cubes
            for index in range(cube[axis].start, cube[axis].stop)
            if _stripe(index, axis) in _STRIPES[part]
        ]
        shown = [each for each in pieces if (each.cut(brain) > 0).mean() >= _MIN_BRAIN]
        count = len(shown) if per_plane is None else per_plane
        found += [shown[i] for i in np.linspace(0, len(shown) - 1, count).astype(int)]
    return found


def _stripe(index: int, axis: int) -> int:
    """Place of a slice in its period; of sagittal ones, that of the left twin."""
    if axis == 0:
        index = min(index, SHAPE[0] - 1 - index)
    return index % _PERIOD
