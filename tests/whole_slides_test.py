"""Whole slides as tiles of tissue; the slides are made by tifffile."""

import sys

import numpy as np
import pytest
import tifffile

from data_pipelines import slices
from data_pipelines.readers import slide_files, tiff, whole_slides

pytest.importorskip("openslide")

SIDE = 1024  # pixels of a slide of half a micrometre each
APERIO = "Aperio Image Library v11\n1024x1024 (128x128)|AppMag = 20|MPP = 0.5"


def glass():
    """A slide: tissue, which is rosy noise, in its upper left quarter."""
    values = np.full((SIDE, SIDE, 3), 242, np.uint8)
    noise = np.random.default_rng(0).integers(-20, 20, (SIDE // 2, SIDE // 2, 3))
    values[: SIDE // 2, : SIDE // 2] = (noise + np.array([190, 110, 160])).astype(
        np.uint8
    )
    return values


def slide(path, *, description=APERIO, reduced=False, label=None, levels=2, **options):
    """A pyramid of levels 4 apart; what is red in `label` must never be seen."""
    values = glass()
    with tifffile.TiffWriter(path) as writer:
        for level in range(levels):
            side = 4**level
            small = values.reshape(SIDE // side, side, SIDE // side, side, 3)
            writer.write(
                small.mean(axis=(1, 3)).astype(np.uint8),
                tile=(128, 128),
                photometric="rgb",
                compression="zlib",
                subfiletype=int(reduced and level > 0),
                description=description,
                metadata=None,
                **options,
            )
        if label is not None:
            text = f"{APERIO}\nlabel 64x64"
            writer.write(label, subfiletype=1, description=text, metadata=None)
    return path


def read(path, microns=64.0, size=128, modality=None):
    context = slices.Context("one", modality, size=size, tile_microns=microns)
    return list(tiff.read(path, context))


def images_of(found):
    return [piece for piece in found if isinstance(piece, slices.Slice)]


def test_tiles_are_those_with_tissue(tmp_path):
    found = read(slide(tmp_path / "a.svs"))
    pieces = images_of(found)
    # 64 micrometres are 128 pixels: a grid of 8 by 8, of which 4 by 4 are tissue
    assert [piece.index for piece in pieces] == [
        row * 8 + column for row in range(4) for column in range(4)
    ]
    assert len(found) - len(pieces) == 48
    values = glass()
    np.testing.assert_array_equal(pieces[0].pixels, values[:128, :128])
    np.testing.assert_array_equal(pieces[6].pixels, values[128:256, 256:384])
    assert {piece.modality for piece in pieces} == {"SM"}
    assert {piece.spacing for piece in pieces} == {(0.0005, 0.0005)}
    assert {piece.identity for piece in pieces} == {"one"}


@pytest.mark.parametrize(("size", "side"), [(256, 512), (128, 128), (140, 512)])
def test_the_level_is_fine_enough(tmp_path, size, side):
    """256 micrometres: 512 pixels of level 0, 128 of level 1."""
    pieces = images_of(read(slide(tmp_path / "a.svs"), microns=256.0, size=size))
    assert {piece.pixels.shape for piece in pieces} == {(side, side, 3)}
    assert {piece.spacing for piece in pieces} == {(0.256 / side, 0.256 / side)}


@pytest.mark.parametrize("unit", ["CENTIMETER", "INCH"])
def test_a_plain_pyramid_with_a_resolution_is_a_slide(tmp_path, unit):
    dots = {"CENTIMETER": 20_000, "INCH": 50_800}[unit]  # half a micrometre
    path = slide(
        tmp_path / "a.tif",
        description=None,
        reduced=True,
        resolution=(dots, dots),
        resolutionunit=unit,
    )
    assert len(images_of(read(path))) == 16


def test_a_plain_pyramid_for_print_is_one_image(tmp_path):
    options = {"description": None, "reduced": True, "resolution": (300, 300)}
    (piece,) = images_of(read(slide(tmp_path / "a.tif", **options)))
    assert piece.pixels.shape == (SIDE, SIDE, 3)


def test_labels_are_never_read(tmp_path):
    red = np.zeros((64, 64, 3), np.uint8)
    red[::2] = (255, 0, 0)
    pieces = images_of(read(slide(tmp_path / "a.svs", label=red)))
    assert len(pieces) == 16
    assert all(piece.pixels[..., 1].min() > 50 for piece in pieces)


def test_a_slide_without_the_size_of_its_pixels_is_refused(tmp_path):
    path = slide(tmp_path / "a.svs", description=APERIO.partition("|")[0])
    with pytest.raises(slices.SkippedError, match="size of its pixels"):
        read(path)


@pytest.mark.parametrize("microns", [0.0001, 1000.0])
def test_a_slide_whose_pixels_have_no_sensible_size_is_refused(tmp_path, microns):
    path = slide(tmp_path / "a.svs", description=APERIO.replace("0.5", str(microns)))
    with pytest.raises(slices.SkippedError, match="a slide whose pixels"):
        read(path)


def test_tiles_of_no_use_are_refused(tmp_path):
    path = slide(tmp_path / "a.svs")
    with pytest.raises(slices.SkippedError, match="under 32 pixels"):
        read(path, microns=10.0)
    with pytest.raises(slices.SkippedError, match="smaller than a tile"):
        read(path, microns=2000.0)


def test_empty_glass_has_no_tile(tmp_path, monkeypatch):
    tinted = np.full((SIDE, SIDE, 3), 242, np.uint8)
    tinted[:, SIDE // 2 :] = (242, 238, 234)
    monkeypatch.setitem(globals(), "glass", lambda: tinted)
    assert not images_of(read(slide(tmp_path / "a.svs")))


def test_the_number_of_tiles_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(whole_slides, "MAX_TILES", 4)
    found = read(slide(tmp_path / "a.svs"))
    assert [piece.index for piece in images_of(found)] == [0, 8, 16, 24]
    reasons = [each.reason for each in found if isinstance(each, slices.Skipped)]
    assert reasons.count("tile beyond the 4 of a slide") == 12


def test_a_slide_without_levels_is_read_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(whole_slides, "_BLOCK", 100)
    pieces = images_of(read(slide(tmp_path / "a.svs", levels=1), microns=256.0))
    np.testing.assert_array_equal(pieces[0].pixels, glass()[:512, :512])


def test_a_tile_of_a_coarse_level_is_read_in_parts(tmp_path, monkeypatch):
    path = slide(tmp_path / "a.svs")
    whole = images_of(read(path, microns=256.0))
    monkeypatch.setattr(whole_slides, "_BLOCK", 50)
    parts = images_of(read(path, microns=256.0))
    means = glass()[:512, :512].reshape(128, 4, 128, 4, 3).mean(axis=(1, 3))
    np.testing.assert_array_equal(whole[0].pixels, means.astype(np.uint8))
    np.testing.assert_array_equal(parts[0].pixels, whole[0].pixels)


def test_what_to_install_is_said(tmp_path, monkeypatch):
    path = slide(tmp_path / "a.svs")
    monkeypatch.setitem(sys.modules, "openslide", None)
    with pytest.raises(slices.SkippedError, match="pip install openslide-python"):
        read(path)


def test_parts_of_a_slide_are_no_images(tmp_path):
    for name in ("a.vms", "a.jpg", "a_macro.jpg", "b.jpg", "c.mrxs", "c/Data0000.dat"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    text = "[Virtual Microscope Specimen]\nImageFile=a.jpg\nMacroImage=a_macro.jpg\n"
    (tmp_path / "a.vms").write_text(text)
    parts = slide_files.companions(tmp_path / "a.vms")
    assert [path.name for path in parts] == ["a.jpg", "a_macro.jpg"]
    parts = slide_files.companions(tmp_path / "c.mrxs")
    assert [path.name for path in parts] == ["Data0000.dat"]
    assert slide_files.companions(tmp_path / "b.jpg") == []
