"""MetaImage and NRRD against NIfTI as SimpleITK writes it, and hostile headers."""

import sys

import numpy as np
import pytest

from data_pipelines import slices
from data_pipelines.readers import itk, itk_header, nifti, volumes

ALL = ("axial", "coronal", "sagittal")
ENDINGS = (".mha", ".mhd", ".nrrd", ".nhdr")


@pytest.fixture
def sitk():
    return pytest.importorskip("SimpleITK")


@pytest.fixture
def values():
    return np.random.default_rng(0).integers(-900, 900, (6, 7, 8)).astype(np.int16)


def read(path, modality=None, planes=ALL, reader=itk):
    return list(reader.read(path, slices.Context("v", modality, tuple(planes))))


def refusal(path):
    with pytest.raises(slices.SkippedError) as caught:
        read(path)
    return str(caught.value)


def same(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one.pixels, other.pixels)
        np.testing.assert_allclose(one.spacing, other.spacing, rtol=1e-5)
        assert one._replace(pixels=0, spacing=0) == other._replace(pixels=0, spacing=0)
    return True


def volume(sitk, values, direction=None):
    image = sitk.GetImageFromArray(values)
    image.SetSpacing((2.0, 3.0, 4.0))
    if direction is not None:
        image.SetDirection(np.ravel(direction).tolist())
    return image


def test_a_missing_simpleitk_names_what_to_install(tmp_path, monkeypatch):
    path = tmp_path / "a.nrrd"
    path.write_bytes(b"NRRD0004\ntype: short\nencoding: raw\n\n1234")
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    assert "pip install -r requirements-itk.txt" in refusal(path)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("ending", ENDINGS)
def test_the_same_volume_gives_the_slices_that_nifti_gives(
    tmp_path, sitk, values, ending, compressed
):
    turned = np.array([[0.1, 1, 0], [0, 0.1, -1], [-1, 0, 0.1]])
    turned = np.linalg.svd(turned)[0] @ np.linalg.svd(turned)[2]  # a rotation
    for direction in (np.eye(3), np.diag([-1, -1, 1]), turned):
        image = volume(sitk, values, direction)
        sitk.WriteImage(image, tmp_path / "a.nii.gz")
        sitk.WriteImage(image, tmp_path / f"a{ending}", compressed)
        theirs = read(tmp_path / "a.nii.gz", reader=nifti)
        assert len(theirs) == 6 + 7 + 8
        assert same(read(tmp_path / f"a{ending}"), theirs)


def test_front_is_up_and_right_is_left(tmp_path, sitk, values):
    # ITK's identity: to left, posterior, superior, so axial slices are as stored
    sitk.WriteImage(volume(sitk, values), tmp_path / "a.mha")
    piece = read(tmp_path / "a.mha", "CT", ["axial"])[2]
    expected = (values[2].clip(-160, 240) + 160.0) / 400 * 255
    np.testing.assert_allclose(piece.pixels, expected, atol=0.51)
    assert piece.spacing == (3, 2) and piece.intensity_rule == "ct_soft_tissue"


def test_the_modality_of_a_header_counts(tmp_path, sitk, values):
    sitk.WriteImage(volume(sitk, values), tmp_path / "a.mha")
    content = (tmp_path / "a.mha").read_bytes()
    for said, code in ((b"CT", "CT"), (b"UNKNOWN", "MR"), (b"Jane Doe", "MR")):
        said = b"Modality = MET_MOD_" + said + b"\nElementDataFile"
        (tmp_path / "b.mha").write_bytes(content.replace(b"ElementDataFile", said, 1))
        assert read(tmp_path / "b.mha", "MR")[0].modality == code


def test_a_headers_spacing_is_never_a_silent_one(tmp_path, sitk, values):
    sitk.WriteImage(volume(sitk, values), tmp_path / "a.mha")
    content = (tmp_path / "a.mha").read_bytes()
    content = content.replace(b"ElementSpacing = 2 3 4\n", b"", 1)
    (tmp_path / "b.mha").write_bytes(content)
    assert read(tmp_path / "b.mha")[0].spacing is None
    (tmp_path / "c.nrrd").write_bytes(
        b"NRRD0004\ntype: short\ndimension: 3\nsizes: 8 7 6\nencoding: raw\n"
        b"endian: little\n\n" + values.tobytes()
    )
    assert read(tmp_path / "c.nrrd")[0].spacing is None


@pytest.mark.parametrize("ending", [".mha", ".nrrd"])
def test_pictures_series_colours_and_vectors(tmp_path, sitk, ending):
    rng = np.random.default_rng(0)
    path = tmp_path / f"a{ending}"
    picture = rng.integers(0, 255, (40, 50), np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(picture), path)
    (piece,) = read(path)
    np.testing.assert_array_equal(piece.pixels, picture)
    assert piece.intensity_rule == "8bit" and piece.index is None
    for channels in (4, 3):
        colours = rng.integers(0, 255, (5, 6, 7, channels), np.uint8)
        sitk.WriteImage(sitk.GetImageFromArray(colours, isVector=True), path)
        np.testing.assert_array_equal(read(path)[2].pixels, colours[2, ..., :3])
    vectors = sitk.GetImageFromArray(colours.astype(np.float32), isVector=True)
    sitk.WriteImage(vectors, path)
    assert refusal(path) == "an image of vectors, not of intensities"


def test_of_a_long_series_the_first_and_the_middle_are_read(tmp_path, sitk):
    series = np.random.default_rng(0).normal(size=(9, 4, 5, 6)).astype(np.float32)
    image = sitk.JoinSeries([sitk.GetImageFromArray(each) for each in series])
    sitk.WriteImage(image, tmp_path / "a.nrrd")
    sitk.WriteImage(image[..., 4], tmp_path / "b.nrrd")
    pieces = read(tmp_path / "a.nrrd")
    shown = [each for each in pieces if isinstance(each, slices.Slice)]
    assert len(pieces) == 2 * 15 + 7 and len(shown) == 2 * 15
    assert same(shown[15:], read(tmp_path / "b.nrrd"))


def test_label_maps_and_segmentations_are_no_images(tmp_path, sitk, values):
    labels = sitk.GetImageFromArray((values % 5).astype(np.uint8))
    sitk.WriteImage(labels, tmp_path / "a.mha")
    assert read(tmp_path / "a.mha") == [slices.Skipped(0, volumes.LABEL_MAP)]
    labels.SetMetaData("Segment0_ID", "liver")
    sitk.WriteImage(labels, tmp_path / "a.seg.nrrd")
    assert "segmentation" in refusal(tmp_path / "a.seg.nrrd")


def test_content_tells_the_format(tmp_path, sitk, values):
    sitk.WriteImage(volume(sitk, values), tmp_path / "a.mha")
    sitk.WriteImage(volume(sitk, values), tmp_path / "a.nrrd")
    (tmp_path / "a.nrrd").rename(tmp_path / "b.mha")
    assert same(read(tmp_path / "b.mha"), read(tmp_path / "a.mha"))
    assert itk_header.is_header(tmp_path / "b.mha")
    (tmp_path / "c.mha").write_bytes(b"no header at all")
    assert "neither MetaImage nor NRRD" in refusal(tmp_path / "c.mha")
    assert not itk_header.is_header(tmp_path / "c.mha")


def detached(tmp_path, sitk, values, ending):
    """A header, the line that names its data, and what gives the same slices."""
    sitk.WriteImage(volume(sitk, values), tmp_path / f"a{ending}")
    for number, plane in enumerate(values):
        (tmp_path / f"s{number:03d}.raw").write_bytes(plane.tobytes())
    text = (tmp_path / f"a{ending}").read_text()
    start = "ElementDataFile = " if ending == ".mhd" else "data file: "
    assert f"{start}a.raw" in text
    return text, f"{start}a.raw", start


@pytest.mark.parametrize("ending", [".mhd", ".nhdr"])
def test_data_in_other_files_of_the_folder_is_read(tmp_path, sitk, values, ending):
    text, line, start = detached(tmp_path, sitk, values, ending)
    names = "\n".join(f"s{number:03d}.raw" for number in range(6))
    for value in ("./a.raw", "s%03d.raw 0 5 1", f"LIST\n{names}", f"{tmp_path}/a.raw"):
        path = tmp_path / f"b{ending}"
        path.write_text(text.replace(line, start + value))
        assert same(read(path), read(tmp_path / f"a{ending}"))
    assert itk.is_data_of_header(tmp_path / "a.raw")
    assert not itk.is_data_of_header(tmp_path / "s001.raw")
    assert not itk.is_data_of_header(tmp_path / f"a{ending}")


@pytest.mark.parametrize("ending", [".mhd", ".nhdr"])
def test_data_outside_of_the_folder_is_refused(
    tmp_path, sitk, values, ending, monkeypatch
):
    inner = tmp_path / "inner"
    inner.mkdir()
    text, line, start = detached(inner, sitk, values, ending)
    (inner / "a.raw").rename(tmp_path / "a.raw")
    (inner / "link.raw").symlink_to(tmp_path / "a.raw")
    monkeypatch.setattr(itk, "_reader", lambda *_: pytest.fail("ITK saw it"))
    outside = "another folder"
    for value, reason in (
        ("/etc/passwd", outside),
        ("../a.raw", outside),
        ("x/../../a.raw", outside),
        ("link.raw", outside),
        ("LIST\n/etc/passwd", outside),
        ("../s%03d.raw 0 5 1", outside),
        ("s%s.raw 0 5 1", "pattern"),
        ("s%n%03d.raw 0 5 1", "pattern"),
        ("s%03d.raw 0 999999999 1", "numbers"),
        ("s%03d.raw 0 6 1", "missing"),
        ("a.raw", "missing"),
    ):
        path = inner / f"b{ending}"
        path.write_text(text.replace(line, start + value))
        assert reason in refusal(path)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_cut_or_damaged_file_gives_a_reason(
    tmp_path, sitk, values, ending, compressed
):
    sitk.WriteImage(volume(sitk, values), tmp_path / f"a{ending}", compressed)
    data = max(tmp_path.iterdir(), key=lambda path: path.stat().st_size)
    content = data.read_bytes()
    data.write_bytes(content[:-100])
    with pytest.raises(Exception) as caught:
        read(tmp_path / f"a{ending}")
    if not compressed:
        assert str(caught.value) == itk_header.CUT
    if compressed:
        flipped = bytearray(content)
        flipped[-50] ^= 255
        data.write_bytes(flipped)
        with pytest.raises(Exception):  # noqa: B017 - of many kinds
            read(tmp_path / f"a{ending}")


@pytest.mark.parametrize("size", ["99999 99999 9999", "8 -7 6", "8 7 600"])
def test_a_header_that_lies_takes_no_memory(tmp_path, sitk, values, size):
    for ending in (".mha", ".nrrd"):
        path = tmp_path / f"a{ending}"
        sitk.WriteImage(volume(sitk, values), path)
        content = path.read_bytes()
        for key in (b"DimSize = ", b"sizes: "):
            content = content.replace(key + b"8 7 6", key + size.encode())
        path.write_bytes(content)
        if size != "8 -7 6":
            assert refusal(path) == itk_header.CUT
        else:
            with pytest.raises((slices.SkippedError, RuntimeError)):
                read(path)
