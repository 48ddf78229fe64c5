"""NIfTI and Analyze volumes against nibabel, and against arithmetic."""

import gzip
import itertools
import pathlib
import struct

import nibabel
import numpy as np
import pytest

from data_pipelines import slices
from data_pipelines.readers import nifti, nifti_header, volumes

ALL = ("axial", "coronal", "sagittal")
PLAIN = np.diag([2.0, 3.0, 4.0, 1.0])
NIBABEL = pathlib.Path(nibabel.__file__).parent / "tests" / "data"


def save(path, volume, affine=PLAIN, kind=nibabel.Nifti1Image, **header):
    image = kind(volume, affine)
    for key, value in header.items():
        image.header[key] = value
    nibabel.save(image, path)
    return path


def edit(path, place, form, *values):
    """Overwrites a field of a plain file's header, which nibabel would correct."""
    block = bytearray(path.read_bytes())
    struct.pack_into(form, block, place, *values)
    path.write_bytes(block)
    return path


def read(path, modality=None, planes=ALL):
    return list(nifti.read(path, slices.Context("v", modality, tuple(planes))))


def refusal(path):
    with pytest.raises(slices.SkippedError) as caught:
        read(path)
    return str(caught.value)


def pixels(pieces):
    return [piece.pixels.tolist() for piece in pieces]


@pytest.fixture
def volume():
    return np.random.default_rng(0).normal(size=(5, 6, 7)).astype(np.float32)


@pytest.fixture
def plain(tmp_path, volume):
    return save(tmp_path / "plain.nii", volume)


def test_planes_have_their_shape_spacing_and_index(tmp_path, volume):
    pieces = read(save(tmp_path / "a.nii.gz", volume))
    assert len(pieces) == 5 + 6 + 7
    axial, coronal, sagittal = pieces[0], pieces[7], pieces[13]
    assert axial.pixels.shape == (6, 5) and axial.spacing == (3.0, 2.0)
    assert coronal.pixels.shape == (7, 5) and coronal.spacing == (4.0, 2.0)
    assert sagittal.pixels.shape == (7, 6) and sagittal.spacing == (4.0, 3.0)
    assert [piece.index for piece in pieces[:7]] == list(range(7))


def test_front_is_up_and_the_right_side_is_left(tmp_path):
    volume = np.zeros((5, 6, 7), np.float32)
    volume[4, 5, 6] = 1  # right, anterior, superior
    axial = volumes.cut(volume, "axial", 6)
    coronal = volumes.cut(volume, "coronal", 5)
    sagittal = volumes.cut(volume, "sagittal", 4)
    assert axial[0, 0] == coronal[0, 0] == sagittal[0, 0] == 1


@pytest.mark.parametrize("codes", ["LAS", "RAS", "LPS", "PIR", "SAL", "AIL"])
def test_stored_orientation_does_not_matter(tmp_path, volume, plain, codes):
    image = nibabel.load(plain)
    turn = nibabel.orientations.ornt_transform(
        nibabel.io_orientation(image.affine), nibabel.orientations.axcodes2ornt(codes)
    )
    turned = image.as_reoriented(turn)
    assert "".join(nibabel.aff2axcodes(turned.affine)) == codes
    nibabel.save(turned, tmp_path / "turned.nii")
    ours, theirs = read(tmp_path / "turned.nii"), read(plain)
    assert pixels(ours) == pixels(theirs)
    assert [each.spacing for each in ours] == [each.spacing for each in theirs]


def test_oblique_axes_take_the_nearest_as_nibabel_does(tmp_path, volume):
    rng = np.random.default_rng(1)
    for number, order in enumerate(itertools.permutations(range(3))):
        affine = np.eye(4)
        turn = np.eye(3)[list(order)] * rng.choice([-1, 1], 3)
        affine[:3, :3] = (turn + rng.uniform(-0.3, 0.3, (3, 3))) @ np.diag([1, 2, 3])
        path = save(tmp_path / f"{number}.nii", volume, affine)
        expected = nibabel.as_closest_canonical(nibabel.load(path))
        values, spacing = nifti.load(path)
        np.testing.assert_array_equal(values, np.asarray(expected.dataobj))
        np.testing.assert_allclose(spacing, expected.header.get_zooms(), rtol=1e-5)


def test_sform_then_qform_then_the_axes_as_stored(plain, volume):
    image = nibabel.load(plain)
    image.set_sform(np.diag([-2.0, 3.0, 4.0, 1.0]), 1)
    image.set_qform(np.diag([2.0, -3.0, 4.0, 1.0]), 1)
    plain = plain.with_name("both.nii")
    nibabel.save(image, plain)
    np.testing.assert_array_equal(nifti.load(plain)[0], volume[::-1])
    edit(plain, 254, "<h", 0)  # sform_code
    np.testing.assert_array_equal(nifti.load(plain)[0], volume[:, ::-1])
    edit(plain, 252, "<h", 0)  # qform_code
    values, spacing = nifti.load(plain)
    np.testing.assert_array_equal(values, volume[::-1])  # Analyze's: from right to left
    assert spacing == (2, 3, 4)
    np.testing.assert_array_equal(
        values, nibabel.as_closest_canonical(nibabel.load(plain)).get_fdata()
    )


def test_a_singular_sform_counts_as_none(plain, volume):
    image = nibabel.load(plain)
    image.set_qform(np.diag([2.0, -3.0, 4.0, 1.0]), 1)
    plain = plain.with_name("both.nii")
    nibabel.save(image, plain)
    for row in ((0.0,) * 4, (np.nan,) * 4, (0.0, 3.0, 0.0, 0.0)):
        edit(plain, 280, "<4f", *row)  # srow_x
        values, spacing = nifti.load(plain)
        np.testing.assert_array_equal(values, volume[:, ::-1])
        assert spacing == (2, 3, 4)


def test_a_quaternion_that_is_none_counts_as_none(plain, volume):
    edit(plain, 252, "<hh", 1, 0)  # qform_code, sform_code
    edit(plain, 256, "<3f", 1.0, 1.0, 1.0)
    np.testing.assert_array_equal(nifti.load(plain)[0], volume[::-1])


@pytest.mark.parametrize("size", [0.0, -3.0, np.nan, np.inf])
def test_a_size_that_is_no_length_is_unknown(plain, volume, size):
    edit(plain, 252, "<hh", 1, 0)  # the qform counts: its sizes are pixdim's
    edit(plain, 84, "<f", size)  # pixdim[2]
    axial, coronal, _ = (read(plain)[index] for index in (0, 7, 13))
    assert axial.spacing is None and coronal.spacing == (4, 2)
    np.testing.assert_array_equal(nifti.load(plain)[0], volume)


@pytest.mark.parametrize(
    ("unit", "spacing"),
    [(0, (3, 2)), (1, (3000, 2000)), (2, (3, 2)), (3, (0.003, 0.002)), (5, None)],
)
def test_spacing_is_in_mm_whatever_the_unit(plain, unit, spacing):
    edit(plain, 123, "<B", unit | 8)  # and seconds
    assert read(plain)[0].spacing == pytest.approx(spacing)


def test_scale_is_that_of_the_volume(tmp_path, volume):
    volume[..., 0] += 3
    low, high = np.percentile(volume, (1, 99))
    expected = (volume.clip(low, high) - low) / (high - low) * 255
    pieces = read(save(tmp_path / "a.nii", volume), planes=["axial"])
    for index, piece in enumerate(pieces):
        turned = expected[::-1, ::-1, index].T
        np.testing.assert_allclose(piece.pixels, turned, atol=0.51)
        assert piece.intensity_rule == "percentile_1_99" and piece.modality == "OT"


def test_ct_by_the_users_word_is_windowed(tmp_path):
    units = np.arange(-1000, 1000, 2000 / 512).reshape(8, 8, 8).astype(np.int16)
    piece = read(save(tmp_path / "a.nii", units), "CT", ["sagittal"])[4]
    expected = (units[4].clip(-160, 240) + 160) / 400 * 255
    np.testing.assert_allclose(piece.pixels, expected[::-1, ::-1].T, atol=0.51)
    assert piece.intensity_rule == "ct_soft_tissue" and piece.modality == "CT"


def test_a_slope_gives_hounsfield_units(tmp_path):
    stored = np.arange(512).reshape(8, 8, 8).astype(np.uint8)
    path = save(tmp_path / "a.nii", stored)
    edit(path, 112, "<2f", 2.0, -160.0)
    piece = read(path, "CT", ["sagittal"])[1]
    expected = stored[1].astype(float) * 2 / 400 * 255
    np.testing.assert_allclose(piece.pixels, expected[::-1, ::-1].T, atol=0.51)


@pytest.mark.parametrize("slope", [0.0, np.nan, np.inf, 1.0])
def test_a_slope_of_nothing_changes_nothing(tmp_path, slope):
    stored = np.arange(256).reshape(4, 8, 8).astype(np.int16)
    path = edit(save(tmp_path / "a.nii", stored), 112, "<2f", slope, 0.0)
    values, _ = nifti.load(path)
    assert values.dtype == np.int16
    np.testing.assert_array_equal(values, stored)


def test_values_that_are_not_finite_are_lowest(tmp_path, volume):
    volume[2, 3, 3:5] = np.nan, np.inf
    pieces = read(save(tmp_path / "a.nii", volume), planes=["sagittal"])
    row, column = 7 - 1 - 3, 6 - 1 - 3
    assert pieces[2].pixels[row, column] == pieces[2].pixels[row - 1, column] == 0


@pytest.mark.parametrize("modality", ["MR", "CT"])
def test_a_volume_of_8_bits_is_scaled_as_one_of_more(tmp_path, modality):
    stored = np.random.default_rng(0).integers(20, 90, (4, 5, 6)).astype(np.uint8)
    piece = read(save(tmp_path / "a.nii.gz", stored), modality, ["axial"])[2]
    other = read(save(tmp_path / "b.nii.gz", stored.astype(np.float32)), "MR")[2]
    assert piece.intensity_rule == "percentile_1_99"
    np.testing.assert_array_equal(piece.pixels, other.pixels)


@pytest.mark.parametrize("names", ["RGB", "RGBA"])
def test_colours_stay_as_they_are(tmp_path, names):
    shown = np.random.default_rng(0).integers(0, 255, (4, 5, 6, 4), np.uint8)
    kind = np.dtype([(name, "u1") for name in names])
    stored = np.ascontiguousarray(shown[..., : len(names)]).view(kind)[..., 0]
    piece = read(save(tmp_path / "a.nii", stored), planes=["coronal"])[1]
    expected = shown[:, 1, :, :3][::-1, ::-1].swapaxes(0, 1)
    assert piece.intensity_rule == "8bit"
    np.testing.assert_array_equal(piece.pixels, expected)
    assert nifti_header.parse(tmp_path / "a.nii").channels == len(names)
    with pytest.raises(slices.SkippedError, match="colour"):
        nifti.load(tmp_path / "a.nii")


def test_8_bit_vectors_of_three_are_colours_and_others_are_refused(tmp_path):
    shown = np.random.default_rng(0).integers(0, 255, (4, 5, 6, 1, 3), np.uint8)
    piece = read(save(tmp_path / "a.nii", shown), planes=["axial"])[5]
    expected = shown[:, :, 5, 0][::-1, ::-1].swapaxes(0, 1)
    np.testing.assert_array_equal(piece.pixels, expected)
    assert "5 axes" in refusal(save(tmp_path / "b.nii", shown.astype(np.int16)))


@pytest.mark.parametrize(
    "kind", ["i1", "i2", "i4", "i8", "u2", "u4", "u8", "f4", "f8", ">i2", ">f4", ">u8"]
)
def test_numbers_of_every_type_are_exact(tmp_path, kind):
    labels = np.arange(120).reshape(4, 5, 6).astype(kind)
    header = nibabel.Nifti1Header(endianness=">" if kind[0] == ">" else "<")
    header.set_data_dtype(kind)
    image = nibabel.Nifti1Image(labels, PLAIN, header)
    nibabel.save(image, tmp_path / "a.nii.gz")
    values, _ = nifti.load(tmp_path / "a.nii.gz")
    assert values.dtype == np.dtype(kind).newbyteorder("=")
    np.testing.assert_array_equal(values, labels)
    assert len(read(tmp_path / "a.nii.gz", planes=["axial"])) == 6


@pytest.mark.parametrize("kind", [np.complex64, np.complex128])
def test_complex_numbers_are_refused(tmp_path, kind):
    path = save(tmp_path / "a.nii", np.ones((4, 4, 4), kind))
    assert "complex" in refusal(path)


def test_eight_volumes_are_all_read_each_in_its_scale(tmp_path, volume):
    series = np.stack([volume * 10**power for power in range(4)], axis=-1)
    pieces = read(save(tmp_path / "a.nii", series), planes=["axial"])
    assert len(pieces) == 4 * 7
    assert pixels(pieces[:7]) == pixels(pieces[21:])
    assert [piece.index for piece in pieces] == [*range(7)] * 4
    np.testing.assert_array_equal(nifti.load(tmp_path / "a.nii")[0], series)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_of_a_long_series_the_first_and_the_middle_are_read(tmp_path, name):
    series = np.random.default_rng(0).normal(size=(4, 5, 6, 11)).astype(np.float32)
    pieces = read(save(tmp_path / name, series), planes=["axial"])
    shown = [each for each in pieces if isinstance(each, slices.Slice)]
    assert [each.reason for each in pieces if isinstance(each, slices.Skipped)] == [
        volumes.LEFT_OUT
    ] * 9
    for part, number in ((shown[:6], 0), (shown[6:], 5)):
        alone = save(tmp_path / "b.nii", series[..., number])
        assert pixels(part) == pixels(read(alone, planes=["axial"]))


def test_trailing_axes_of_one_voxel_do_not_count(tmp_path, volume, plain):
    path = save(tmp_path / "a.nii", volume[..., None, None, None])
    assert pixels(read(path)) == pixels(read(plain))


@pytest.mark.parametrize("shape", [(40, 50), (40, 50, 1), (40, 1, 50), (1, 40, 50)])
def test_a_flat_volume_is_one_picture(tmp_path, shape):
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    (piece,) = read(save(tmp_path / "a.nii", values), planes=["axial"])
    assert piece.pixels.shape == (50, 40) and piece.index is None


def test_a_line_is_no_volume(tmp_path):
    path = save(tmp_path / "a.nii", np.zeros(9, np.float32))
    assert "axes" in refusal(path)


def test_label_maps_are_no_images(tmp_path):
    labels = np.random.default_rng(0).integers(0, 14, (20, 30, 40))
    for kind in (np.uint8, np.int16, np.float32):
        path = save(tmp_path / "a.nii", labels.astype(kind))
        assert read(path) == [slices.Skipped(0, volumes.LABEL_MAP)]
        np.testing.assert_array_equal(nifti.load(path)[0], labels)
    path = save(tmp_path / "b.nii", labels.astype(np.int16) * 10, intent_code=1002)
    assert "label map" in refusal(path)
    np.testing.assert_array_equal(nifti.load(path)[0], labels * 10)


def test_pairs_and_analyze_are_read_from_either_file(tmp_path, volume):
    pair, analyze = nibabel.Nifti1Pair, nibabel.AnalyzeImage
    for kind, name in ((pair, "pair"), (analyze, "analyze")):
        path = save(tmp_path / f"{name}.img", volume, PLAIN, kind)
        expected = nibabel.as_closest_canonical(nibabel.load(path)).get_fdata()
        for each in (path, path.with_suffix(".hdr")):
            np.testing.assert_array_equal(nifti.load(each)[0], expected)
        assert nifti.is_data_of_header(path)
        assert not nifti.is_data_of_header(path.with_suffix(".hdr"))
    (tmp_path / "pair.img").unlink()
    assert ".img file of this header is missing" in refusal(tmp_path / "pair.hdr")


def test_nifti_2_is_read(tmp_path, volume, plain):
    path = save(tmp_path / "a.nii", volume, PLAIN, nibabel.Nifti2Image)
    assert pixels(read(path)) == pixels(read(plain))


def test_content_tells_what_is_compressed(tmp_path, plain):
    wrong = tmp_path / "plain.nii.gz"
    wrong.write_bytes(plain.read_bytes())
    squeezed = tmp_path / "squeezed.nii"
    squeezed.write_bytes(gzip.compress(plain.read_bytes()))
    assert pixels(read(wrong)) == pixels(read(squeezed)) == pixels(read(plain))


def test_a_cut_or_damaged_file_gives_a_reason(tmp_path, plain):
    whole = plain.read_bytes()
    squeezed = gzip.compress(whole)
    flipped = bytearray(squeezed)
    flipped[-6] ^= 1  # the checksum
    for content, reason in (
        (whole[:-1], "cut short"),
        (squeezed[:-40], "cut short"),
        (squeezed[:200], "cut short"),
        (flipped, "damaged"),
        (whole[:300], "not a NIfTI"),
        (b"", "not a NIfTI"),
        (b"\x1f\x8b", "cut short"),
    ):
        path = tmp_path / "bad.nii.gz"
        path.write_bytes(content)
        assert reason in refusal(path)


@pytest.mark.parametrize(
    ("dims", "reason"),
    [
        ((3, 32767, 32767, 32767), "voxels"),
        ((3, 1000, 1000, 1000), "cut short"),
        ((4, 5, 6, 7, 32767), "cut short"),
        ((7, 5, 6, 7, 1, 1, 1, 32767), "axes"),
        ((3, -5, 6, 7), "no voxel"),
        ((3, 5, 0, 7), "no voxel"),
        ((0, 5, 6, 7), "axes"),
        ((-3, 5, 6, 7), "axes"),
    ],
)
def test_a_header_that_lies_takes_no_memory(tmp_path, plain, monkeypatch, dims, reason):
    def refuse(*_):
        raise AssertionError("memory was taken")

    edit(plain, 40, f"<{len(dims)}h", *dims)
    squeezed = tmp_path / "a.nii.gz"
    squeezed.write_bytes(gzip.compress(plain.read_bytes()))
    monkeypatch.setattr(nifti, "_fill", refuse)
    assert reason in refusal(plain) and reason in refusal(squeezed)


def test_no_more_is_read_than_the_header_asks_for(tmp_path, plain, volume):
    bomb = gzip.compress(plain.read_bytes() + bytes(50_000_000))
    (tmp_path / "a.nii.gz").write_bytes(bomb)
    np.testing.assert_array_equal(nifti.load(tmp_path / "a.nii.gz")[0], volume)


@pytest.mark.parametrize("offset", [-1.0, 10.0, np.nan, np.inf, 1e30])
def test_an_offset_that_lies_is_refused(plain, offset):
    edit(plain, 108, "<f", offset)
    assert "header" in refusal(plain)


@pytest.mark.parametrize("code", [0, 1, 1536, 9999, -1])
def test_an_unknown_type_is_refused(plain, code):
    edit(plain, 70, "<h", code)
    assert refusal(plain).startswith("a volume of ")


def test_nibabels_own_volumes_are_its_own_values():
    names = ("anatomical.nii", "functional.nii", "example4d.nii.gz", "standard.nii.gz")
    for name in (*names, "example_nifti2.nii.gz"):
        expected = nibabel.as_closest_canonical(nibabel.load(NIBABEL / name))
        values, spacing = nifti.load(NIBABEL / name)
        np.testing.assert_array_equal(values, np.squeeze(expected.dataobj))
        np.testing.assert_allclose(spacing, expected.header.get_zooms()[:3], rtol=1e-5)
    assert "CIFTI" in refusal(NIBABEL / "row_major.dconn.nii")
    for name in ("test.mgz", "0.dcm"):  # whose preamble begins as Analyze does
        assert "not a NIfTI" in refusal(NIBABEL / name)


@pytest.mark.parametrize("name", ["analyze", "nifti1", "nifti2"])
def test_nibabels_headers_with_data_beside_them(tmp_path, name):
    header = (NIBABEL / f"{name}.hdr").read_bytes()
    (tmp_path / "a.hdr").write_bytes(header)
    assert "the .img file of this header is missing" in refusal(tmp_path / "a.hdr")
    (tmp_path / "a.img").write_bytes(np.random.default_rng(0).bytes(2_000_000))
    expected = nibabel.as_closest_canonical(nibabel.load(tmp_path / "a.img"))
    values, _ = nifti.load(tmp_path / "a.hdr")
    np.testing.assert_array_equal(values, np.squeeze(expected.dataobj))
