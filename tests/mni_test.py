"""The packaged brain: its parts share neither slices nor mirrored ones."""

import numpy as np
import pytest

from data_pipelines import mni
from data_pipelines.readers import volumes


@pytest.fixture(scope="module")
def brain():
    return mni.load()


def test_template_is_symmetric_so_sides_are_no_split(brain):
    np.testing.assert_array_equal(brain, brain[::-1])


def test_no_slice_nor_its_mirror_stands_on_both_sides(brain):
    places = {
        part: {
            (piece.plane, _twin(piece))
            for piece in mni.cube_slices(brain, part=part, per_plane=None)
        }
        for part in ("training", "test")
    }
    neighbours = {
        (plane, index + step)
        for plane, index in places["training"]
        for step in (-1, 0, 1)
    }
    assert not neighbours & places["test"]


def test_training_is_left_and_test_is_right(brain):
    for part, left in (("training", True), ("test", False)):
        for piece in mni.cube_slices(brain, part=part, per_plane=None):
            assert (piece.cube[0].stop <= 98) == left
            assert (piece.cube[0].start > 98) != left


def _twin(piece):
    """The slice's index on the left side."""
    if piece.plane == "sagittal":
        return min(piece.index, mni.SHAPE[0] - 1 - piece.index)
    return piece.index


@pytest.mark.parametrize("part", ["training", "test"])
def test_slices_show_brain_in_one_shape(brain, part):
    pieces = mni.cube_slices(brain, part=part, per_plane=20)
    planes = [piece.plane for piece in pieces]
    assert all(planes.count(plane) == 20 for plane in volumes.PLANES)
    for piece in pieces:
        pixels = piece.cut(brain)
        assert pixels.shape == (73, 73) and (pixels > 0).mean() >= 0.15


def test_training_and_test_slices_differ(brain):
    pixels = {
        part: {
            piece.cut(brain).tobytes()
            for piece in mni.cube_slices(brain, part=part, per_plane=None)
        }
        for part in ("training", "test")
    }
    assert len(pixels["training"]) > 300
    assert not pixels["training"] & pixels["test"]
