"""The size in a code stream is that of the header, or no decoder sees it."""

import io

import PIL.Image
import pydicom
import pydicom.data
import pytest
from pydicom import encaps, uid

from data_pipelines import slices
from data_pipelines.readers import dicom, dicom_stream, dicom_syntax

SIZE = (37, 52)


def picture(kind, mode, **settings):
    buffer = io.BytesIO()
    PIL.Image.new(mode, SIZE[::-1], 77).save(buffer, kind, **settings)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("stream", "components", "bits"),
    [
        (picture("JPEG", "L"), 1, 8),
        (picture("JPEG", "RGB", progressive=True, comment=b"\xff\xc0 a name"), 3, 8),
        (b"\xff\xd8\xff\xff" + picture("JPEG", "L")[3:], 1, 8),  # a fill byte
        (picture("JPEG2000", "L", no_jp2=True), 1, 8),
        (picture("JPEG2000", "RGB"), 3, 8),  # in the boxes of a file
        (picture("JPEG2000", "I;16", no_jp2=True), 1, 16),
    ],
)
def test_sizes_are_those_of_the_picture(stream, components, bits):
    assert dicom_stream.size_of(stream) == (*SIZE, components, bits)


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        b"\xff\xd8",
        b"\xff\xd8\xff\xc0\x00",
        b"\xff\xd8\xff\xc4\x00\x00\x00",
        picture("JPEG2000", "L", no_jp2=True)[:20],
        picture("JPEG", "L")[:30],
    ],
)
def test_what_is_cut_has_none(stream):
    assert dicom_stream.size_of(stream) is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("MR_small_jpeg_ls_lossless", (64, 64, 1, 16)),
        ("JPGExtended", (1024, 256, 1, 12)),
        ("SC_rgb_jpeg_gdcm", (100, 100, 3, 8)),
    ],
)
def test_sizes_in_real_files(name, expected):
    path = pydicom.data.get_testdata_file(f"{name}.dcm", download=False)
    data = pydicom.dcmread(path).PixelData
    (stream,) = encaps.generate_frames(data, number_of_frames=1)
    assert dicom_stream.size_of(stream) == expected


@pytest.mark.parametrize(
    ("name", "elements"),
    [
        ("MR_small_jpeg_ls_lossless", {"Rows": 157, "Columns": 172}),  # aborts GDCM
        ("MR_small_jp2klossless", {"Columns": 63}),
        ("SC_rgb_dcmtk_+eb+cr", {"SamplesPerPixel": 1}),
        ("MR_small_jpeg_ls_lossless", {"BitsAllocated": 8, "BitsStored": 8}),
    ],
)
def test_another_size_is_refused(tmp_path, name, elements):
    path = pydicom.data.get_testdata_file(f"{name}.dcm", download=False)
    dataset = pydicom.dcmread(path)
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    dataset.save_as(tmp_path / "a")
    with pytest.raises(slices.SkippedError, match="another size"):
        list(dicom.read(tmp_path / "a", slices.Context()))


@pytest.mark.parametrize(
    ("syntax", "bits", "name"),
    [
        (uid.JPEGBaseline8Bit, 8, "pillow"),
        (uid.JPEGExtended12Bit, 8, "pillow"),
        (uid.JPEG2000, 16, "pylibjpeg"),
        (uid.HTJ2K, 16, "pylibjpeg"),
        (uid.JPEGLSLossless, 16, "gdcm"),
        (uid.RLELossless, 16, "pydicom"),
        (uid.ExplicitVRLittleEndian, 16, ""),
    ],
)
def test_gdcm_is_taken_only_where_no_other_decodes(syntax, bits, name):
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.BitsStored = bits
    assert dicom_syntax.plugin(dataset) == name


def test_every_length_of_a_stream_is_looked_through():
    """A stream cut anywhere has its size or none, and never an error."""
    for stream in (picture("JPEG", "RGB"), picture("JPEG2000", "RGB")):
        found = {
            size and size[:3]
            for size in (
                dicom_stream.size_of(stream[:end]) for end in range(len(stream))
            )
        }
        assert found == {None, (*SIZE, 3)}
