"""Whole slides as DICOM: tiles with tissue, never the label."""

import dicom_files
import numpy as np
import pytest

from data_pipelines import slices
from data_pipelines.readers import dicom, dicom_slide

WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"


def write(path, *, kind="VOLUME", spacing=0.001, tile=None, **elements):
    """Three tiles of 64 pixels: tissue, glass, tissue."""
    rng = np.random.default_rng(0)
    tissue = rng.integers(0, 256, (64, 64, 3), np.uint8)
    glass = rng.integers(240, 244, (64, 64, 3), np.uint8)
    measures = dicom_files.item(PixelSpacing=[spacing, spacing])
    return dicom_files.write(
        path,
        tissue,
        modality="SM",
        photometric="RGB",
        storage=WHOLE_SLIDE,
        ImageType=["ORIGINAL", "PRIMARY", kind, "NONE"],
        NumberOfFrames=3,
        PixelData=b"".join(each.tobytes() for each in (tissue, glass, tissue)),
        SharedFunctionalGroupsSequence=[
            dicom_files.item(PixelMeasuresSequence=[measures])
        ],
        **elements,
    )


def read(path, microns=64.0):
    return list(dicom.read(path, slices.Context(tile_microns=microns)))


def test_tiles_with_tissue_are_slices(tmp_path):
    first, glass, last = read(write(tmp_path / "a"))
    assert isinstance(glass, slices.Skipped) and "without tissue" in glass.reason
    assert (first.index, last.index) == (0, 2)
    assert first.modality == "SM" and first.spacing == (0.001, 0.001)
    assert first.pixels.shape == (64, 64, 3) and first.intensity_rule == "8bit"


@pytest.mark.parametrize("kind", ["LABEL", "OVERVIEW"])
def test_photographs_of_the_glass_are_left_out(tmp_path, kind):
    with pytest.raises(slices.SkippedError, match=f"slide's {kind.lower()}"):
        read(write(tmp_path / "a", kind=kind))


@pytest.mark.parametrize(
    ("microns", "fits"),
    [(64, True), (17, True), (250, True), (15, False), (300, False)],
)
def test_levels_far_from_the_scale_asked_for_are_left_out(tmp_path, microns, fits):
    path = write(tmp_path / "a")  # tiles of 64 micrometres
    if fits:
        assert len(read(path, microns)) == 3
    else:
        with pytest.raises(slices.SkippedError, match="level"):
            read(path, microns)


def test_of_many_tiles_an_even_part_is_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(dicom_slide, "_MOST_TILES", 2)
    assert [piece.index for piece in read(write(tmp_path / "a"))] == [0, 2]
