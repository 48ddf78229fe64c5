"""Which slices of a volume become records."""

import numpy as np
import pytest

from data_pipelines import slices
from data_pipelines.readers import volumes


def read(values, modality="MR", planes=("axial",)):
    return list(
        volumes.read(
            [values],
            spacing=(1.0, 1.0, 1.0),
            context=slices.Context("v", None, planes),
            modality=modality,
        )
    )


def kept(pieces):
    return [n for n, piece in enumerate(pieces) if isinstance(piece, slices.Slice)]


@pytest.fixture
def head():
    """Air with noise, and in slices 3 to 6 of 10 a square that fills 4 %, of 10 000."""
    values = np.abs(np.random.default_rng(0).normal(0, 20, (100, 100, 10)))
    values[40:60, 40:60, 3:7] += 900
    return values.astype(np.float32)


def test_slices_of_air_and_noise_are_dropped_and_counted(head):
    pieces = read(head)
    assert kept(pieces) == [3, 4, 5, 6] and [pieces[n].index for n in (3, 6)] == [3, 6]
    assert pieces[:3] == [slices.Skipped(0, "empty slice")] * 3


def test_a_white_background_is_as_empty(head):
    assert kept(read(1000 - head)) == [3, 4, 5, 6]


@pytest.mark.parametrize(("rows", "expected"), [(19, []), (20, [2])])
def test_two_in_a_hundred_pixels_are_enough(rows, expected):
    values = np.zeros((100, 100, 5), np.int16)
    values[:rows, :10, 2] = np.arange(40, 240).reshape(20, 10)[:rows]  # of 10 000
    values[:50, :, 4] = 5  # under a tenth of the range
    assert kept(read(values, "CT")) == expected


def test_the_table_of_a_ct_is_no_content():
    values = np.full((100, 100, 4), -1000, np.int16)
    values[:, 90, :] = 100  # a line across the slice, 1 %
    values[30:70, 30:70, 1] = np.arange(1600).reshape(40, 40) / 10
    assert kept(read(values, "CT")) == [1]


def test_a_picture_is_never_called_empty(head):
    picture = np.zeros((50, 60, 1), np.uint8)
    picture[0, :20, 0] = np.arange(20)
    (piece,) = read(picture)
    np.testing.assert_array_equal(piece.pixels, picture[::-1, ::-1, 0].T)


def test_label_maps_have_2_to_16_whole_numbers(head):
    numbers = np.random.default_rng(0).integers(0, 16, (30, 30, 30))
    assert volumes.is_label_map(numbers.astype(np.float64))
    assert not volumes.is_label_map(numbers / 2)
    assert not volumes.is_label_map(np.where(numbers, numbers, np.nan))
    assert not volumes.is_label_map(np.full((9, 9, 9), 7))  # a constant image
    numbers[0, 0, 1] = 16
    assert not volumes.is_label_map(numbers.astype(np.uint8))


def test_a_rare_value_between_the_sampled_ones_is_seen():
    values = np.zeros((90, 90, 90), np.int16)
    values[:45] = 1
    assert volumes.is_label_map(values)
    values[1, 1, :20] = np.arange(20)  # one in three voxels along an axis is sampled
    assert not volumes.is_label_map(values)


@pytest.mark.parametrize(
    ("count", "expected"), [(1, (0,)), (8, tuple(range(8))), (9, (0, 4)), (30, (0, 15))]
)
def test_of_more_than_eight_volumes_the_first_and_the_middle_are_read(count, expected):
    assert volumes.chosen(count) == expected


def test_spacing_is_none_where_one_side_is_unknown():
    assert volumes.spacing_of((1.0, 2.0, 3.0), "axial") == (2, 1)
    assert volumes.spacing_of((0.0, 2.0, 3.0), "axial") is None
    assert volumes.spacing_of((0.0, 2.0, 3.0), "sagittal") == (3, 2)
    assert volumes.spacing_of((1.0, 2.0, np.inf), "coronal") is None


def test_a_slab_at_a_time_gives_the_same_slices(monkeypatch, head):
    whole = read(head, planes=tuple(volumes.PLANES))
    monkeypatch.setattr("data_pipelines.intensity._SLAB", 1000)
    parts = read(head.transpose(2, 1, 0).copy().T, planes=tuple(volumes.PLANES))
    for one, other in zip(whole, parts, strict=True):
        assert type(one) is type(other)
        if isinstance(one, slices.Slice):
            np.testing.assert_array_equal(one.pixels, other.pixels)
