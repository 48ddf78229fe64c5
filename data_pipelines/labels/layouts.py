"""Recognises how labelled data is laid out, and lists its examples undecoded."""

import pathlib
from collections.abc import Sequence

from data_pipelines import names, slices
from data_pipelines.labels import (
    annotations,
    examples,
    medmnist,
    pairing,
    tables,
    volumes,
)

_TESTED = ("val", "test")  # folders beside train/ of a split made by others
# what a mask's name may have behind its image's
_MASK_SUFFIXES = ("_mask", "_label", "_seg", "_segmentation")
NO_MASK = "no file of equal name in labels/"
NO_IMAGE = "no file of equal name in images/"


def find(data: str, context: slices.Context) -> examples.Listing:
    """Lists the examples of a data set.

    Known are: a CSV (see `tables`); an .npz (see `medmnist`); a folder with one folder
    a class (whole numbers are grades, as in a CSV); with `images/` and `labels/` (masks
    of equal names, which may end in _mask, _label, _seg or _segmentation; NIfTI volumes
    count slice by slice); with `images/` and `annotations/` (see `annotations`); or
    with such a layout in each of `train/`, `test/` and, where wanted, `val/`, which is
    the split then.

    Args:
      data: a folder or a file.
      context: its first plane is the one that volumes are cut along.

    Raises:
      FileNotFoundError: there is no such file or folder.
      ValueError: another layout, or one that can be read in two ways; one line.
    """
    root = pathlib.Path(data)
    if root.is_file():
        readers = {".csv": tables.read, ".npz": medmnist.read}
        if root.suffix.lower() not in readers:
            raise ValueError(f"{root}: neither a folder, a .csv nor an .npz")
        return readers[root.suffix.lower()](root)
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder")
    parts = [part for part in _TESTED if (root / part).is_dir()]
    if (root / "train").is_dir() and parts:
        return _joined(root, ["train", *parts], context)
    return _one(root, context)


def _joined(root, parts: Sequence[str], context) -> examples.Listing:
    """A split made by others: folders of one layout each."""
    listings = {part: _one(root / part, context) for part in parts}
    train = listings["train"]
    found, notes, num_volumes = [], [], 0
    for part, listing in listings.items():
        if listing.kind != train.kind:
            raise ValueError(f"{root}: train/ and {part}/ have different layouts")
        unknown = set(listing.class_names) - set(train.class_names)
        if unknown:
            raise ValueError(
                f"{root}: {part}/ has {', '.join(sorted(unknown))}, train/ has no such "
                "class"
            )
        for example in listing.examples:
            if example.volume is not None:
                example = example._replace(volume=example.volume + num_volumes)
            found.append(example._replace(part=part))
        num_volumes += len({each.volume for each in listing.examples})
        notes += listing.notes
    return train._replace(root=root, examples=found, notes=notes)


def _one(root: pathlib.Path, context) -> examples.Listing:
    if not (root / "images").is_dir():
        return _classes(root)
    images = pairing.paths(root / "images")
    if (root / "annotations").is_dir():
        if (root / "labels").is_dir():
            raise ValueError(
                f"{root}: has both labels/ and annotations/ beside images/; keep one"
            )
        return annotations.read(root, images)
    if not (root / "labels").is_dir():
        raise ValueError(f"{root}: has images/ but no labels/ with masks")
    return _masks(root, images, pairing.paths(root / "labels"), context.planes[0])


def _classes(root) -> examples.Listing:
    folders = sorted(
        (
            path
            for path in root.iterdir()
            if path.is_dir() and not path.name.startswith(".")
        ),
        key=lambda path: names.natural(path.name),
    )
    if not folders:
        raise ValueError(
            f"{root}: needs one folder of images a class, or images/ and labels/"
        )
    found = [
        examples.Example(examples.Place(path, f"{folder}:", number), label=folder.name)
        for folder in folders
        for number, path in enumerate(pairing.paths(folder), start=1)
    ]
    class_names = tuple(folder.name for folder in folders)
    if all(name.isdecimal() for name in class_names):
        class_names = tables.grades(sorted(class_names, key=int))
    return examples.Listing(root, examples.CLASSES, class_names, found, [])


def _masks(root, images, masks, plane: str) -> examples.Listing:
    found, notes = [], []
    pairs, alone = _paired(root, images, masks)
    num_volumes = 0
    for number, (path, mask) in enumerate(pairs, start=1):
        image = examples.Place(path, f"{root}: images/", number)
        if mask is None:
            notes.append(examples.Note(NO_MASK, image.public()))
            continue
        place = examples.Place(mask, f"{root}: labels/", masks.index(mask) + 1)
        if not pairing.is_volume(path):
            found.append(examples.Example(image, mask=place))
            continue
        flaw = volumes.mismatch(path, mask)
        if flaw:
            notes.append(examples.Note(flaw, image.public()))
            continue
        found += [
            examples.Example(
                image._replace(index=index),
                mask=place._replace(index=index),
                volume=num_volumes,
            )
            for index in range(volumes.num_slices(path, plane))
        ]
        num_volumes += 1
    for path in alone:
        place = examples.Place(path, f"{root}: labels/", masks.index(path) + 1)
        notes.append(examples.Note(NO_IMAGE, place.public()))
    return examples.Listing(root, examples.MASKS, (), found, notes)


def _paired(root, images, masks):
    """(image, its mask or None) of each image, and the masks of none."""
    by_stem = pairing.by_stems(masks, f"{root}: labels/")
    pairs, used = [], set()
    pairing.by_stems(images, f"{root}: images/")  # two of one name: refused
    for path in images:
        own = pairing.stem(path)
        short = own.removesuffix("_image")
        candidates = [own, *(f"{short}{suffix}" for suffix in _MASK_SUFFIXES)]
        mask = next((by_stem[each] for each in candidates if each in by_stem), None)
        if mask in used:
            place = examples.Place(mask, f"{root}: labels/", masks.index(mask) + 1)
            raise ValueError(f"{place.public()} is the mask of two images by its name")
        pairs.append((path, mask))
        if mask is not None:
            used.add(mask)
    return pairs, [mask for mask in masks if mask not in used]
