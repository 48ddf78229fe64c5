"""The packaged brain: its parts share neither voxels nor mirrored voxels."""

import numpy as np
import pytest

from data_pipelines import mni, nifti


@pytest.fixture(scope="module")
def brain():
    return mni.load()


def test_template_is_symmetric_so_sides_are_no_split(brain):
    np.testing.assert_array_equal(brain, brain[::-1])


def test_parts_share_no_voxel_and_lie_on_one_side(brain):
    sides = {}
    for part, cubes in mni.CUBES.items():
        sides[part] = np.zeros(brain.shape, bool)
        for cube in cubes:
            sides[part][cube] = True
    assert not (sides["training"] & sides["test"]).any()
    assert not (sides["training"] & sides["test"][::-1]).any()


@pytest.mark.parametrize("part", ["training", "test"])
def test_slices_show_brain_in_one_shape(brain, part):
    pieces = mni.cube_slices(brain, part=part, per_plane=20)
    planes = [piece.plane for piece in pieces]
    assert all(planes.count(plane) == 20 for plane in nifti.PLANES)
    for piece in pieces:
        pixels = piece.cut(brain)
        assert pixels.shape == (73, 73) and (pixels > 0).mean() >= 0.15


def test_training_and_test_slices_differ(brain):
    pixels = {
        part: {
            piece.cut(brain).tobytes()
            for piece in mni.cube_slices(brain, part=part, per_plane=None)
        }
        for part in mni.CUBES
    }
    assert len(pixels["training"]) > 300
    assert not pixels["training"] & pixels["test"]
