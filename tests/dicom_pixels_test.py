"""Stored values and colours as other libraries read them, and lying headers."""

import pathlib

import dicom_files
import numpy as np
import pydicom
import pytest
from pydicom import encaps, uid

from data_pipelines import slices
from data_pipelines.readers import dicom, dicom_file, dicom_grey, dicom_pixels

DATA = pathlib.Path(pydicom.__path__[0]) / "data" / "test_files"
RAMP = np.add.outer(np.arange(40), np.arange(50)).astype(np.uint16)
# pixels of every kind that SimpleITK reads too (its GDCM errs on RLE over 8 bits)
SAME = """
693_J2KI CT_small ExplVR_BigEnd GDCMJ2K_TextGBR J2K_pixelrep_mismatch JPEG2000
JPEGLSNearLossless_08 JPEGLSNearLossless_16 MR_small MR_small_RLE MR_small_bigendian
MR_small_expb MR_small_implicit MR_small_jp2klossless MR_small_jpeg_ls_lossless
MR_small_padded SC_rgb_dcmtk_+eb+cr SC_rgb_dcmtk_+eb+cy+n1 SC_rgb_dcmtk_+eb+cy+n2
SC_rgb_dcmtk_+eb+cy+np SC_rgb_dcmtk_+eb+cy+s2 SC_rgb_dcmtk_+eb+cy+s4 SC_rgb_gdcm_KY
SC_rgb_jls_lossy_line SC_rgb_jls_lossy_sample SC_rgb_jpeg_app14_dcmd
SC_rgb_jpeg_gdcm SC_rgb_jpeg_lossy_gdcm SC_rgb_rle SC_rgb_rle_2frame SC_rgb_small_odd
SC_rgb_small_odd_big_endian SC_rgb_small_odd_jpeg SC_ybr_full_422_uncompressed
examples_palette examples_rgb_color examples_ybr_color image_dfl
""".split()  # noqa: SIM905


def decoded(path):
    """All frames: colours, or values in their unit."""
    dataset = dicom_file.parse(path)
    frames = dicom_pixels.frames(dataset)
    stored = [frames.decode(index) for index in range(frames.count)]
    if dicom_pixels.is_colour(dataset):
        return np.stack([dicom_pixels.to_colour(frame, dataset) for frame in stored])
    return np.stack(
        [
            dicom_grey.sample(dataset, index, frame, num_values=0).reshape(frame.shape)
            for index, frame in enumerate(stored)
        ]
    )


def stored(path):
    return dicom_pixels.frames(dicom_file.parse(path)).decode(0)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SAME)
def test_values_and_colours_are_those_of_simpleitk(name):
    sitk = pytest.importorskip("SimpleITK")
    path = DATA / f"{name}.dcm"
    ours = decoded(path)
    theirs = sitk.GetArrayFromImage(sitk.ReadImage(str(path))).reshape(ours.shape)
    if theirs.dtype == np.uint16 and ours.dtype == np.uint8:
        theirs = theirs >> 8  # a palette of 16 bits
    measured = np.isfinite(ours.astype(float))
    assert measured.mean() > 0.99
    np.testing.assert_array_equal(ours[measured], theirs[measured])


def test_run_lengths_of_16_and_32_bits_are_colours():
    """Red is the first of the bars that these files show."""
    for name in ("SC_rgb_rle_16bit.dcm", "SC_rgb_rle_32bit.dcm"):
        (frame,) = decoded(DATA / name)
        assert frame[5, 50].tolist() == [255, 0, 0]


@pytest.mark.parametrize(
    ("stored_bits", "high", "signed", "word", "value"),
    [
        (12, 11, 0, 0xF123, 0x123),  # garbage above
        (12, 11, 1, 0x0FFE, -2),  # the sign is bit 11
        (12, 11, 1, 0xF7FF, 0x7FF),
        (12, 15, 0, 0x123F, 0x123),  # garbage below
        (12, 15, 1, 0xFFE5, -2),
        (
            10,
            12,
            0,
            0xE7FB,
            0xFF,
        ),  # garbage on both sides of bits 12 to 3
        (16, 15, 1, 0xFFFE, -2),
    ],
)
@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.RLELossless])
def test_unused_bits_are_no_part_of_a_value(
    tmp_path, stored_bits, high, signed, word, value, syntax
):
    words = np.full((40, 50), word, np.uint16)
    path = dicom_files.write(
        tmp_path / "a",
        words,
        BitsStored=stored_bits,
        HighBit=high,
        PixelRepresentation=signed,
    )
    if syntax.is_compressed:
        dataset = pydicom.dcmread(path)
        dataset.HighBit, dataset.BitsStored = 15, 16
        dataset.compress(syntax, generate_instance_uid=False)
        dataset.HighBit, dataset.BitsStored = high, stored_bits
        dataset.save_as(path)
    assert (stored(path) == value).all()


def test_bits_alone_and_32_bits_and_floats(tmp_path):
    bits = np.arange(40 * 48).reshape(40, 48) % 3 == 0
    path = dicom_files.write(
        tmp_path / "1",
        np.zeros((40, 48), np.uint8),
        BitsAllocated=1,
        BitsStored=1,
        HighBit=0,
        PixelData=np.packbits(bits, bitorder="little").tobytes(),
    )
    (piece,) = dicom.read(path, slices.Context())
    np.testing.assert_array_equal(piece.pixels, np.where(bits, 255, 0))
    wide = RAMP.astype(np.uint32) * 2**24
    (piece,) = dicom.read(dicom_files.write(tmp_path / "32", wide), slices.Context())
    assert piece.pixels[0, 0] == 0 and piece.pixels[-1, -1] == 255
    for name, dtype in [("FloatPixelData", "f4"), ("DoubleFloatPixelData", "f8")]:
        path = dicom_files.write(tmp_path / name, RAMP, BitsAllocated=8 * int(dtype[1]))
        dataset = pydicom.dcmread(path)
        del dataset.PixelData, dataset.BitsStored, dataset.HighBit
        del dataset.PixelRepresentation
        setattr(dataset, name, (RAMP / 7).astype(dtype).tobytes())
        dataset.save_as(path)
        np.testing.assert_allclose(stored(path), RAMP / 7, rtol=1e-6)


def test_planes_of_colour_are_pixels_of_colour(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    path = dicom_files.write(
        tmp_path / "a",
        rgb,
        photometric="RGB",
        PlanarConfiguration=1,
        PixelData=rgb.transpose(2, 0, 1).tobytes(),
    )
    np.testing.assert_array_equal(decoded(path)[0], rgb)


def test_colours_of_levels_from_16_to_235_in_half_resolution(tmp_path):
    """Two pixels are Y Y Cb Cr; of BT.601: black, white and pure red."""
    pairs = {(16, 128, 128): (0, 0, 0), (235, 128, 128): (255, 255, 255)}
    pairs[81, 90, 240] = (254, 0, 0)
    for (y, blue, red), colour in pairs.items():
        data = np.tile(np.array([y, y, blue, red], np.uint8), 40 * 25).tobytes()
        path = dicom_files.write(
            tmp_path / "a",
            np.zeros((40, 50, 3), np.uint8),
            photometric="YBR_PARTIAL_422",
            PixelData=data,
        )
        np.testing.assert_allclose(decoded(path)[0, 3, 3], colour, atol=1)


@pytest.mark.parametrize("colour", ["ARGB", "CMYK", "HSV", "YBR_PARTIAL_420"])
def test_colours_that_are_not_read_are_named(tmp_path, colour):
    path = dicom_files.write(
        tmp_path / "a", np.zeros((40, 50, 3), np.uint8), photometric=colour
    )
    with pytest.raises(slices.SkippedError, match=colour):
        decoded(path)


@pytest.mark.filterwarnings("ignore")
def test_a_file_that_is_cut_gives_its_whole_frames(tmp_path):
    films = np.stack([RAMP + step for step in range(5)])
    path = dicom_files.write(
        tmp_path / "a", films, PixelData=films.tobytes()[: 3 * RAMP.nbytes + 50]
    )
    found = list(dicom.read(path, slices.Context()))
    assert isinstance(found[0], slices.Skipped) and "lacks" in found[0].reason
    assert [piece.index for piece in found[1:]] == [0, 1, 2]
    path = dicom_files.write(tmp_path / "b", RAMP, PixelData=RAMP.tobytes()[:-10])
    with pytest.raises(slices.SkippedError, match="end before"):
        decoded(path)


def test_colours_in_full_resolution_that_are_called_half(tmp_path):
    """What is decompressed without a change of its header."""
    red = np.full((40, 50, 3), (76, 85, 255), np.uint8)
    path = dicom_files.write(tmp_path / "a", red, photometric="YBR_FULL_422")
    np.testing.assert_allclose(decoded(path)[0, 7, 7], [254, 0, 0], atol=2)


def test_sizes_out_of_reach_allocate_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(np, "empty", None)
    path = dicom_files.write(tmp_path / "a", RAMP, Rows=65535, Columns=65535)
    with pytest.raises(slices.SkippedError, match="than 2"):
        stored(path)
    path = dicom_files.write(tmp_path / "b", RAMP, Rows=40000, Columns=40000)
    with pytest.raises(slices.SkippedError, match="end before"):
        stored(path)
    path = tmp_path / "c"
    dicom_files.write(path, RAMP, syntax=uid.JPEG2000, Rows=40000, Columns=40000)
    with pytest.raises(slices.SkippedError, match="can hold"):
        stored(path)


@pytest.mark.parametrize("table", ["basic", "extended", "none"])
def test_compressed_frames_are_found_with_and_without_a_table(tmp_path, table):
    films = np.stack([RAMP % (step + 2) for step in range(6)]).astype(np.uint8)
    path = dicom_files.write(tmp_path / "a", films)
    dataset = pydicom.dcmread(path)
    dataset.compress(uid.RLELossless, generate_instance_uid=False)
    streams = list(encaps.generate_frames(dataset.PixelData, number_of_frames=6))
    if table == "extended":
        data, offsets, lengths = encaps.encapsulate_extended(streams)
        dataset.PixelData, dataset.ExtendedOffsetTable = data, offsets
        dataset.ExtendedOffsetTableLengths = lengths
    else:
        dataset.PixelData = encaps.encapsulate(streams, has_bot=table == "basic")
    dataset.NumberOfFrames = 6
    dataset.save_as(path)
    np.testing.assert_array_equal(decoded(path), films)


def test_more_frames_than_there_are_do_not_last(tmp_path):
    films = np.stack([RAMP] * 3).astype(np.uint8)
    path = dicom_files.write(tmp_path / "a", films, modality="US")
    dataset = pydicom.dcmread(path)
    dataset.compress(uid.RLELossless, generate_instance_uid=False)
    dataset.NumberOfFrames = 2_000_000_000
    dataset.save_as(path)
    found = list(dicom.read(path, slices.Context()))
    assert len([each for each in found if isinstance(each, slices.Slice)]) <= 3
