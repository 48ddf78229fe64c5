"""Reads MetaImage (.mha, .mhd) and NRRD (.nrrd, .nhdr) files through SimpleITK."""

import pathlib
from collections.abc import Iterator

import numpy as np

from data_pipelines import slices
from data_pipelines.readers import itk_header, volumes

is_data_of_header = itk_header.is_data
_TO_RAS = np.diag([-1.0, -1.0, 1.0])  # ITK's axes run to left, posterior, superior


def read(
    path: pathlib.Path, context: slices.Context
) -> Iterator[slices.Slice | slices.Skipped]:
    """Yields the slices of a file in the planes asked for, see `volumes`.

    Colours, uint8 vectors of 3 or 4, stay as they are; other vectors are refused.

    Args:
      path: a header, or a file that holds both.
      context: its modality counts where the header does not say (MetaImage may); CT
        counts as Hounsfield units.

    Raises:
      slices.SkippedError: SimpleITK is not installed, or there is no image of
        intensities, or it is cut or damaged, or its data lies in another folder.
    """
    header = itk_header.parse(path)
    reader = _reader(path, header)
    _check(reader, header)
    stored, affine, sizes = _image(reader, header)
    _, spacing = volumes.to_ras(np.empty((1, 1, 1)), affine, sizes)
    yield from volumes.read(
        _volumes(stored, affine, sizes),
        spacing=spacing,
        context=context,
        modality=_modality(reader, context),
    )


def _reader(path, header):
    """SimpleITK's reader of a file, which has read the header."""
    try:
        import SimpleITK
    except ImportError:
        raise slices.SkippedError(
            "MetaImage and NRRD need SimpleITK: pip install -r requirements-itk.txt"
        ) from None
    reader = SimpleITK.ImageFileReader()
    reader.SetImageIO(header.reader)  # by the content, not by the name
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    return reader


def _check(reader, header) -> None:
    """Raises SkippedError before memory is taken."""
    import SimpleITK

    if any(key.startswith("Segment") for key in reader.GetMetaDataKeys()):
        raise slices.SkippedError("not an image: a segmentation of 3D Slicer")
    name = SimpleITK.GetPixelIDValueAsString(reader.GetPixelIDValue())
    if "complex" in name:
        raise slices.SkippedError("a volume of complex numbers")
    channels = reader.GetNumberOfComponents()
    if channels > 1 and (channels not in (3, 4) or "8-bit unsigned" not in name):
        raise slices.SkippedError("an image of vectors, not of intensities")
    bits = int("".join(filter(str.isdigit, name)) or 64)
    needed = int(np.prod(reader.GetSize(), dtype=object)) * channels * bits // 8
    itk_header.check_size(header, needed)
    itk_header.check_compressed(header, needed)


def _image(reader, header):
    """The voxels [I, J, K, T] or [I, J, K, T, C], their affine and sizes."""
    import SimpleITK

    image = reader.Execute()
    count = image.GetDimension()
    values = SimpleITK.GetArrayFromImage(image)
    if image.GetNumberOfComponentsPerPixel() > 1:
        values = values[..., :3]
    values = np.moveaxis(values, range(count), range(count)[::-1])
    while count < 4:
        values, count = np.expand_dims(values, count), count + 1
    while count > 4 and values.shape[count - 1] == 1:
        values, count = values.squeeze(count - 1), count - 1
    if count > 4:
        raise slices.SkippedError(f"a volume of {count} axes, not 2 to 4")
    affine, sizes = _geometry(image, header)
    return values, affine, sizes


def _geometry(image, header) -> tuple[np.ndarray, volumes.Spacing]:
    count = min(image.GetDimension(), 3)
    stored = np.reshape(image.GetDirection(), (image.GetDimension(),) * 2)
    direction, sizes = np.eye(3), np.zeros(3)
    direction[:count, :count] = stored[:count, :count]
    affine = np.eye(4)
    affine[:3, :3] = _TO_RAS @ direction
    if not volumes.is_usable(affine):
        affine[:3, :3] = _TO_RAS
    if _says_spacing(header):
        sizes[:count] = image.GetSpacing()[:count]
    i, j, k = sizes.tolist()
    return affine, (i, j, k)


def _says_spacing(header) -> bool:
    """ITK makes 1 of what is not said."""
    if header.reader == itk_header.META:
        return bool({"ElementSpacing", "ElementSize"} & header.fields.keys())
    units = set(header.fields.get("spaceunits", '"mm"').replace('"', " ").split())
    says = {"spacedirections", "spacings"} & header.fields.keys()
    return bool(says) and units <= {"mm", "millimeter", "millimeters"}


def _volumes(stored, affine, sizes) -> Iterator[np.ndarray | slices.Skipped]:
    chosen = volumes.chosen(stored.shape[3])
    for number in range(stored.shape[3]):
        if number in chosen:
            yield volumes.to_ras(stored[:, :, :, number], affine, sizes)[0]
        else:
            yield slices.Skipped(0, volumes.LEFT_OUT)


def _modality(reader, context) -> str:
    said = ""
    if "Modality" in reader.GetMetaDataKeys():
        said = reader.GetMetaData("Modality").removeprefix("MET_MOD_")
    return slices.modality_of(said, context.modality)
