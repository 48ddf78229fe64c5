"""Which format a file has: by content, whatever its name."""

import gzip
import io
import pathlib

import dicom_files
import nibabel
import numpy as np
import PIL.Image
import pydicom.data
import pytest
import tifffile

from data_pipelines.readers import formats

GREY = np.add.outer(np.arange(40), np.arange(50)).astype(np.uint8)


def picture(form):
    buffer = io.BytesIO()
    PIL.Image.fromarray(GREY).save(buffer, form)
    return buffer.getvalue()


def contents():
    volume = nibabel.Nifti1Image(GREY[:, :, None].astype(np.int16), np.eye(4))
    npy, npz, tiff = io.BytesIO(), io.BytesIO(), io.BytesIO()
    np.save(npy, GREY)
    np.savez(npz, train_images=GREY)
    tifffile.imwrite(tiff, GREY)
    yield from ((name, picture(name)) for name in ("PNG", "JPEG", "BMP"))
    yield "WebP", picture("WEBP")
    yield "TIFF", tiff.getvalue()
    yield "NIfTI", volume.to_bytes()
    yield "NIfTI", gzip.compress(volume.to_bytes())
    yield "NumPy", npy.getvalue()
    yield "NumPy archive", npz.getvalue()
    yield "HDF5", b"\x89HDF\r\n\x1a\n" + bytes(100)
    yield "NRRD", b"NRRD0004\ntype: uint8\n"


@pytest.mark.parametrize("name", ["a", "a.dcm", "a.png", "doe.txt", "a.nii.gz"])
def test_the_content_decides(tmp_path, name):
    for kind, data in contents():
        (tmp_path / name).write_bytes(data)
        assert formats.of(tmp_path / name) == kind
    dicom_files.write(tmp_path / name, GREY)
    assert formats.of(tmp_path / name) == "DICOM"


def test_a_dicom_file_may_begin_as_a_tiff():
    path = pydicom.data.get_testdata_file("CT_small.dcm", download=False)
    with open(path, "rb") as file:
        assert file.read(4) == b"II*\0"
    assert formats.of(pathlib.Path(path)) == "DICOM"


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.PNG", "PNG"), ("b.nii.gz", "NIfTI"), ("c", None), ("d.txt", None)],
)
def test_of_damaged_content_the_name_promises(tmp_path, name, kind):
    (tmp_path / name).write_bytes(b"nothing known")
    assert formats.of(tmp_path / name) == kind


def test_every_format_has_a_reader_and_names_that_lead_to_it():
    assert formats.READERS.keys() == formats.EXTENSIONS.keys()
    for kind, endings in formats.EXTENSIONS.items():
        for ending in endings:
            assert formats.by_name(f"A{ending.upper()}") == kind
