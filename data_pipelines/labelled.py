"""Labelled images for probes, all in memory, and their split into two sides."""

import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from data_pipelines import mni, quiet, reading, slices
from data_pipelines.labels import (
    decoding,
    examples,
    groups,
    layouts,
    masks,
    splits,
    survey,
)
from data_pipelines.readers import volumes

MNI = "packaged:mni"
_MNI_PER_PLANE = 40  # slices of each plane on each side
_CONTEXT = slices.Context()


class Labelled(NamedTuple):
    """Images with their truth, and the side that each stands on.

    Attributes:
      images: n of uint8 [H, W] or [H, W, 3], at their own resolution.
      labels: int [n], indices of `class_names`; None without classes.
      class_names: their names; empty without classes.
      masks: n of int32 [H, W], indices of `mask_names`; None without masks.
      mask_names: their names, background first; empty without masks.
      is_test: bool [n]; near copies stand on one side, unless others split.
      keys: of n, the same where images must stand on one side; None: all differ.
      identities: of n, in clear, see `slices.Slice`; they stay in memory. None: no
        image has any.
      label_sets: bool [n, K], where an image has any number of `class_names`; or None.
      contradicted: how many images come under two labels, in or left out.
    """

    images: list[np.ndarray]
    labels: np.ndarray | None
    class_names: tuple[str, ...]
    masks: list[np.ndarray] | None
    mask_names: tuple[str, ...]
    is_test: np.ndarray
    keys: list[bytes] | None = None
    identities: list[tuple[tuple[str, str], ...]] | None = None
    label_sets: np.ndarray | None = None
    contradicted: int = 0


def load(data: str, seed: int, part: str = "test") -> Labelled:
    """Reads a labelled data set and splits it.

    Args:
      data: what `layouts.find` knows, with labels or with masks; or "packaged:mni":
        slices of a brain with their plane and tissues, whose split is fixed.
      seed: of the split where there is none: a quarter of each class (or of all images)
        to test on, patients, volumes and near copies on one side; a picture under two
        labels is left out then. A split of the data set's own stays as it is.
      part: "test", or "val" to test on `val/` and leave `test/` alone.

    Raises:
      FileNotFoundError: there is no such folder.
      ValueError: the folder has another layout, or an image cannot be read.
    """
    return _load(data, seed, part)[0]


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
    if data != MNI and "val" in _parts(layouts.find(data, _CONTEXT)):
        return load(data, seed, "val")
    whole, keys = _load(data, seed, "test")
    kept = np.nonzero(~whole.is_test)[0].tolist()
    labels = None if whole.labels is None else whole.labels[kept]
    strata = [""] * len(kept) if labels is None else [str(label) for label in labels]
    return whole._replace(
        images=[whole.images[index] for index in kept],
        keys=[keys[index] for index in kept],
        identities=whole.identities and [whole.identities[index] for index in kept],
        labels=labels,
        masks=whole.masks and [whole.masks[index] for index in kept],
        label_sets=None if whole.label_sets is None else whole.label_sets[kept],
        is_test=_split([keys[index] for index in kept], strata, seed),
    )


def check_part(data: str, part: str) -> None:
    """Refuses a part that `load` would not find; decodes nothing.

    A folder of several data sets (.npz) is not looked into.

    Args:
      data: as in `load`.
      part: likewise.

    Raises:
      ValueError: so, or another layout.
    """
    root = pathlib.Path(data)
    if root.is_dir() and any(root.glob("*.npz")):
        return
    parts = set() if data == MNI else _parts(layouts.find(data, _CONTEXT))
    _check_part(data, parts, part)


def _load(data, seed, part) -> tuple[Labelled, list[bytes]]:
    """The data set, and of each image what equal ones (of one volume) share."""
    if data == MNI:
        _check_part(data, set(), part)
        return _brain()
    listing = layouts.find(data, _CONTEXT)
    _check(listing)
    parts = _parts(listing)
    _check_part(data, parts, part)
    if parts:
        wanted = [each for each in listing.examples if each.part in ("train", part)]
        listing = listing._replace(examples=wanted)
    reads = _read(listing, near=not parts)
    doubtful = survey.contradicted(listing, [one.look for one in reads])
    if not parts:  # a split of the data set's own is comparable only when it is whole
        listing, reads = _without(doubtful, listing, reads)
    found = _surveyed(listing, reads)
    together = groups.find(found, near=not parts)
    keys = [together.keys[group] for group in together.of.tolist()]
    if parts:
        is_test = np.array([example.part == part for example in listing.examples])
    else:
        is_test = _split(keys, _strata(listing), seed)
    made = _numbered(found, reads, is_test)
    made = made._replace(keys=keys, identities=_identities(listing, reads))
    return made._replace(contradicted=sum(doubtful.values())), keys


def _parts(listing) -> set[str]:
    return {example.part for example in listing.examples} - {None}


def _check_part(data, parts: set[str], part) -> None:
    """A split that the data brings needs that part, ours has a test part alone."""
    if parts and part not in parts:
        raise ValueError(f"{data}: has train/ but no {part}/ to test on")
    if not parts and part != "test":
        raise ValueError(f"{data}: has no {part}/ beside train/ to test on")


def _check(listing) -> None:
    """Probes refuse what training leaves out and counts."""
    if listing.kind == examples.BOXES:
        raise ValueError(f"{listing.root}: has boxes; probes take labels or masks")
    for note in listing.notes:
        if note.reason != layouts.NO_IMAGE:
            raise ValueError(str(note))


def _read(listing, near: bool) -> list[survey.Read]:
    decoder, reads = decoding.Decoder(_CONTEXT, None), []
    with quiet.readers():
        for example in listing.examples:
            one = survey.read(example, decoder, near=near)
            if one.look.problem:
                raise ValueError(f"{example.image.public()} {_problem(one)}")
            reads.append(one)
    return reads


def _without(contents, listing, reads):
    """The listing and its reads without the pictures of such contents."""
    kept = [row for row, one in enumerate(reads) if one.look.content not in contents]
    if not kept:
        raise ValueError(f"{listing.root}: every picture comes under two labels")
    left = [listing.examples[row] for row in kept]
    return listing._replace(examples=left), [reads[row] for row in kept]


def _surveyed(listing, reads) -> survey.Survey:
    looks, meaning = [one.look for one in reads], None
    if listing.kind == examples.MASKS:
        meaning = masks.meaning((look.mask for look in looks), str(listing.root))
    return survey.Survey(listing, looks, meaning, decoding.Decoder(_CONTEXT, None))


def _identities(listing, reads) -> list[tuple[tuple[str, str], ...]]:
    """Of headers, and of names of files, in clear."""
    found = []
    for example, one in zip(listing.examples, reads, strict=True):
        own = () if example.image.array else reading.base_name(example.image.path)
        found.append((*one.identities, *own))
    return found


def _problem(one: survey.Read) -> str:
    if one.look.problem != survey.SIZES_DIFFER:
        return one.look.problem
    return (
        f"is {one.pixels.shape[:2]} pixels, its mask in labels/ {one.mask.values.shape}"
    )


def _strata(listing) -> list[str]:
    """What the split spreads over both sides."""
    if listing.kind != examples.CLASSES:
        return [""] * len(listing.examples)
    return [example.label for example in listing.examples]


def _numbered(found, reads, is_test) -> Labelled:
    """Names of classes and values of masks become indices."""
    pictures, listing = [one.pixels for one in reads], found.listing
    if listing.kind == examples.MASKS:
        numbers = [masks.numbered(one.mask, found.meaning) for one in reads]
        return Labelled(pictures, None, (), numbers, found.meaning.names, is_test)
    names = listing.class_names
    made = Labelled(pictures, None, names, None, (), is_test)
    if listing.kind == examples.CLASSES:
        labels = [names.index(example.label) for example in listing.examples]
        return made._replace(labels=np.array(labels))
    sets = [[name in each.label for name in names] for each in listing.examples]
    return made._replace(label_sets=np.array(sets))


def _split(keys: Sequence[bytes], strata: Sequence[str], seed: int) -> np.ndarray:
    """Which images to test on: a share of the different ones of each stratum."""
    first: dict[bytes, str] = {}
    for key, stratum in zip(keys, strata, strict=True):
        first[key] = min(stratum, first.get(key, stratum))
    units = list(first)
    taken = splits.take(units, list(first.values()), share=splits.TEST_SHARE, seed=seed)
    sides = dict(zip(units, taken.tolist(), strict=True))
    return np.array([sides[key] for key in keys])


def _brain() -> tuple[Labelled, list[bytes]]:
    """Slices of the MNI brain's two parts, see `mni`; their planes and tissues."""
    brain, tissues = mni.load(), mni.load_tissues()
    parts = [
        mni.cube_slices(brain, part=part, per_plane=_MNI_PER_PLANE)
        for part in ("training", "test")
    ]
    pieces = [*parts[0], *parts[1]]
    planes = tuple(sorted(volumes.PLANES))
    pictures = [piece.cut(brain) for piece in pieces]
    found = Labelled(
        images=pictures,
        labels=np.array([planes.index(piece.plane) for piece in pieces]),
        class_names=planes,
        masks=[piece.cut(tissues) for piece in pieces],
        mask_names=mni.TISSUES,
        is_test=np.arange(len(pieces)) >= len(parts[0]),
    )
    return found, [survey.content_hash(each) for each in pictures]
