"""What holds no image of a patient is refused by name; old files are completed."""

import zlib

import dicom_files
import numpy as np
import pydicom
import pydicom.data
import pytest
from pydicom import uid

from data_pipelines import slices
from data_pipelines.readers import dicom, dicom_file

RAMP = np.add.outer(np.arange(40), np.arange(50)).astype(np.uint16)
STORAGE = "1.2.840.10008.5.1.4.1.1."


def refusal(path):
    with pytest.raises(slices.SkippedError) as error:
        dicom_file.parse(path)
    return str(error.value)


@pytest.mark.parametrize(
    ("numbers", "name"),
    [
        ("4.2", "MR Spectroscopy Storage"),
        ("9.1.1", "12-lead ECG Waveform Storage"),
        ("11.1", "Grayscale Softcopy Presentation State Storage"),
        ("66", "Raw Data Storage"),
        ("66.4", "Segmentation Storage"),
        ("88.33", "Comprehensive SR Storage"),
        ("88.59", "Key Object Selection Document Storage"),
        ("104.1", "Encapsulated PDF Storage"),
        ("481.2", "RT Dose Storage"),
        ("481.3", "RT Structure Set Storage"),
        ("481.5", "RT Plan Storage"),
    ],
)
def test_objects_without_an_image_are_refused_by_their_class(tmp_path, numbers, name):
    path = dicom_files.write(
        tmp_path / "a", RAMP, storage=STORAGE + numbers, modality="OT"
    )
    assert refusal(path) == f"not an image: {name}"


@pytest.mark.parametrize("numbers", ["1", "1.1.2", "4", "481.1", "7", "13.1.3", "128"])
def test_classes_of_images_are_read(tmp_path, numbers):
    path = dicom_files.write(tmp_path / "a", RAMP, storage=STORAGE + numbers)
    assert dicom_file.parse(path).Rows == 40


@pytest.mark.parametrize("code", sorted(dicom_file.NOT_IMAGES))
def test_and_by_their_modality(tmp_path, code):
    path = dicom_files.write(tmp_path / "a", RAMP, modality=code)
    assert refusal(path).startswith(f"not an image: {code}, ")


def test_a_dicomdir_says_that_its_files_are_read():
    name = "dicomdirtests/DICOMDIR"
    path = pydicom.data.get_testdata_file(name, download=False)
    assert refusal(path).startswith("a DICOMDIR: the files that it lists")


def test_what_a_header_writes_is_not_repeated(tmp_path):
    path = dicom_files.write(tmp_path / "a", RAMP, storage=STORAGE + "66.99")
    assert refusal(path) == "not an image: another storage class"


def test_a_cut_file_says_so(tmp_path):
    path = dicom_files.write(tmp_path / "a", RAMP)
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"\xe0\x7f\x10\x00")])
    assert "cut" in refusal(path)
    dataset = pydicom.dcmread(dicom_files.write(tmp_path / "a", RAMP))
    dataset.compress(uid.RLELossless, generate_instance_uid=False)
    dataset.save_as(path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.warns(UserWarning, match="End of file"):
        assert "cut" in refusal(path)


@pytest.mark.parametrize("name", ["Rows", "Columns", "BitsAllocated"])
def test_no_size_is_a_reason(tmp_path, name):
    path = dicom_files.write(tmp_path / "a", RAMP)
    dataset = pydicom.dcmread(path)
    delattr(dataset, name)
    dataset.save_as(path)
    assert refusal(path) == "its header does not say the size of the image"


@pytest.mark.parametrize(
    "syntax",
    [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian],
)
def test_no_preamble_and_no_syntax_give_the_same_slice(tmp_path, syntax):
    (whole,) = dicom.read(
        dicom_files.write(tmp_path / "a", RAMP, BodyPartExamined="HEAD"),
        slices.Context(),
    )
    dataset = pydicom.dcmread(tmp_path / "a")
    del dataset.PixelRepresentation, dataset.SamplesPerPixel, dataset.BitsStored
    del dataset.PhotometricInterpretation, dataset.HighBit
    if not syntax.is_little_endian:
        dataset.PixelData = RAMP.astype(">u2").tobytes()
    dicom_files.write_bare(tmp_path / "b", dataset, syntax)
    (bare,) = dicom.read(tmp_path / "b", slices.Context())
    assert bare.organ == "HEAD"
    np.testing.assert_array_equal(bare.pixels, whole.pixels)


def test_what_deflates_to_gigabytes_is_refused_before(tmp_path, monkeypatch):
    path = tmp_path / "a"
    dicom_files.write(path, RAMP, syntax=uid.DeflatedExplicitVRLittleEndian)
    assert dicom_file.parse(path).Rows == 40
    content = path.read_bytes()
    begin = 144 + int.from_bytes(content[140:144], "little")
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = packer.compress(bytes(2**24)) + packer.flush()
    path.write_bytes(content[:begin] + packed)
    monkeypatch.setattr(dicom_file, "_LARGEST_INFLATED", 2**23)
    monkeypatch.setattr(pydicom, "dcmread", None)  # it would inflate all of it
    assert "deflated" in refusal(path)


def test_no_image_is_found_in_a_stream_that_is_cut(tmp_path):
    path = tmp_path / "a"
    dicom_files.write(path, RAMP, syntax=uid.DeflatedExplicitVRLittleEndian)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(zlib.error):
        dicom_file.parse(path)


def test_compressed_pixels_without_a_syntax_are_refused(tmp_path):
    path = tmp_path / "a"
    dicom_files.write(path, RAMP, syntax=uid.JPEGBaseline8Bit)
    content = path.read_bytes()
    begin = 144 + int.from_bytes(content[140:144], "little")
    path.write_bytes(content[begin:])
    assert "no transfer syntax" in refusal(path)
