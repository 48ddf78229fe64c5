"""The MNI ICBM152 brain that nilearn ships, cut into a training and a test part.

The template is symmetric: its right half mirrors its left half, voxel by voxel, so a
split by sides would test on mirrored training data. The parts are cubes of one half
instead, in a checkerboard: back and bottom with front and top to train on, the other
two to test on. A gap lies between them, since neighbouring slices are nearly equal.
Slices of a cube have one shape, which therefore does not tell their plane.
"""

import importlib.util
import pathlib
from typing import NamedTuple

import numpy as np

from data_pipelines import intensity, nifti

# sides of 73 voxels of 1 mm; the brain fills 26 to 170, 27 to 207 and 0 to 154
_LEFT = slice(26, 99)  # of axis 0, up to the mid-sagittal plane
_BACK, _FRONT = slice(35, 108), slice(127, 200)  # of axis 1
_BOTTOM, _TOP = slice(0, 73), slice(82, 155)  # of axis 2
CUBES = {
    "training": ((_LEFT, _BACK, _BOTTOM), (_LEFT, _FRONT, _TOP)),
    "test": ((_LEFT, _FRONT, _BOTTOM), (_LEFT, _BACK, _TOP)),
}
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
        start = self.cube[nifti.PLANES[self.plane]].start
        return nifti.cut(volume[self.cube], self.plane, self.index - start)


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
    found = []
    for plane, axis in nifti.PLANES.items():
        pieces = [
            CubeSlice(plane, index, cube)
            for cube in CUBES[part]
            for index in range(cube[axis].start, cube[axis].stop)
        ]
        shown = [each for each in pieces if (each.cut(brain) > 0).mean() >= _MIN_BRAIN]
        count = len(shown) if per_plane is None else per_plane
        found += [shown[i] for i in np.linspace(0, len(shown) - 1, count).astype(int)]
    return found
