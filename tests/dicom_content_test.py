"""DICOM is told from other files by its first bytes."""

import gzip
import io
import pathlib

import dicom_files
import nibabel
import numpy as np
import PIL.Image
import pydicom
import pytest
from pydicom import uid

from data_pipelines.readers import dicom_content

DATA = pathlib.Path(pydicom.__path__[0]) / "data" / "test_files"
SYNTAXES = [
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
]


def head(path):
    return path.read_bytes()[: dicom_content.HEAD_BYTES]


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_data_set_without_preamble_is_dicom(tmp_path, syntax):
    dataset = pydicom.dcmread(DATA / "CT_small.dcm")
    dicom_files.write_bare(tmp_path / "a", dataset, syntax)
    content = (tmp_path / "a").read_bytes()
    assert content[128:132] != b"DICM"
    assert dicom_content.has_dicom_content(content[:512])
    assert not dicom_content.has_dicom_content(b"\x01" + content[:511])


def test_file_meta_information_without_preamble_is_dicom():
    assert dicom_content.has_dicom_content(head(DATA / "MR_small.dcm")[132:])


@pytest.mark.parametrize(
    "name", ["CT_small.dcm", "rtstruct.dcm", "no_meta_group_length.dcm"]
)
def test_the_marker_is_enough(name):
    assert dicom_content.has_dicom_content(head(DATA / name)[:132])


def other_files():
    """(name, content) of what is no DICOM."""
    picture = PIL.Image.fromarray(np.eye(40, dtype=np.uint8))
    for kind in ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "ICO"):
        buffer = io.BytesIO()
        picture.save(buffer, kind)
        yield kind, buffer.getvalue()
    volume = nibabel.Nifti1Image(np.zeros((4, 4, 4), np.int16), np.eye(4))
    yield "NIfTI", volume.to_bytes()
    yield "gzip", gzip.compress(volume.to_bytes())
    yield "zeros", bytes(600)
    yield "nothing", b""
    yield "text", b"\x08\x00 text that begins with a group's number" * 20
    yield "marker elsewhere", bytes(127) + b"DICM" + bytes(400)
    for name in ("README.txt", "crayons.icc", "test1.json", "zipMR.gz"):
        yield name, (DATA / name).read_bytes()


def test_other_files_are_not():
    found = [
        name
        for name, content in other_files()
        if dicom_content.has_dicom_content(content[:512])
    ]
    assert found == [] and len(list(other_files())) > 12


def test_random_bytes_after_a_group_number_are_not():
    rng = np.random.default_rng(0)
    for group in (b"\x08\x00", b"\x00\x08", b"\x02\x00"):
        heads = rng.integers(0, 256, (2000, 510), np.uint8)
        found = [
            dicom_content.has_dicom_content(group + row.tobytes()) for row in heads
        ]
        assert sum(found) == 0


def test_a_long_first_value_is_no_beginning():
    """Else any file whose first bytes are a group's would do."""
    first = b"\x08\x00\x05\x00" + (2000).to_bytes(4, "little")
    second = b"\x08\x00\x08\x00" + (10).to_bytes(4, "little") + bytes(10)
    assert not dicom_content.has_dicom_content(first + bytes(2000) + second * 3)
    first = b"\x08\x00\x05\x00" + (20).to_bytes(4, "little")
    assert dicom_content.has_dicom_content(first + bytes(20) + second)
