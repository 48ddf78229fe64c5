"""The real medical images that installed packages ship: nothing is downloaded."""

import functools
import importlib.util
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from data_pipelines import intensity, mni, slices
from data_pipelines.readers import dicom, dicom_series, images

# of a file, or of the files of one series, or of some of them
Reader = Callable[[Sequence[pathlib.Path]], Iterator[slices.Slice | slices.Skipped]]
Files = list[tuple[tuple[pathlib.Path, ...], Reader]]


class Tiling(NamedTuple):
    """How one large picture is cut into square tiles.

    Attributes:
      modality, organ: as in `slices.Slice`.
      size: side of a tile, in pixels.
      stride: from one tile to the next, in pixels.
      min_spread: standard deviation of a tile's grey levels, at least.
    """

    modality: str
    organ: str | None
    size: int
    stride: int
    min_spread: float


# of scikit-image's own pictures, those that are medical
TILINGS = {
    "cell.png": Tiling("GM", None, 128, 32, 10.0),
    "ihc.png": Tiling("SM", "COLON", 128, 64, 0.0),
    "microaneurysms.png": Tiling("OP", "RETINA", 102, 102, 0.0),
    "retina.jpg": Tiling("OP", "RETINA", 160, 80, 0.0),
}
_DISC = 24  # brightest channel of a fundus photograph inside its disc, at least


def mni_files() -> Files:
    """The training part of nilearn's MNI brain: (file, reader)."""
    return [((mni.path("t1"),), _read_mni)]


def dicom_files() -> Files:
    """All files, broken ones too, of pydicom's tests and of pydicom-data, by series."""
    folders = (
        _folder("pydicom", "pydicom") / "data" / "test_files",
        _folder("data_store", "pydicom-data") / "data",
    )
    paths = [
        path
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".pyc"
    ]
    series = dicom_series.group(paths)
    later = {path for together in series.values() for path in together[1:]}
    return [
        (series.get(path, (path,)), _read_dicom) for path in paths if path not in later
    ]


def skimage_files() -> Files:
    """The medical ones of scikit-image's pictures: (file, reader that tiles it)."""
    folder = _folder("skimage", "scikit-image") / "data"
    return [
        ((folder / name,), functools.partial(_read_tiles, tiling=tiling))
        for name, tiling in TILINGS.items()
    ]


SETS = {"mni": mni_files, "dicom": dicom_files, "skimage": skimage_files}


def _folder(module: str, distribution: str) -> pathlib.Path:
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(
            f"{distribution} brings some of the packaged images: "
            f"pip install {distribution}"
        )
    return pathlib.Path(spec.submodule_search_locations[0])


def _read_mni(_) -> Iterator[slices.Slice]:
    brain = mni.load()
    for piece in mni.cube_slices(brain, part="training", per_plane=None):
        yield slices.Slice(
            pixels=piece.cut(brain),
            modality="MR",
            organ="BRAIN",
            spacing=(1.0, 1.0),
            identity="packaged mni152",
            index=piece.index,
            intensity_rule=mni.RULE.name,
        )


def _read_dicom(paths) -> Iterator[slices.Slice | slices.Skipped]:
    context = slices.Context(f"packaged {paths[0].name}")
    several = len(paths) > 1
    for piece in (
        dicom_series.read(paths, context) if several else dicom.read(paths[0], context)
    ):
        if isinstance(piece, slices.Slice) and piece.modality == "OT":
            raise slices.SkippedError("a test pattern: its modality is OT or absent")
        yield piece


def _read_tiles(paths, *, tiling: Tiling) -> Iterator[slices.Slice]:
    (path,) = paths
    (page,) = images.pixels(path)
    page = slices.grey_where_equal(page)
    for index, pixels in enumerate(_tiles(page, tiling)):
        yield slices.Slice(
            pixels=pixels,
            modality=tiling.modality,
            organ=tiling.organ,
            spacing=None,
            identity=f"packaged {path.name}",
            index=index,
            intensity_rule=intensity.UNTOUCHED,
        )


def _tiles(page: np.ndarray, tiling: Tiling) -> Iterator[np.ndarray]:
    """Tiles row by row that show something; of a fundus photograph inside its disc."""
    height, width = page.shape[:2]
    for top in range(0, height - tiling.size + 1, tiling.stride):
        for left in range(0, width - tiling.size + 1, tiling.stride):
            tile = page[top : top + tiling.size, left : left + tiling.size]
            in_disc = (tile.reshape(*tile.shape[:2], -1).max(axis=-1) >= _DISC).mean()
            if tile.std() >= tiling.min_spread and (
                tiling.modality != "OP" or in_disc > 0.99
            ):
                yield tile
