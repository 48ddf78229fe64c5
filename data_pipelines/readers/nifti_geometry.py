"""Which way the axes of a NIfTI or Analyze volume run, and how large a voxel is.

The axes run by the sform where its code is above 0, else by the qform where its code
is, else as Analyze's do: the first from right to left (so does nibabel). One that is
singular or not finite counts as absent. Where sform and qform disagree, however much,
the sform decides, as in nibabel.

The size of a voxel is that of the sform where that is used, else pixdim; in mm by the
header's unit, where an unknown one is mm. What is not above 0 is unknown.
"""

import numpy as np

from data_pipelines.readers import volumes

_MILLIMETRES = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}  # by the code of the unit


def affine_and_sizes(header, *, is_analyze: bool) -> tuple[np.ndarray, volumes.Spacing]:
    """[4, 4] from I, J, K to RAS, always usable; and the voxel's sizes along I, J, K.

    Args:
      header: nibabel's.
      is_analyze: it has neither sform, qform nor unit.
    """
    sizes = np.array(header["pixdim"][1:4], np.float64)
    known = np.isfinite(sizes) & (sizes > 0)
    sizes = np.where(known, sizes, 0.0)
    affine = np.diag([-1.0, 1.0, 1.0, 1.0])
    unit = 1.0
    if not is_analyze:
        unit = _MILLIMETRES.get(int(header["xyzt_units"]) & 7, 0.0)
        sform, qform = header.get_sform(), _qform(header, np.where(known, sizes, 1.0))
        if header["sform_code"] > 0 and volumes.is_usable(sform):
            affine, sizes = sform, np.sqrt((sform[:3, :3] ** 2).sum(axis=0))
        elif header["qform_code"] > 0 and volumes.is_usable(qform):
            affine = qform
    i, j, k = (sizes * unit).tolist()
    return affine, (i, j, k)


def _qform(header, sizes) -> np.ndarray:
    """Its directions; [4, 4] of zeros where the quaternion is none."""
    header = header.copy()
    header["pixdim"][1:4] = sizes
    if header["pixdim"][0] not in (-1, 1):  # NIfTI: "0 is treated as 1"
        header["pixdim"][0] = 1
    try:
        return header.get_qform()
    except ValueError:  # longer than 1
        return np.zeros((4, 4))
