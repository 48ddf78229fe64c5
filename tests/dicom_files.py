"""Writes small DICOM files for the tests of several modules."""

import pydicom
from pydicom import encaps, uid


def write(
    path,
    pixels,
    *,
    modality="MR",
    photometric="MONOCHROME2",
    syntax=uid.ExplicitVRLittleEndian,
    storage=uid.SecondaryCaptureImageStorage,
    **elements,
):
    """One file of frames [H, W], [F, H, W] or [H, W, 3]; `elements` replace others."""
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.UID(syntax)
    dataset.file_meta.MediaStorageSOPClassUID = uid.UID(storage)
    dataset.file_meta.MediaStorageSOPInstanceUID = uid.UID("1.2.3")
    dataset.SOPClassUID = uid.UID(storage)
    dataset.SOPInstanceUID = uid.UID("1.2.3")
    dataset.Modality = modality
    colour = pixels.shape[-1] == 3
    if pixels.ndim == 3 and not colour:
        dataset.NumberOfFrames = len(pixels)
    dataset.SamplesPerPixel = 3 if colour else 1
    if colour:
        dataset.PlanarConfiguration = 0
    dataset.PhotometricInterpretation = photometric
    dataset.Rows, dataset.Columns = pixels.shape[:2] if colour else pixels.shape[-2:]
    bits = 8 * pixels.dtype.itemsize
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit = bits - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OW"
    for name, value in elements.items():
        setattr(dataset, name, value)
    known = not uid.UID(syntax).is_private
    if known and uid.UID(syntax).is_compressed and not syntax.endswith(".99"):
        dataset["PixelData"].is_undefined_length = True
        if "PixelData" not in elements:  # any bytes: what no decoder will see
            dataset.PixelData = encaps.encapsulate([b"\xff\xd8\xff\xd9"])
    encoding = {} if known else {"implicit_vr": False, "little_endian": True}
    dataset.save_as(path, enforce_file_format=True, **encoding)
    return path


def write_bare(path, dataset, syntax):
    """A file of nothing but the data set: no preamble, no file meta information."""
    dataset.file_meta, dataset.preamble = pydicom.dataset.FileMetaDataset(), None
    pydicom.dcmwrite(
        path,
        dataset,
        implicit_vr=syntax.is_implicit_VR,
        little_endian=syntax.is_little_endian,
    )


def item(**elements):
    """A data set, as the items of sequences are."""
    dataset = pydicom.Dataset()
    for name, value in elements.items():
        setattr(dataset, name, value)
    return dataset
