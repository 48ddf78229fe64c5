"""The real images of installed packages."""

import numpy as np
import pytest
import shard_jobs

from data_pipelines import packaged, shards, slices, sources


def test_every_tile_is_of_its_picture_and_shows_something():
    modalities = set()
    for paths, read in packaged.skimage_files():
        tiling = packaged.TILINGS[paths[0].name]
        tiles = list(read(paths))
        assert tiles
        for tile in tiles:
            assert tile.pixels.shape[:2] == (tiling.size, tiling.size)
            assert tile.pixels.std() > 2 and slices.flaw(tile.pixels) is None
        assert len({tile.identity for tile in tiles}) == 1
        modalities.add(tiles[0].modality)
    assert modalities == {"OP", "SM", "GM"}


def test_fundus_tiles_lie_inside_the_disc():
    tiles = [
        tile.pixels
        for paths, read in packaged.skimage_files()
        if paths[0].name == "retina.jpg"
        for tile in read(paths)
    ]
    assert len(tiles) > 100
    assert max((tile.max(axis=-1) < 24).mean() for tile in tiles) < 0.01


def test_brain_slices_are_many_and_one_group():
    ((paths, read),) = packaged.mni_files()
    pieces = list(read(paths))
    assert 300 < len(pieces) < 450
    assert {piece.identity for piece in pieces} == {"packaged mni152"}
    assert np.mean([piece.pixels.mean() for piece in pieces]) > 40


@pytest.mark.slow
def test_all_of_them_make_a_mixture_of_six_modalities(tmp_path):
    inputs = sources.expand("packaged", dataset=None, context=slices.Context(), first=1)
    job = shards.Job(
        inputs=inputs,
        out=tmp_path / "out",
        name="packaged",
        settings={"size": 96, "num_shards": 8},
        salt_key=bytes(32),
    )
    made = shard_jobs.write(job, num_workers=2)
    assert len(set().union(*made["counts"].values())) >= 6
    assert made["counts"]["packaged:mni"]["MR"] <= made["records"] / 2
    assert made["records"] > 800 and made["channels"] == 3


@pytest.mark.filterwarnings("ignore")
def test_dicom_files_keep_the_broken_and_leave_test_patterns_out():
    files = {paths[0].name: (paths, read) for paths, read in packaged.dicom_files()}
    names = {path.name for paths, _ in files.values() for path in paths}
    assert "MR_truncated.dcm" in names

    def read(name):
        paths, reader = files[name]
        return list(reader(paths))

    with pytest.raises(slices.SkippedError, match="test pattern"):
        read("SC_rgb_jpeg.dcm")
    assert [piece.modality for piece in read("CT_small.dcm")] == ["CT"]
    series, _ = files["MR_small.dcm"]
    assert "MR_truncated.dcm" in {path.name for path in series}
    pieces = [each for each in read("MR_small.dcm") if isinstance(each, slices.Slice)]
    assert len(pieces) == len(series) - 1
    assert all((piece.pixels == pieces[0].pixels).all() for piece in pieces)
