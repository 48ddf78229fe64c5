"""What no installed decoder reads is refused in a line that says what to do."""

import dicom_files
import numpy as np
import pydicom
import pydicom.data
import pydicom.pixels
import pytest
from pydicom import uid

from data_pipelines import slices
from data_pipelines.readers import dicom, dicom_syntax

RAMP = np.add.outer(np.arange(40), np.arange(50)).astype(np.uint16)
PREFIX = "1.2.840.10008.1.2."


def refusal(path):
    with pytest.raises(slices.SkippedError) as error:
        list(dicom.read(path, slices.Context()))
    return str(error.value)


@pytest.mark.parametrize(
    ("numbers", "name", "advice"),
    [
        ("4.100", "MPEG2 Main Profile / Main Level", "ffmpeg"),
        ("4.102", "MPEG-4 AVC/H.264 High Profile / Level 4.1", "ffmpeg"),
        ("4.107", "HEVC/H.265 Main Profile / Level 5.1", "ffmpeg"),
        ("4.94", "JPIP Referenced", "on a server"),
        ("4.66", "JPEG Lossless, Hierarchical (Process 29)", "no decoder"),
        ("1.98", "Encapsulated Uncompressed Explicit VR Little Endian", "no decoder"),
    ],
)
def test_syntaxes_without_a_decoder_are_named(tmp_path, numbers, name, advice):
    path = dicom_files.write(tmp_path / "a", RAMP, syntax=PREFIX + numbers)
    assert refusal(path).startswith(f"{name}: ") and advice in refusal(path)


def test_a_private_syntax_is_not_repeated(tmp_path):
    path = dicom_files.write(tmp_path / "a", RAMP, syntax="1.2.826.0.4711")
    assert "4711" not in refusal(path) and "does not name" in refusal(path)


@pytest.mark.parametrize(
    ("numbers", "plugin", "package"),
    [
        ("4.50", "pillow", "pillow"),
        ("4.70", "gdcm", "python-gdcm"),
        ("4.80", "gdcm", "python-gdcm"),
        ("4.91", "pylibjpeg", "pylibjpeg pylibjpeg-openjpeg"),
        ("4.201", "pylibjpeg", "pylibjpeg pylibjpeg-openjpeg"),
    ],
)
def test_a_missing_package_is_named(tmp_path, monkeypatch, numbers, plugin, package):
    path = dicom_files.write(tmp_path / "a", RAMP, syntax=PREFIX + numbers)
    decoder = pydicom.pixels.get_decoder(PREFIX + numbers)
    assert plugin in decoder.available_plugins
    monkeypatch.setattr(decoder, "_available", {})
    assert refusal(path).endswith(f": pip install {package}")


def test_jpeg_of_12_bits_needs_a_package_of_another_licence():
    path = pydicom.data.get_testdata_file("JPGExtended.dcm", download=False)
    reason = refusal(path)
    assert reason.startswith("JPEG Extended (Process 2 and 4), 12-bit: ")
    assert "pylibjpeg-libjpeg (GPL v3)" in reason


def test_every_syntax_that_the_packages_decode_passes(tmp_path):
    known = ["", "1", "1.99", "2", "4.50", "4.51", "4.57", "4.70", "4.80", "4.81"]
    known += ["4.90", "4.91", "4.201", "4.202", "4.203", "5"]
    for numbers in known:
        dataset = pydicom.Dataset()
        dataset.file_meta = pydicom.dataset.FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = uid.UID((PREFIX + numbers).strip("."))
        dataset.BitsStored = 8
        dicom_syntax.check(dataset)
