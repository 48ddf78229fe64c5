"""Labelled images for probes, all in memory, and their split into two sides."""

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
      is_test: bool [n]; equal images stand on one side.
      keys: of n, the same where images must stand on one side; None: all differ.
      identities: of n, in clear, see `slices.Slice`; they stay in memory. None: no
        image has any.
    """

    images: list[np.ndarray]
    labels: np.ndarray | None
    class_names: tuple[str, ...]
    masks: list[np.ndarray] | None
    mask_names: tuple[str, ...]
    is_test: np.ndarray
    keys: list[bytes] | None = None
    identities: list[tuple[tuple[str, str], ...]] | None = None


def load(data: str, seed: int, part: str = "test") -> Labelled:
    """Reads a labelled data set and splits it.

    Args:
      data: what `layouts.find` knows, with one class a picture or with masks; or
        "packaged:mni": slices of a brain with their plane and tissues, whose split is
        fixed (see `mni`).
      seed: of the split where there is none: a quarter of each class (or of all images)
        to test on; near copies count as different images.
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
        is_test=_split([keys[index] for index in kept], strata, seed),
    )


def _load(data, seed, part) -> tuple[Labelled, list[bytes]]:
    """The data set, and of each image what equal ones (of one volume) share."""
    if data == MNI:
        _check_part(data, part)
        return _brain()
    listing = layouts.find(data, _CONTEXT)
    _check(listing)
    parts = _parts(listing)
    if not parts:
        _check_part(data, part)
    elif part not in parts:
        raise ValueError(f"{data}: has train/ but no {part}/ to test on")
    else:
        wanted = [each for each in listing.examples if each.part in ("train", part)]
        listing = listing._replace(examples=wanted)
    found, pictures, stored, identities = _read(listing)
    together = groups.find(found, near=False)
    keys = [together.keys[group] for group in together.of.tolist()]
    classes = None
    if listing.kind == examples.CLASSES:
        classes = [example.label for example in listing.examples]
    if parts:
        is_test = np.array([example.part == part for example in listing.examples])
    else:
        is_test = _split(keys, classes or [""] * len(keys), seed)
    made = _numbered(found, pictures, classes, stored, is_test)
    return made._replace(keys=keys, identities=identities), keys


def _parts(listing) -> set[str]:
    return {example.part for example in listing.examples} - {None}


def _check_part(data, part) -> None:
    if part != "test":
        raise ValueError(f"{data}: has no {part}/ beside train/ to test on")


def _check(listing) -> None:
    """Probes refuse what training leaves out and counts."""
    if listing.kind not in (examples.CLASSES, examples.MASKS):
        raise ValueError(
            f"{listing.root}: has {listing.kind}; probes take one class a picture, or "
            "masks"
        )
    for note in listing.notes:
        if note.reason != layouts.NO_IMAGE:
            raise ValueError(str(note))


def _read(listing):
    """What was seen of the examples; their pixels, masks and identities."""
    decoder = decoding.Decoder(_CONTEXT, None)
    looks, pictures, stored, identities = [], [], [], []
    with quiet.readers():
        for example in listing.examples:
            one = survey.read(example, decoder, near=False)
            if one.look.problem:
                raise ValueError(f"{example.image.public()} {_problem(one)}")
            looks.append(one.look)
            pictures.append(one.pixels)
            stored.append(one.mask)
            own = () if example.image.array else reading.base_name(example.image.path)
            identities.append((*one.identities, *own))
    meaning = None
    if listing.kind == examples.MASKS:
        meaning = masks.meaning((look.mask for look in looks), str(listing.root))
    found = survey.Survey(listing, looks, meaning, decoder)
    return found, pictures, stored, identities


def _problem(one: survey.Read) -> str:
    if one.look.problem != survey.SIZES_DIFFER:
        return one.look.problem
    return (
        f"is {one.pixels.shape[:2]} pixels, its mask in labels/ {one.mask.values.shape}"
    )


def _numbered(found, pictures, classes, stored, is_test) -> Labelled:
    """Names of classes and values of masks become indices."""
    if classes is None:
        numbers = [masks.numbered(mask, found.meaning) for mask in stored]
        return Labelled(pictures, None, (), numbers, found.meaning.names, is_test)
    names = found.listing.class_names
    labels = np.array([names.index(name) for name in classes])
    return Labelled(pictures, labels, names, None, (), is_test)


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
