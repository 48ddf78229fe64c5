"""HDF5 files as slices."""

import sys

import numpy as np
import pytest

from data_pipelines import slices
from data_pipelines.readers import hdf5

h5py = pytest.importorskip("h5py")

NOISE = np.random.default_rng(0).integers(0, 256, (5, 40, 48)).astype(np.uint8)


def read(path):
    return list(hdf5.read(path, slices.Context("one")))


def percentiles(values):
    low, high = np.percentile(values, (1, 99))
    return np.rint(np.clip((values - low) / (high - low), 0, 1) * 255)


def test_fastmri_gives_its_reconstruction(tmp_path):
    values = NOISE.astype(np.float32) * 1e-6
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["ismrmrd_header"] = "<patient>Doe</patient>"
        file["kspace"] = np.zeros((5, 2, 40, 48), np.complex64)
        file["mask"] = np.zeros(48, bool)
        file["reconstruction_esc"] = values[:, ::-1]
        file["reconstruction_rss"] = values
    pieces = read(tmp_path / "a.h5")
    assert [piece.index for piece in pieces] == list(range(5))
    found = [piece.pixels for piece in pieces]
    np.testing.assert_allclose(found, percentiles(values), atol=1)
    assert pieces[0].identity == "one"


@pytest.mark.parametrize("options", [{}, {"compression": "gzip"}, {"chunks": True}])
def test_patch_camelyon_is_its_x(tmp_path, options):
    values = np.stack([NOISE, NOISE // 2, 255 - NOISE], axis=-1)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", data=values, **options)
        file["y"] = np.zeros((5, 1, 1, 1), np.uint8)
    found = [piece.pixels for piece in read(tmp_path / "a.h5")]
    np.testing.assert_array_equal(found, values)


def test_all_data_sets_of_a_known_name_are_read(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for case in range(2):
            file[f"case {case}/image"] = NOISE[case]
            file[f"case {case}/label"] = NOISE[case] // 100
    pieces = read(tmp_path / "a.h5")
    np.testing.assert_array_equal([piece.pixels for piece in pieces], NOISE[:2])
    assert len({piece.identity for piece in pieces}) == 2


def test_nothing_outside_of_the_file_is_read(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = NOISE
    layout = h5py.VirtualLayout(NOISE.shape, "u1")
    layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "x", NOISE.shape)
    (tmp_path / "raw").write_bytes(NOISE.tobytes())
    external = [(str(tmp_path / "raw"), 0, NOISE.size)]
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["image"] = h5py.ExternalLink("other.h5", "x")
        file["data"] = h5py.SoftLink("/image")
        file.create_virtual_dataset("images", layout)
        file.create_dataset("volume", NOISE.shape, "u1", external=external)
    found = hdf5.read(tmp_path / "a.h5", slices.Context())
    reason = slices.Skipped(0, "data set whose values lie in other files")
    assert [next(found), next(found)] == [reason, reason]
    with pytest.raises(slices.SkippedError, match="in the shape of images"):
        next(found)


def test_a_group_that_holds_itself_is_read_once(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["a/image"] = NOISE[0]
        file["a/again"] = file["a"]
        file["root"] = file["/"]
        file["copy"] = file["a/image"]
    assert len(read(tmp_path / "a.h5")) == 1


def test_a_shape_that_lies_is_refused(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", (10**7, 10**4, 10**4), "u1", chunks=(1, 64, 64))
    found = hdf5.read(tmp_path / "a.h5", slices.Context())
    assert "claims more" in next(found).reason


def test_a_cut_file_is_refused(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = NOISE
    (tmp_path / "a.h5").write_bytes((tmp_path / "a.h5").read_bytes()[:5000])
    with pytest.raises(OSError):
        read(tmp_path / "a.h5")


def test_what_to_install_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(slices.SkippedError, match="pip install h5py"):
        read(tmp_path / "a.h5")
