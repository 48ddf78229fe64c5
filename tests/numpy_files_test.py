"""NumPy's files as slices."""

import io
import zipfile

import numpy as np
import pytest

from data_pipelines import slices
from data_pipelines.readers import arrays, numpy_files, planes

NOISE = np.random.default_rng(0).integers(0, 256, (3, 40, 48, 3)).astype(np.uint8)


def npz(path, **arrays):
    np.savez_compressed(path, **arrays)
    return path


def read_npz(path, **context):
    return list(numpy_files.read_npz(path, slices.Context("one", **context)))


def read_npy(path, values):
    np.save(path, values)
    return list(numpy_files.read_npy(path, slices.Context("one")))


def images_of(found):
    return [piece for piece in found if isinstance(piece, slices.Slice)]


def percentiles(values):
    low, high = np.percentile(values, (1, 99))
    return np.rint(np.clip((values - low) / (high - low), 0, 1) * 255)


def medmnist(path, train):
    parts = {f"{part}_images": 255 - train for part in ("val", "test")}
    labels = {f"{part}_labels": np.zeros((3, 1)) for part in ("train", "val", "test")}
    return npz(path, train_images=train, **parts, **labels)


@pytest.mark.parametrize("train", [NOISE, NOISE[..., 0]])
def test_images_of_medmnist_are_those_to_train_on(tmp_path, train):
    found = read_npz(medmnist(tmp_path / "a.npz", train), modality="SM")
    pieces = images_of(found)
    np.testing.assert_array_equal([piece.pixels for piece in pieces], train)
    assert [piece.identity for piece in pieces] == ["one 0", "one 1", "one 2"]
    assert {piece.index for piece in pieces} == {None}
    assert {piece.modality for piece in pieces} == {"SM"}
    reasons = [piece.reason for piece in found if isinstance(piece, slices.Skipped)]
    assert reasons == ["val_images: kept to evaluate on", *reasons[1:]]
    assert len(reasons) == 2


def test_volumes_of_medmnist_have_slices(tmp_path):
    train = np.moveaxis(NOISE, -1, 1)[:2].copy()  # 2 volumes of 3 slices
    pieces = images_of(read_npz(medmnist(tmp_path / "a.npz", train)))
    found = [(piece.identity, piece.index) for piece in pieces]
    assert found == [(f"one {v}", s) for v in (0, 1) for s in (0, 1, 2)]
    np.testing.assert_array_equal(pieces[4].pixels, train[1, 1])


def test_a_file_to_evaluate_on_has_nothing_to_train_on(tmp_path):
    with pytest.raises(slices.SkippedError):
        read_npz(npz(tmp_path / "a.npz", test_images=NOISE))


@pytest.mark.parametrize("name", ["image", "x", "unheard_of"])
def test_the_image_among_other_arrays(tmp_path, name):
    others = {"mask": NOISE[0, ..., 0], "affine": np.eye(4), "age": np.array(7)}
    (piece,) = read_npz(npz(tmp_path / "a.npz", **{name: NOISE[0]}, **others))
    np.testing.assert_array_equal(piece.pixels, NOISE[0])
    assert piece.identity == "one" and piece.index is None


def test_two_unknown_images_are_not_guessed_between(tmp_path):
    path = npz(tmp_path / "a.npz", doe=NOISE[0], roe=NOISE[1])
    with pytest.raises(slices.SkippedError, match="2 arrays could be images") as error:
        read_npz(path)
    assert "doe" not in str(error.value)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", ["<f4", ">f8", "<u2", ">i2", "f2"])
def test_a_volume_has_one_scale(tmp_path, kind, order):
    values = (NOISE[..., 0].astype(float) * [[[1]], [[2]], [[3]]]).astype(kind)
    pieces = read_npy(tmp_path / "a.npy", np.asarray(values, order=order))
    assert [piece.index for piece in pieces] == [0, 1, 2]
    found = [piece.pixels for piece in pieces]
    np.testing.assert_allclose(found, percentiles(values), atol=1)


def test_volumes_of_four_axes_have_a_scale_each(tmp_path):
    volume = NOISE[..., 0].astype(np.float32)
    pieces = read_npy(tmp_path / "a.npy", np.stack([volume, 1000 * volume]))
    assert [piece.index for piece in pieces] == list(range(6))
    np.testing.assert_array_equal(pieces[1].pixels, pieces[4].pixels)


def test_large_arrays_are_read_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(planes, "BLOCK", 1000)
    values = NOISE[..., 0].astype(np.uint16) * 200
    (*_, last) = read_npy(tmp_path / "a.npy", values)
    np.testing.assert_allclose(last.pixels, percentiles(values)[2], atol=1)
    (*_, last) = read_npz(npz(tmp_path / "a.npz", volume=values))
    np.testing.assert_allclose(last.pixels, percentiles(values)[2], atol=1)


WITHOUT_IMAGES = [
    np.zeros((40, 40), complex),
    np.zeros((40, 2)),
    np.zeros((2, 2, 2, 40, 40)),
    np.zeros((0, 40, 40)),
    np.array(["Doe^John"] * 40),
    np.zeros(40, [("name", "S8"), ("age", int)]),
]


@pytest.mark.parametrize("values", WITHOUT_IMAGES)
def test_other_arrays_are_no_images(tmp_path, values):
    with pytest.raises(slices.SkippedError, match="in the shape of images"):
        read_npy(tmp_path / "a.npy", values)


def test_pickled_objects_are_never_read(tmp_path):
    with pytest.raises(slices.SkippedError, match="pickled"):
        read_npy(tmp_path / "a.npy", np.array([{}, []], object))


def claim(shape):
    """A .npy file of 99 values whose header claims another shape."""
    file = io.BytesIO()
    fields = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, fields)
    return file.getvalue() + b"\0" * 99


def test_a_header_that_lies_is_found_before_memory_is_taken(tmp_path):
    (tmp_path / "a.npy").write_bytes(claim((10**6, 10**6)))
    with pytest.raises(slices.SkippedError, match="claims more"):
        list(numpy_files.read_npy(tmp_path / "a.npy", slices.Context()))
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("train_images.npy", claim((10**6, 10**6)))
    found = numpy_files.read_npz(tmp_path / "a.npz", slices.Context())
    assert next(found) == slices.Skipped(0, arrays.LIES)
    found.close()


def test_a_cut_file_is_refused(tmp_path):
    path = npz(tmp_path / "a.npz", train_images=NOISE)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(zipfile.BadZipFile):
        read_npz(path)
    np.save(tmp_path / "a.npy", NOISE)
    (tmp_path / "a.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-1])
    with pytest.raises(slices.SkippedError):
        list(numpy_files.read_npy(tmp_path / "a.npy", slices.Context()))
