"""Opens a DICOM file, and says by name what holds no image of a patient."""

import pathlib
import struct
import zlib

from data_pipelines import slices
from data_pipelines.readers import dicom_content

# modalities (PS3.3, C.7.3.1.1.1) whose objects hold no image of a patient
NOT_IMAGES = {
    "ASMT": "content assessment",
    "AU": "audio",
    "DOC": "document",
    "ECG": "electrocardiogram",
    "EEG": "electroencephalogram",
    "EMG": "electromyogram",
    "EOG": "electrooculogram",
    "EPS": "cardiac electrophysiology",
    "FID": "fiducials",
    "HD": "hemodynamic waveform",
    "KO": "key object selection",
    "M3D": "model for 3-D manufacturing",
    "PLAN": "plan",
    "PR": "presentation state",
    "REG": "registration",
    "RESP": "respiratory waveform",
    "RTDOSE": "radiotherapy dose",
    "RTINTENT": "radiotherapy intent",
    "RTPLAN": "radiotherapy plan",
    "RTRECORD": "radiotherapy record",
    "RTSTRUCT": "radiotherapy structures",
    "RWV": "real world value map",
    "SEG": "segmentation",
    "SMR": "stereometric relationship",
    "SR": "structured report",
}
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_SIZES = ("Rows", "Columns", "BitsAllocated")
_DIRECTORY = "1.2.840.10008.1.3.10"
_STORAGE = "1.2.840.10008.5.1.4.1.1."
# storage classes (PS3.4, B.5) without an image, by the numbers that follow _STORAGE
_NOT_IMAGES = """
4.2 8 9 10 11 66 67 68 77.1.5.3 77.1.5.8 78 79 80 81 82 88 90 91 104 129 131 200 201 481
"""
_NOT_IMAGE_CLASSES = frozenset(_NOT_IMAGES.split())
_IMAGE_CLASSES = ("481.1", "481.23", "481.24")  # radiotherapy has images too
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_LARGEST_INFLATED = 2**31  # bytes


def parse(path: pathlib.Path, *, with_pixels: bool = True):
    """The data set of a file that holds an image.

    Args:
      path: a file, with or without DICOM's preamble and file meta information.
      with_pixels: whether the pixels are read too; else they are not looked for.

    Raises:
      slices.SkippedError: it is not DICOM, or no image of a patient.
    """
    import pydicom

    head = read_head(path)
    if not dicom_content.has_dicom_content(head):
        raise slices.SkippedError(
            "not a DICOM file: neither a DICM marker nor a data set at its start"
        )
    if is_deflated(head):
        _check_inflated_size(path, head)
    dataset = pydicom.dcmread(path, force=True, stop_before_pixels=not with_pixels)
    if not dataset:  # pydicom drops all of a file that ends within compressed pixels
        dataset = pydicom.dcmread(path, force=True, stop_before_pixels=True)
    _check_kind(dataset)
    if with_pixels and not any(name in dataset for name in _PIXELS):
        cut = ": the file seems to be cut" if dataset.get("Rows") else ""
        raise slices.SkippedError(f"no pixel data{cut}")
    if not all(dataset.get(name) for name in _SIZES):
        raise slices.SkippedError("its header does not say the size of the image")
    _complete(dataset)
    return dataset


def read_head(path: pathlib.Path) -> bytes:
    """The first bytes of a file: enough for `dicom_content` and its transfer syntax."""
    with open(path, "rb") as file:
        return file.read(2 * dicom_content.HEAD_BYTES)


def is_deflated(head: bytes) -> bool:
    """Whether all that follows is compressed, so that even its header may be huge."""
    return _DEFLATED in head


def class_of(dataset) -> str:
    """The UID of what kind of object it is, or ""."""
    meta = getattr(dataset, "file_meta", {})
    uid = dataset.get("SOPClassUID") or meta.get("MediaStorageSOPClassUID")
    return str(uid or "").strip()


def _check_kind(dataset) -> None:
    uid = class_of(dataset)
    if uid == _DIRECTORY or "DirectoryRecordSequence" in dataset:
        raise slices.SkippedError(
            "a DICOMDIR: the files that it lists are read themselves"
        )
    code = str(dataset.get("Modality") or "").strip().upper()
    if code in NOT_IMAGES:
        raise slices.SkippedError(f"not an image: {code}, {NOT_IMAGES[code]}")
    if uid.startswith(_STORAGE) and _is_no_image(uid.removeprefix(_STORAGE)):
        raise slices.SkippedError(f"not an image: {_name(uid)}")


def _is_no_image(numbers: str) -> bool:
    parts = numbers.split(".")
    beginnings = {".".join(parts[:length]) for length in range(1, len(parts) + 1)}
    return numbers not in _IMAGE_CLASSES and not beginnings.isdisjoint(
        _NOT_IMAGE_CLASSES
    )


def _name(uid: str) -> str:
    """DICOM's own name of a UID: what a header writes there is not repeated."""
    from pydicom.uid import UID, UID_dictionary

    return UID(uid).name if uid in UID_dictionary else "another storage class"


def _complete(dataset) -> None:
    """Fills in what old and careless writers leave out and decoders insist on."""
    import pydicom

    if not hasattr(dataset, "file_meta"):
        dataset.file_meta = pydicom.dataset.FileMetaDataset()
    if not dataset.file_meta.get("TransferSyntaxUID"):
        dataset.file_meta.TransferSyntaxUID = _syntax_as_read(dataset)
    defaults = {"SamplesPerPixel": 1, "PixelRepresentation": 0}
    defaults |= {"BitsStored": dataset.BitsAllocated}
    if dataset.get("SamplesPerPixel", 1) == 3:
        defaults |= {"PlanarConfiguration": 0, "PhotometricInterpretation": "RGB"}
    else:
        defaults |= {"PhotometricInterpretation": "MONOCHROME2"}
    for name, value in defaults.items():
        if dataset.get(name) in (None, ""):
            setattr(dataset, name, value)


def _syntax_as_read(dataset):
    from pydicom import uid

    if "PixelData" in dataset and dataset["PixelData"].is_undefined_length:
        raise slices.SkippedError(
            "compressed pixel data, and no transfer syntax that says how"
        )
    implicit, little = dataset.original_encoding
    if implicit:
        return uid.ImplicitVRLittleEndian
    return uid.ExplicitVRLittleEndian if little else uid.ExplicitVRBigEndian


def _check_inflated_size(path, head) -> None:
    """Inflates piece by piece and drops the pieces: what zlib makes has no bound."""
    if head[132:136] != b"\x02\x00\x00\x00":
        raise slices.SkippedError("deflated, and its file meta information is broken")
    (length,) = struct.unpack_from("<I", head, 140)
    inflate, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
    with open(path, "rb") as file:
        file.seek(144 + length)
        while rest := inflate.unconsumed_tail or file.read(2**16):
            size += len(inflate.decompress(rest, 2**20))
            if size > _LARGEST_INFLATED:
                raise slices.SkippedError("deflated data of more than 2 GiB")
