"""Labelled images for evaluation: classes, masks, and the split into two sides."""

import hashlib
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from data_pipelines import mni, names, quiet, reading, slices
from data_pipelines.readers import formats, images, volumes

MNI = "packaged:mni"
_MNI_PER_PLANE = 40  # slices of each plane on each side
_TEST_SHARE = 0.25
_TESTED = ("val", "test")  # folders beside train/ of a split made by others
_MAX_CLASSES = 32  # of a mask; more distinct values are not class numbers
_EXTENSIONS = tuple(
    ending for name in images.FORMATS for ending in formats.EXTENSIONS[name]
)


class Labelled(NamedTuple):
    """Images with their truth, and the side that each stands on.

    Attributes:
      images: n of uint8 [H, W] or [H, W, 3], at their own resolution.
      labels: int [n], indices of `class_names`; None without classes.
      class_names: their names; empty without classes.
      masks: n of int32 [H, W], indices of `mask_names`; None without masks.
      mask_names: their names, background first; empty without masks.
      is_test: bool [n]; equal images stand on one side.
    """

    images: list[np.ndarray]
    labels: np.ndarray | None
    class_names: tuple[str, ...]
    masks: list[np.ndarray] | None
    mask_names: tuple[str, ...]
    is_test: np.ndarray


class _Read(NamedTuple):
    """A layout as it was read: images with the names of their classes, or masks."""

    images: list[np.ndarray]
    classes: list[str] | None
    masks: list[np.ndarray] | None


def load(data: str, seed: int, part: str = "test") -> Labelled:
    """Reads a labelled data set and splits it.

    Args:
      data: a folder with one folder a class, or with `images/` and `labels/` (masks of
        equal names); or one with such a layout in each of `train/`, `test/` and, where
        wanted, `val/`, which is the split then; or "packaged:mni": slices of a brain
        with their plane and tissues, whose split is fixed (see `mni`).
      seed: of the split where there is none: a quarter of each class (or of all images)
        to test on.
      part: "test", or "val" to test on `val/` and leave `test/` alone.

    Raises:
      FileNotFoundError: there is no such folder.
      ValueError: the folder has another layout, or an image cannot be read.
    """
    if data == MNI:
        _check_part(data, part)
        return _brain()
    root = pathlib.Path(data)
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder, and not {MNI}")
    if (root / "train").is_dir() and any((root / each).is_dir() for each in _TESTED):
        return _with_parts(root, part)
    _check_part(data, part)
    found = _read_layout(root)
    strata = found.classes or [""] * len(found.images)
    return _number(found, _split(found.images, strata, seed), root)


def load_for_validation(data: str, seed: int) -> Labelled:
    """A labelled data set to choose settings on: no image that `load` tests on.

    Its `val/` is the side to measure on, else a quarter of the training side.

    Args:
      data: as in `load`.
      seed: likewise, the same one.

    Raises:
      FileNotFoundError: there is no such folder.
      ValueError: as `load`.
    """
    root = pathlib.Path(data)
    if (root / "train").is_dir() and (root / "val").is_dir():
        return load(data, seed, "val")
    whole = load(data, seed)
    kept = np.nonzero(~whole.is_test)[0].tolist()
    images = [whole.images[index] for index in kept]
    labels = None if whole.labels is None else whole.labels[kept]
    strata = [""] * len(kept) if labels is None else [str(label) for label in labels]
    return whole._replace(
        images=images,
        labels=labels,
        masks=whole.masks and [whole.masks[index] for index in kept],
        is_test=_split(images, strata, seed),
    )


def _check_part(data, part) -> None:
    if part != "test":
        raise ValueError(f"{data}: has no {part}/ beside train/ to test on")


def _with_parts(root, part) -> Labelled:
    """A split made by others: folders of one layout each."""
    if not (root / part).is_dir():
        raise ValueError(f"{root}: has train/ but no {part}/ to test on")
    train, test = (_read_layout(root / each) for each in ("train", part))
    if (train.classes is None) != (test.classes is None):
        raise ValueError(f"{root}: train/ and {part}/ have different layouts")
    if unknown := set(test.classes or ()) - set(train.classes or ()):
        raise ValueError(
            f"{root}: {part}/ has {', '.join(sorted(unknown))}, "
            "train/ has no such class"
        )
    joined = _Read(
        train.images + test.images,
        train.classes and train.classes + test.classes,
        train.masks and train.masks + test.masks,
    )
    is_test = np.arange(len(joined.images)) >= len(train.images)
    return _number(joined, is_test, root)


def _read_layout(root) -> _Read:
    read = _read_masks if (root / "images").is_dir() else _read_classes
    return read(root)


def _read_classes(root) -> _Read:
    folders = sorted(
        path
        for path in root.iterdir()
        if path.is_dir() and not path.name.startswith(".")
    )
    if not folders:
        raise ValueError(
            f"{root}: needs one folder of images a class, or images/ and labels/"
        )
    pictures, classes = [], []
    for folder in folders:
        found = [_read(path, n) for n, path in enumerate(_paths(folder), start=1)]
        pictures += found
        classes += [folder.name] * len(found)
    return _Read(pictures, classes, None)


def _read_masks(root) -> _Read:
    if not (root / "labels").is_dir():
        raise ValueError(f"{root}: has images/ but no labels/ with masks")
    paths = _paths(root / "images")
    masks_by_name = {path.stem: path for path in _paths(root / "labels")}
    pictures, masks = [], []
    for number, path in enumerate(paths, start=1):
        name = reading.public_name(number, path)
        if path.stem not in masks_by_name:
            raise ValueError(
                f"{root}: images/ {name}: no file of equal name in labels/"
            )
        picture, mask = _read(path, number), _mask(masks_by_name[path.stem], number)
        if mask.shape != picture.shape[:2]:
            raise ValueError(
                f"{root}: images/ {name} is {picture.shape[:2]} pixels, its mask in "
                f"labels/ {mask.shape}"
            )
        pictures.append(picture)
        masks.append(mask)
    return _Read(pictures, None, masks)


def _number(found: _Read, is_test: np.ndarray, root: pathlib.Path) -> Labelled:
    """Names of classes and values of masks become indices."""
    labels, class_names, masks, mask_names = None, (), None, ()
    if found.classes is not None:
        class_names = tuple(sorted(set(found.classes)))
        labels = np.array([class_names.index(name) for name in found.classes])
    if found.masks is not None:
        masks, mask_names = _numbered_masks(found.masks, root)
    return Labelled(found.images, labels, class_names, masks, mask_names, is_test)


def _brain() -> Labelled:
    """Slices of the MNI brain's two parts, see `mni`; their planes and tissues."""
    brain, tissues = mni.load(), mni.load_tissues()
    parts = [
        mni.cube_slices(brain, part=part, per_plane=_MNI_PER_PLANE)
        for part in ("training", "test")
    ]
    pieces = [*parts[0], *parts[1]]
    planes = tuple(sorted(volumes.PLANES))
    return Labelled(
        images=[piece.cut(brain) for piece in pieces],
        labels=np.array([planes.index(piece.plane) for piece in pieces]),
        class_names=planes,
        masks=[piece.cut(tissues) for piece in pieces],
        mask_names=mni.TISSUES,
        is_test=np.arange(len(pieces)) >= len(parts[0]),
    )


def _paths(folder: pathlib.Path) -> list[pathlib.Path]:
    """The image files of a folder, slice 2 before slice 10; at least one."""
    found = [
        path for path in folder.iterdir() if path.name.lower().endswith(_EXTENSIONS)
    ]
    if not found:
        raise ValueError(f"{folder}: no image ({' '.join(_EXTENSIONS)})")
    return sorted(found, key=lambda path: names.natural(path.name))


def _read(path: pathlib.Path, number: int) -> np.ndarray:
    """The first page, uint8; grey where its channels are equal, so that the way in
    which a class happened to be saved tells nothing.
    """
    try:
        with quiet.readers():
            return next(images.pixels(path))
    except Exception as error:
        name = reading.public_name(number, path)
        kind = type(error).__name__
        raise ValueError(f"{path.parent}: {name} cannot be read ({kind})") from None


def _mask(path: pathlib.Path, number: int) -> np.ndarray:
    """The stored numbers [H, W]; of 16 bits they count instances: 1 for any."""
    import PIL.Image

    name = reading.public_name(number, path)
    try:
        with PIL.Image.open(path, formats=images.FORMATS) as picture:
            mask = slices.grey_where_equal(np.asarray(picture))
    except (OSError, ValueError, SyntaxError):
        raise ValueError(f"{path.parent}: {name} cannot be read") from None
    if mask.ndim != 2:
        raise ValueError(f"{path.parent}: {name} is a colour picture, not a mask")
    if mask.dtype.itemsize > 1:
        mask = mask > 0
    return mask.astype(np.int32)


def _numbered_masks(masks, folder) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """Numbers the values that occur from 1 in order; 0 stays the background."""
    values = sorted(set().union(*(np.unique(mask).tolist() for mask in masks)) - {0})
    if len(values) > _MAX_CLASSES:
        raise ValueError(
            f"{folder}: {len(values)} values in 8-bit masks; at most {_MAX_CLASSES} "
            "classes; instances are stored in 16 bits"
        )
    texts = ["foreground"] if len(values) == 1 else [str(value) for value in values]
    numbered = [np.searchsorted([0, *values], mask).astype(np.int32) for mask in masks]
    return numbered, ("background", *texts)


def _split(
    pictures: Sequence[np.ndarray], strata: Sequence[str], seed: int
) -> np.ndarray:
    """Which images to test on: a share of the different ones of each stratum."""
    digests = [
        hashlib.sha256(repr(picture.shape).encode() + picture.tobytes()).digest()
        for picture in pictures
    ]
    sides: dict[bytes, bool] = {}
    for stratum in sorted(set(strata)):
        own = {each for each, of in zip(digests, strata, strict=True) if of == stratum}
        order = sorted(own - sides.keys(), key=lambda digest: _shuffled(digest, seed))
        num_test = max(round(_TEST_SHARE * len(order)), int(len(order) > 1))
        sides.update((digest, i < num_test) for i, digest in enumerate(order))
    return np.array([sides[digest] for digest in digests])


def _shuffled(digest: bytes, seed: int) -> bytes:
    return hashlib.sha256(f"{seed} ".encode() + digest).digest()
