"""Splits five public data sets into a corpus to pre-train on and held-out test sets.

    python benchmarks/shared_corpus.py $DATA $WORK

$DATA holds `brain_tumor_mri/`, `breast_ultrasound/` (class folders), `nuclei/` (images,
masks), `hippocampus/` (NIfTI volumes, labels) and `bccd/` (images); RESULTS.md names
their origins. Written to $WORK, where they must not be redistributed from: for each of
the first four `NAME/train`, `NAME/val` and `NAME/test`, as `evaluate --data $WORK/NAME`
reads them, and `corpus/train`, `corpus/val` for `prepare --classes`: a folder for each
class of the first two and for each other set. Pictures are links, but brain slices
(stored grey: their colour mode tells the class) and hippocampus slices.

Near-duplicates, of correlation above 0.97 at 32 pixels, stand on one side, and so do
the slices of a volume. 60 % train, 15 % validation, 25 % test.
"""

import argparse
import os
import pathlib
import sys
from collections.abc import Sequence

import nibabel
import numpy as np
import PIL.Image
from scipy import sparse
from sklearn import model_selection

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from data_pipelines import intensity
from data_pipelines.readers import formats, nifti, volumes

_SIDES = ("train", "val", "test")
_FOLDS = {"test": range(5), "val": range(5, 8), "train": range(8, 20)}
_DUPLICATE = 0.97
_THUMBNAIL = 32
_PERCENTILES = intensity.rule_for(modality="MR", organ=None, hounsfield=False)
_LABELLED_SLICES = 6  # of each hippocampus volume, evenly among those with a label


def main(argv: list[str] | None = None) -> None:
    """Writes everything; prints how many images stand where."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=pathlib.Path, help="the five data sets")
    parser.add_argument("out", type=pathlib.Path, help="a folder that is not there yet")
    options = parser.parse_args(argv)
    if options.out.exists():
        parser.error(f"{options.out} is there already: delete it or name another")
    data, out = options.data.resolve(), options.out
    for name in ("brain_tumor_mri", "breast_ultrasound"):
        _classes(data / name, out, grey=name == "brain_tumor_mri")
    _nuclei(data / "nuclei", out)
    _hippocampus(data / "hippocampus", out)
    paths = _pictures(data / "bccd" / "images")
    for path, side in zip(paths, _sides(_duplicates(paths), None), strict=True):
        _to_corpus(path, out, side, f"bccd/{path.name}")


def _classes(folder: pathlib.Path, out: pathlib.Path, *, grey: bool) -> None:
    """A data set of class folders; `grey` stores its pictures anew."""
    paths = [path for each in sorted(folder.iterdir()) for path in _pictures(each)]
    labels = [path.parent.name for path in paths]
    sides = _sides(_duplicates(paths), labels)
    for path, side in zip(paths, sides, strict=True):
        place = out / folder.name / side / path.parent.name / path.name
        if grey:
            place = place.with_suffix(".png")
            place.parent.mkdir(parents=True, exist_ok=True)
            PIL.Image.open(path).convert("L").save(place)
        else:
            _link(path, place)
        below = f"{folder.name}-{path.parent.name}/{place.name}"
        _to_corpus(place.resolve(), out, side, below)
    _tell(folder.name, sides)


def _nuclei(folder: pathlib.Path, out: pathlib.Path) -> None:
    paths = _pictures(folder / "images")
    sides = _sides(_duplicates(paths), None)
    for path, side in zip(paths, sides, strict=True):
        for part in ("images", "labels"):
            original = folder / part / path.name
            _link(original, out / "nuclei" / side / part / path.name)
        _to_corpus(path, out, side, f"nuclei/{path.name}")
    _tell("nuclei", sides)


def _hippocampus(folder: pathlib.Path, out: pathlib.Path) -> None:
    """Axial slices that hold a label; the corpus has the whole volumes."""
    paths = sorted((folder / "images").glob("*.nii*"))
    sides = _sides(np.arange(len(paths)), None)
    for path, side in zip(paths, sides, strict=True):
        volume = intensity.to_uint8(nifti.load(path)[0], _PERCENTILES)
        image = nibabel.as_closest_canonical(
            nibabel.load(folder / "labels" / path.name)
        )
        labels = np.asarray(image.dataobj).astype(np.uint8)
        labelled = np.nonzero(labels.any(axis=(0, 1)))[0]
        spread = np.linspace(0, len(labelled) - 1, _LABELLED_SLICES).round().astype(int)
        for index in labelled[spread]:
            for part, array in (("images", volume), ("labels", labels)):
                place = out / "hippocampus" / side / part
                place.mkdir(parents=True, exist_ok=True)
                name = f"{path.name.split('.')[0]}_{index}.png"
                cut = volumes.cut(array, "axial", index)
                PIL.Image.fromarray(cut).save(place / name)
        _to_corpus(path, out, side, f"hippocampus/{path.name}")
    _tell("hippocampus volumes", sides)


def _pictures(folder: pathlib.Path) -> list[pathlib.Path]:
    endings = formats.EXTENSIONS["PNG"] + formats.EXTENSIONS["JPEG"]
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in endings)


def _duplicates(paths: Sequence[pathlib.Path]) -> np.ndarray:
    """[n] number of the group of near-duplicates that each picture belongs to."""
    size = (_THUMBNAIL, _THUMBNAIL)
    thumbnails = np.stack(
        [np.asarray(PIL.Image.open(path).convert("L").resize(size)) for path in paths]
    )
    vectors = thumbnails.reshape(len(paths), -1).astype(np.float32)
    vectors -= vectors.mean(axis=1, keepdims=True)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
    alike = sparse.csr_array(vectors @ vectors.T > _DUPLICATE)
    return sparse.csgraph.connected_components(alike, directed=False)[1]


def _sides(groups: np.ndarray, labels: Sequence[str] | None) -> list[str]:
    """The side of each picture; groups stay whole, classes keep their shares."""
    labels = np.zeros(len(groups)) if labels is None else labels
    folds = model_selection.StratifiedGroupKFold(20, shuffle=True, random_state=0)
    number = np.zeros(len(groups), int)
    for fold, (_, members) in enumerate(folds.split(groups, labels, groups)):
        number[members] = fold
    return [next(side for side in _SIDES if n in _FOLDS[side]) for n in number]


def _to_corpus(original: pathlib.Path, out: pathlib.Path, side: str, name: str) -> None:
    """Gives a picture or volume to pre-training; test images never."""
    if side != "test":
        _link(original, out / "corpus" / side / name)


def _link(original: pathlib.Path, place: pathlib.Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    os.symlink(original, place)


def _tell(name: str, sides: Sequence[str]) -> None:
    print(name, ", ".join(f"{side} {sides.count(side)}" for side in _SIDES))


if __name__ == "__main__":
    main()
