"""What names tell: an order, a stem, and whether many files are called so."""

import itertools

import pytest

from data_pipelines import names


def test_slice_2_comes_before_slice_10_and_no_order_is_left_to_chance():
    ordered = ["a001", "a01", "a1", "a2", "a10", "b"]
    for mixed in itertools.permutations(ordered):
        assert sorted(mixed, key=names.natural) == ordered


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("BraTS_0042.nii.gz", "brats_0042"),
        ("brats.777.png", "brats.777"),
        ("1.2.840.10008", "1.2.840.10008"),
        ("1.2.840.10008.dcm", "1.2.840.10008"),
        ("scan.JPEG", "scan"),
        (".png", ".png"),
    ],
)
def test_only_known_endings_are_cut_off(name, stem):
    assert names.stem(name) == stem


@pytest.mark.parametrize(
    ("stem", "common"),
    [
        ("im-0001", True),
        ("slice_12", True),
        ("0042", True),
        ("scan 3", True),
        ("train", True),
        ("", True),
        ("brats_0042", False),
        ("9f86d081", False),
        ("1234567", False),
    ],
)
def test_names_that_many_files_have(stem, common):
    assert names.is_common(stem) is common
