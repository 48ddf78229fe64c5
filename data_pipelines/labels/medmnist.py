"""Labelled data in one .npz with the arrays of MedMNIST, whose split is kept."""

import pathlib
import zipfile

import numpy as np

from data_pipelines.labels import examples, tables


def read(path: pathlib.Path) -> examples.Listing:
    """Lists the rows of train_images, val_images and test_images.

    Images are uint8 [n, H, W] or [n, H, W, 3]; labels integers [n] or [n, 1] (a class
    or a grade each) or 0 and 1 [n, K] (any number of K labels).

    Raises:
      ValueError: an array is missing, of another shape or type, or cannot be read.
    """
    found, widths = [], set()
    with _opened(path) as file:
        parts = [part for part in examples.PARTS if f"{part}_images" in file]
        if "train" not in parts or len(parts) < 2:
            raise ValueError(
                f"{path}: needs the arrays train_images, train_labels, and those of "
                "val or test"
            )
        for part in parts:
            labels = _labels(path, file, part)
            shape = image_shape(path, f"{part}_images")
            _check(path, part, shape, labels)
            widths.add(1 if labels.ndim == 1 else labels.shape[1])
            found += [(part, row, label) for row, label in enumerate(labels)]
    if len(widths) > 1:
        raise ValueError(f"{path}: labels of its parts have {sorted(widths)} columns")
    (width,) = widths
    several = width > 1
    rows = [_example(path, part, row, label, several) for part, row, label in found]
    if several:
        class_names = tuple(str(number) for number in range(width))
    else:
        occurring = sorted({row.label for row in rows}, key=int)
        class_names = tables.grades(occurring)
    kind = examples.LABELS if several else examples.CLASSES
    return examples.Listing(path, kind, class_names, rows, [])


def _opened(path):
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, EOFError, ValueError, zipfile.BadZipFile):
        raise ValueError(f"{path}: no .npz file, or damaged") from None


def image_shape(path: pathlib.Path, name: str) -> tuple[int, ...]:
    """The shape of an array of uint8, from its header alone.

    Raises:
      ValueError: it is of another type or cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as file:
            version = np.lib.format.read_magic(file)
            readers = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }
            shape, _, dtype = readers[version](file)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        raise ValueError(f"{path}: {name} cannot be read") from None
    if dtype != np.uint8:
        raise ValueError(f"{path}: {name} is {dtype}, not uint8")
    return shape


def _labels(path, file, part) -> np.ndarray:
    name = f"{part}_labels"
    try:
        labels = file[name]
    except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile):
        raise ValueError(f"{path}: {name} is missing or cannot be read") from None
    if labels.dtype.kind not in "iub" or labels.ndim not in (1, 2):
        raise ValueError(
            f"{path}: {name} is {labels.dtype} {list(labels.shape)}, not integers "
            "[n], [n, 1] or [n, K]"
        )
    if labels.size and labels.min() < 0:
        raise ValueError(f"{path}: {name} has numbers under 0")
    several = labels.ndim == 2 and labels.shape[1] > 1
    if several and labels.size and labels.max() > 1:
        raise ValueError(f"{path}: {name} has several columns that are not 0 and 1")
    return labels[:, 0] if labels.shape[1:] == (1,) else labels


def _check(path, part, shape, labels) -> None:
    if len(shape) != 3 and (len(shape) != 4 or shape[3] != 3):
        raise ValueError(
            f"{path}: {part}_images is {list(shape)}, not [n, H, W] or [n, H, W, 3]"
        )
    if shape[0] != len(labels):
        raise ValueError(f"{path}: {shape[0]} {part}_images, {len(labels)} labels")


def _example(path, part, row, label, several) -> examples.Example:
    if several:
        label = tuple(str(number) for number in np.flatnonzero(label))
    else:
        label = str(int(label))
    place = examples.Place(path, f"{path}:", 1, index=row, array=f"{part}_images")
    return examples.Example(place, label=label, part=part)
