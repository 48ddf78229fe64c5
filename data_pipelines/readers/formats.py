"""Which format a file has: by its content; by its name where the content is damaged."""

import pathlib

from data_pipelines.readers import (
    dicom,
    dicom_content,
    hdf5,
    images,
    itk,
    itk_header,
    nifti,
    nifti_header,
    numpy_files,
    whole_slides,
)

# names end so; lower case
EXTENSIONS = {
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg"),
    "TIFF": (".tif", ".tiff", ".btf", ".lsm", ".svs", ".ndpi", ".scn", ".bif"),
    "BMP": (".bmp",),
    "WebP": (".webp",),
    "DICOM": (".dcm", ".dicom", ".ima"),
    "NIfTI": (".nii", ".nii.gz", ".hdr", ".img", ".img.gz"),
    "MetaImage": (".mha", ".mhd"),
    "NRRD": (".nrrd", ".nhdr"),
    "NumPy": (".npy",),
    "NumPy archive": (".npz",),
    "HDF5": (".h5", ".hdf5", ".hdf"),
    "whole slide": (".mrxs", ".vms", ".vmu"),
}
READERS = {
    **dict.fromkeys(("PNG", "JPEG", "TIFF", "BMP", "WebP"), images.read),
    "DICOM": dicom.read,
    "NIfTI": nifti.read,
    **dict.fromkeys(("MetaImage", "NRRD"), itk.read),
    "NumPy": numpy_files.read_npy,
    "NumPy archive": numpy_files.read_npz,
    "HDF5": hdf5.read,
    "whole slide": whole_slides.read,
}
_PICTURES = {"WEBP": "WebP"}  # of `images.kind_of`, where its name differs
_HEAD = max(dicom_content.HEAD_BYTES, 512)


def of(path: pathlib.Path) -> str | None:
    """The format of a file, one of EXTENSIONS, or None where it is no image.

    Raises:
      OSError: the file cannot be read.
    """
    named = by_name(path.name)
    if named == "whole slide":  # begins as a JPEG or as text does
        return named
    with path.open("rb") as file:
        head = file.read(_HEAD)
    return _by_content(head, path, named) or named


def by_name(name: str) -> str | None:
    """The format that a name promises, or None."""
    lower = name.lower()
    return next(
        (kind for kind, ends in EXTENSIONS.items() if lower.endswith(ends)), None
    )


def _by_content(head: bytes, path: pathlib.Path, named: str | None) -> str | None:
    if dicom_content.has_dicom_content(head):  # its preamble may be that of a TIFF
        return "DICOM"
    picture = images.kind_of(head)
    if picture:
        return _PICTURES.get(picture, picture)
    if head.startswith(hdf5.MAGIC):
        return "HDF5"
    if head.startswith(numpy_files.NPY_MAGIC):
        return "NumPy"
    if head.startswith(numpy_files.NPZ_MAGIC) and b".npy" in head:
        return "NumPy archive"
    if nifti_header.is_header(path):
        return "NIfTI"
    if itk_header.is_header(path):
        return named if named in ("MetaImage", "NRRD") else "NRRD"
    return None
