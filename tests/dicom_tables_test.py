"""Lookup tables against pydicom's, and by the arithmetic of PS3.3."""

import dicom_files
import numpy as np
import pydicom
import pydicom.data
import pydicom.pixels
import pytest
from pydicom import uid

from data_pipelines import slices
from data_pipelines.readers import dicom, dicom_file, dicom_grey, dicom_tables

RAMP = np.add.outer(np.arange(40), np.arange(50)).astype(np.uint16)


def header(**elements):
    dataset = dicom_files.item(PixelRepresentation=0, **elements)
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    return dataset


def test_values_outside_take_the_ends():
    table = dicom_tables.Table(-2, np.array([5, 6, 9], np.uint16), 8)
    values = np.array([-100, -2, -1, 0, 1, 99])
    assert dicom_tables.look_up(table, values).tolist() == [5, 5, 6, 9, 9, 9]
    values = np.array([-1.4, -1.6, np.nan, np.inf])
    assert dicom_tables.look_up(table, values)[:2].tolist() == [6, 5]


def test_the_modality_table_of_a_real_file_is_that_of_pydicom():
    """Of data that are installed only with pydicom-data."""
    path = pydicom.data.get_testdata_file("mlut_18.dcm", download=False)
    dataset = dicom_file.parse(path)
    theirs = pydicom.pixels.apply_modality_lut(dataset.pixel_array, dataset)
    ours = dicom_grey.sample(dataset, 0, dataset.pixel_array, num_values=0)
    np.testing.assert_array_equal(ours, theirs.ravel())
    assert len(np.unique(ours)) > 20


def test_signed_first_values_that_are_written_unsigned():
    item = dicom_files.item(LUTDescriptor=[3, 65534, 16], LUTData=[1, 2, 3])
    assert dicom_tables.of_item(item, header()).first == 65534
    dataset = header()
    dataset.PixelRepresentation = 1
    assert dicom_tables.of_item(item, dataset).first == -2


def test_a_count_of_0_is_65536_entries():
    data = np.arange(65536).astype("<u2").tobytes()
    item = dicom_files.item(LUTDescriptor=[0, 0, 16], LUTData=data)
    table = dicom_tables.of_item(item, header())
    assert len(table.entries) == 65536 and table.entries[-1] == 65535


@pytest.mark.parametrize("little", [True, False])
def test_entries_of_8_bits_lie_alone_or_two_a_word(little):
    dataset = header()
    if not little:
        dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRBigEndian
    entries = [3, 1, 4, 1, 5]
    alone = np.array(entries, "<u2" if little else ">u2").tobytes()
    packed = bytes([*entries, 0])
    if not little:  # two a word: the first in its low byte, which comes last
        packed = bytes([1, 3, 1, 4, 0, 5])
    for data in (alone, packed):
        item = dicom_files.item(LUTDescriptor=[5, 0, 8], LUTData=data)
        assert dicom_tables.of_item(item, dataset).entries.tolist() == entries


def palette(tmp_path, stored, count, bits, data):
    elements = {}
    for colour, entries in zip(("Red", "Green", "Blue"), data, strict=True):
        elements[f"{colour}PaletteColorLookupTableDescriptor"] = [count, 0, bits]
        elements[f"{colour}PaletteColorLookupTableData"] = entries
    path = dicom_files.write(
        tmp_path / "a", stored, photometric="PALETTE COLOR", modality="US", **elements
    )
    (piece,) = dicom.read(path, slices.Context())
    return piece.pixels


def test_8_bit_colours_of_more_than_256_values(tmp_path):
    """pydicom 3.0.2 counts their places in 8 bits and shows others."""
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (3, 90), np.uint8)
    colours = np.concatenate([np.zeros((3, 300), np.uint8), colours], axis=1)
    stored = RAMP + 300
    shown = palette(tmp_path, stored, 390, 8, [each.tobytes() for each in colours])
    np.testing.assert_array_equal(shown, colours.T[np.minimum(stored, 389)])


def test_16_bit_colours_lose_their_low_byte_if_they_have_a_high_one(tmp_path):
    entries = (np.arange(90) * 256 + 77).astype("<u2").tobytes()
    shown = palette(tmp_path, RAMP, 90, 16, [entries, bytes(180), entries])
    assert shown[3, 4].tolist() == [7, 0, 7]
    small = np.arange(90).astype("<u2").tobytes()  # 8 bits in 16: not squeezed to black
    assert palette(tmp_path, RAMP, 90, 16, [small] * 3)[3, 4].tolist() == 7


def test_segments_are_what_the_standard_says():
    discrete = [0, 3, 10, 20, 40]
    linear = [1, 4, 60]  # 45, 50, 55, 60
    entries = [10, 20, 40, 45, 50, 55, 60]
    assert dicom_tables._expanded(discrete + linear, 2) == entries
    # once more the segment at byte 10 (the sixth word): from 60, where that ended
    again = [2, 1, 10, 0]
    assert dicom_tables._expanded(discrete + linear + again, 2) == entries + [60] * 4
    again = [2, 1, 0, 0]  # the one at the beginning
    found = dicom_tables._expanded(discrete + linear + again + [0], 2)
    assert found == [*entries, 10, 20, 40]
    again = [2, 1, 5, 0, 0, 0]  # of 8-bit entries: four bytes of an offset in bytes
    assert dicom_tables._expanded(discrete + linear + again, 1) == entries + [60] * 4


@pytest.mark.parametrize(
    "segments",
    [[7, 1, 1], [0, 1, 5, 1, 65535, 9, 1, 9, 9], [0, 1, 5, 2, 1, 6, 0], [1, 3, 9]],
)
def test_senseless_segments_end_in_an_error(segments):
    with pytest.raises((ValueError, IndexError)):
        dicom_tables._expanded(segments, 2)
