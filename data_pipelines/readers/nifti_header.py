"""What the header of a NIfTI or Analyze file says of its voxels, checked.

Nothing in a header is trusted before memory is taken for it.
"""

import pathlib
from typing import NamedTuple

import numpy as np

from data_pipelines import slices
from data_pipelines.readers import nifti_files, nifti_geometry, volumes

LARGEST = 2**31  # voxels of one volume; more are not read
_LENGTH = 540  # bytes of the longest header
# a byte of deflate gives at most 1032
_MOST_INFLATED = 1032
_DTYPES = {
    2: "u1",
    4: "i2",
    8: "i4",
    16: "f4",
    64: "f8",
    256: "i1",
    512: "u2",
    768: "u4",
    1024: "i8",
    1280: "u8",
}
_COLOURS = {128: 3, 2304: 4}  # RGB24, RGBA32
_REFUSED_DTYPES = {
    1: "single bits",
    32: "complex numbers",
    1536: "floats of 128 bits",  # x87's or IEEE's, nobody can tell
    1792: "complex numbers",
    2048: "complex numbers",
}
# intent codes whose values are no intensities
_REFUSED_INTENTS = {
    **dict.fromkeys((1002, 1003), "a label map (by its intent code)"),
    **dict.fromkeys(range(1004, 1011), "vectors or matrices (by its intent code)"),
    **dict.fromkeys(range(2006, 2010), "a deformation (by its intent code)"),
    **dict.fromkeys(range(2016, 2019), "a distortion field (by its intent code)"),
}
_ORDERS = {"<": "little", ">": "big"}


class Layout(NamedTuple):
    """Where the voxels of a file lie, and what they mean.

    Attributes:
      data: the file that holds them.
      offset: bytes before them, after decompression.
      dtype: of a stored number, with its byte order.
      shape: (I, J, K, T), each at least 1; I changes fastest.
      channels: 0 for grey values, 3 or 4 for colours.
      planar: whether the channels of a colour lie apart.
      scale: (slope, intercept) from stored to real values; None changes nothing.
      affine: [4, 4] that tells which way I, J, K run in RAS.
      sizes: of a voxel along I, J, K in mm; 0 is unknown.
      intent: NIfTI's code.
    """

    data: pathlib.Path
    offset: int
    dtype: np.dtype
    shape: tuple[int, int, int, int]
    channels: int
    planar: bool
    scale: tuple[float, float] | None
    affine: np.ndarray
    sizes: volumes.Spacing
    intent: int

    @property
    def volume_bytes(self) -> int:
        """Of one of T volumes as stored."""
        count = int(np.prod(self.shape[:3], dtype=object))
        return count * max(self.channels, 1) * self.dtype.itemsize


def is_header(path: pathlib.Path) -> bool:
    """Whether a file begins as NIfTI or Analyze does, compressed or not."""
    try:
        with nifti_files.opened(path) as file:
            return _kind(file.read(_LENGTH)) is not None
    except (OSError, slices.SkippedError):
        return False


def parse(path: pathlib.Path) -> Layout:
    """Reads and checks a header.

    Args:
      path: a single file, or either file of a header and data pair.

    Raises:
      slices.SkippedError: it is no such file, or not one that is read.
    """
    block, kind, path = _block(path)
    header = _parsed(block, kind)
    single = block[344:347] == b"n+1" or block[4:7] == b"n+2"
    data = path if single else nifti_files.data_of(path)
    if data is None:
        raise slices.SkippedError("the .img file of this header is missing")
    intent = int(header["intent_code"]) if kind != "Analyze" else 0
    if 3000 <= intent < 3100:
        raise slices.SkippedError("not an image: points of a surface (CIFTI)")
    code = int(header["datatype"])
    if code not in _DTYPES and code not in _COLOURS:
        what = _REFUSED_DTYPES.get(code, "data of an unknown type")
        raise slices.SkippedError(f"a volume of {what}")
    shape, planes = _shape(header, code)
    affine, sizes = nifti_geometry.affine_and_sizes(
        header, is_analyze=kind == "Analyze"
    )
    layout = Layout(
        data=data,
        offset=_offset(header, len(header.binaryblock) if single else 0),
        dtype=np.dtype(_DTYPES.get(code, "u1")).newbyteorder(header.endianness),
        shape=shape,
        channels=planes or _COLOURS.get(code, 0),
        planar=planes > 0,
        scale=None if planes or code in _COLOURS else _scale(header),
        affine=affine,
        sizes=sizes,
        intent=intent,
    )
    _check_size(layout)
    return layout


def check_intent(layout: Layout) -> None:
    """Raises SkippedError where the header says that its values are no image."""
    if layout.intent in _REFUSED_INTENTS:
        raise slices.SkippedError(f"not an image: {_REFUSED_INTENTS[layout.intent]}")


def _block(path) -> tuple[bytes, str, pathlib.Path]:
    """The header's bytes, its kind and the file that holds it."""
    for each in (path, nifti_files.header_of(path)):
        if each is not None:
            with nifti_files.opened(each) as file:
                block = file.read(_LENGTH)
            if kind := _kind(block):
                return block, kind, each
    raise slices.SkippedError("not a NIfTI or Analyze file: it has no such header")


def _kind(block) -> str | None:
    if len(block) >= 540 and block[4:12] in (b"n+2\0\r\n\x1a\n", b"ni2\0\r\n\x1a\n"):
        return "NIfTI-2"
    if len(block) >= 348 and block[344:348] in (b"n+1\0", b"ni1\0"):
        return "NIfTI-1"
    # Analyze has no mark but its length; so do some of Siemens' DICOM files begin
    for order in _ORDERS.values():
        length, axes = block[:4], block[40:42]
        if len(block) >= 348 and int.from_bytes(length, order) == 348:
            return "Analyze" if 1 <= int.from_bytes(axes, order) <= 7 else None
    return None


def _parsed(block, kind):
    import nibabel
    import nibabel.spm2analyze

    header, length = {
        "NIfTI-1": (nibabel.Nifti1Header, 348),
        "NIfTI-2": (nibabel.Nifti2Header, 540),
        "Analyze": (nibabel.spm2analyze.Spm2AnalyzeHeader, 348),
    }[kind]
    order = "<" if int.from_bytes(block[:4], "little") == length else ">"
    # one of another length is broken: nibabel guesses its byte order
    known = int.from_bytes(block[:4], _ORDERS[order]) == length
    return header(block[:length], order if known else None, check=False)


def _shape(header, code) -> tuple[tuple[int, int, int, int], int]:
    """(I, J, K, T), and how many planes of colour follow."""
    count = int(header["dim"][0])
    if not 2 <= count <= 7:
        raise slices.SkippedError("not a volume of 2 to 4 axes")
    shape = [int(size) for size in header["dim"][1 : count + 1]]
    if min(shape) < 1:
        raise slices.SkippedError("an axis of its volume has no voxel")
    while len(shape) > 1 and shape[-1] == 1:
        shape.pop()
    planes = 0
    # ITK stores colours so; a field of vectors is never 8-bit
    if len(shape) == 5 and shape[3] == 1 and shape[4] in (3, 4) and code == 2:
        planes = shape.pop()
    if len(shape) > 4:
        raise slices.SkippedError(f"a volume of {len(shape)} axes, not 2 to 4")
    i, j, k, t = shape + [1] * (4 - len(shape))
    return (i, j, k, t), planes


def _offset(header, least) -> int:
    """Where the data begins; 0 in a single file means that nobody wrote it."""
    offset = float(header["vox_offset"])
    if offset == 0 and least:
        return least + 4  # the bytes that announce extensions
    if not np.isfinite(offset) or offset < least:
        raise slices.SkippedError("its header says that the data begins inside of it")
    return int(offset)


def _scale(header) -> tuple[float, float] | None:
    """A slope of 0, NaN or infinity means none, and so does 1 without intercept."""
    import nibabel

    try:
        slope, intercept = header.get_slope_inter()
    except nibabel.spatialimages.HeaderDataError:
        raise slices.SkippedError("its intercept is not a finite number") from None
    if slope is None or (slope, intercept or 0.0) == (1.0, 0.0):
        return None
    return float(slope), float(intercept or 0.0)


def _check_size(layout) -> None:
    if np.prod(layout.shape[:3], dtype=object) > LARGEST:
        raise slices.SkippedError(f"a volume of more than {LARGEST:,} voxels")
    most = layout.data.stat().st_size
    if nifti_files.is_compressed(layout.data):
        most *= _MOST_INFLATED
    if layout.offset + layout.volume_bytes * layout.shape[3] > most:
        raise slices.SkippedError(nifti_files.CUT)
