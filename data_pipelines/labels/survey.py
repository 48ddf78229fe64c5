"""Decodes every labelled example once: sizes, contents, and what must be left out."""

import collections
import concurrent.futures
import hashlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from data_pipelines import duplicates, quiet, slices
from data_pipelines.labels import decoding, examples, masks

SIZES_DIFFER = "and its mask differ in size"
OTHER_SIZE = "is not of the size that its annotation says"
TWO_LABELS = "is one picture under two labels"
OUTSIDE = "a box that was cut at the edge of its picture"
ALL_OUTSIDE = "a box outside of its picture"
_MIN_NEAR = 32  # pixels; of smaller pictures near copies are not told


class Look(NamedTuple):
    """What is kept of one example.

    Attributes:
      size: (height, width).
      colour: whether it has three channels.
      content: SHA-256 of shape and pixels.
      near: `duplicates.near_hash`, or None where there is too little to tell.
      owner: SHA-256 of the patient (else study, series) that a header names, or None.
      mask: what values its mask has, or None.
      problem: why it cannot be used, or None; then all else is empty.
    """

    size: tuple[int, int]
    colour: bool
    content: bytes
    near: bytes | None
    owner: bytes | None
    mask: masks.Facts | None
    problem: str | None


class Survey(NamedTuple):
    """A data set whose every example can be read and has one truth.

    Attributes:
      listing: its examples, and the notes of what was left out or changed.
      looks: one an example.
      meaning: of masks, or None.
      decoder: reads them.
    """

    listing: examples.Listing
    looks: list[Look]
    meaning: masks.Meaning | None
    decoder: decoding.Decoder

    @property
    def class_names(self) -> tuple[str, ...]:
        """Of classes, labels, boxes, or masks with their background."""
        return self.meaning.names if self.meaning else self.listing.class_names

    def classes_of(self, index: int) -> tuple[str, ...]:
        """The names of the classes that an example holds; of masks, "" if any."""
        example = self.listing.examples[index]
        if example.boxes is not None:
            return tuple({box.name: None for box in example.boxes})
        if example.mask is not None:
            return ("",) if self.has_foreground(index) else ()
        return example.label if isinstance(example.label, tuple) else (example.label,)

    def has_foreground(self, index: int) -> bool:
        """Whether the mask of an example has any class but the background."""
        facts, least = self.looks[index].mask, self.meaning.threshold or 0
        if facts.two_sided or self.meaning.threshold is None:
            return any(value != 0 for value in facts.counts)
        return any(value > least for value in facts.counts)


def survey(
    listing: examples.Listing,
    decoder: decoding.Decoder,
    *,
    num_threads: int,
    progress: Callable[[int], None],
) -> Survey:
    """Looks at every example once.

    Left out and noted are: what cannot be read; a mask or an annotation of another
    size than its picture; a picture of equal pixels under two labels (all of its
    copies, since nobody knows which is right); boxes outside of the picture. Boxes
    that reach out are cut and noted.

    Args:
      listing: of `layouts.find`.
      decoder: reads it.
      num_threads: that decode.
      progress: told the number of examples done.

    Raises:
      ValueError: nothing is left, or masks have no meaning in common.
    """
    looks = _all_looks(listing, decoder, num_threads, progress)
    found, kept, notes = [], [], list(listing.notes)
    doubtful = contradicted(listing, looks)
    for example, one in zip(listing.examples, looks, strict=True):
        problem = TWO_LABELS if one.content in doubtful else one.problem
        if problem:
            notes.append(examples.Note(problem, example.image.public()))
            continue
        if example.boxes is not None:
            example, changed = _within(example, one.size)
            notes += changed
        found.append(example)
        kept.append(one)
    if not found:
        first = f"; the first: {notes[0]}" if notes else ""
        raise ValueError(f"{listing.root}: no example can be used{first}")
    meaning = None
    if listing.kind == examples.MASKS:
        meaning = masks.meaning((one.mask for one in kept), str(listing.root))
        if meaning.threshold:
            halos = sum(not one.mask.two_sided for one in kept)
            notes += [examples.Note(masks.HALOS, f"{listing.root}:")] * halos
    listing = listing._replace(examples=found, notes=notes)
    return Survey(listing, kept, meaning, decoder)


def _all_looks(listing, decoder, num_threads, progress) -> list[Look]:
    looks = []
    with (
        quiet.readers(),
        concurrent.futures.ThreadPoolExecutor(num_threads) as threads,
    ):
        found = threads.map(
            lambda one: read(one, decoder, near=True).look, listing.examples
        )
        for number, one in enumerate(found, start=1):
            looks.append(one)
            progress(number)
    return looks


class Read(NamedTuple):
    """An example as it was decoded; `pixels` and `mask` as far as they could be.

    `identities` are in clear, see `slices.Slice`.
    """

    look: Look
    pixels: np.ndarray | None
    mask: masks.Stored | None
    identities: tuple[tuple[str, str], ...] = ()


def read(example: examples.Example, decoder: decoding.Decoder, *, near: bool) -> Read:
    """Decodes an example; `near` says whether its near hash is wanted."""
    pixels, stored, facts, owner = None, None, None, None
    try:
        piece = decoder.picture(example.image)
    except slices.SkippedError as error:
        return Read(_problem(str(error)), None, None)
    pixels, size = piece.pixels, piece.pixels.shape[:2]
    if example.mask is not None:
        try:
            stored = decoder.mask(example.mask)
            facts = masks.facts(stored)
        except slices.SkippedError as error:
            return Read(_problem(f"has a mask that {error}"), pixels, stored)
        if stored.values.shape != size:
            return Read(_problem(SIZES_DIFFER), pixels, stored)
    if example.stated_size not in (None, size):
        return Read(_problem(OTHER_SIZE), pixels, stored)
    if piece.identity != decoder.context.identity:
        owner = hashlib.sha256(piece.identity.encode()).digest()
    is_alone = example.volume is None and min(size) >= _MIN_NEAR
    hashed = _near(pixels) if near and is_alone else None
    colour, content = pixels.ndim == 3, content_hash(pixels)
    look = Look(size, colour, content, hashed, owner, facts, None)
    return Read(look, pixels, stored, piece.identities)


def content_hash(pixels: np.ndarray) -> bytes:
    """SHA-256 of an image's shape and pixels."""
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).digest()


def _near(pixels) -> bytes | None:
    """None for a constant image, which is like any other."""
    return None if pixels.min() == pixels.max() else duplicates.near_hash(pixels)


def _problem(reason) -> Look:
    return Look((0, 0), False, b"", None, None, None, reason)


def contradicted(listing: examples.Listing, looks: list[Look]) -> dict[bytes, int]:
    """Contents that come under two labels, and how many pictures have each."""
    if listing.kind not in (examples.CLASSES, examples.LABELS):
        return {}
    labels = collections.defaultdict(list)
    for example, one in zip(listing.examples, looks, strict=True):
        labels[one.content].append(example.label)
    labels.pop(b"", None)
    return {
        content: len(several)
        for content, several in labels.items()
        if len(set(several)) > 1
    }


def _within(example, size) -> tuple[examples.Example, list[examples.Note]]:
    """The example with its boxes cut at the edges of its picture."""
    boxes, notes = [], []
    height, width = size
    for box in example.boxes:
        cut = examples.Box(
            max(box.y0, 0.0),
            max(box.x0, 0.0),
            min(box.y1, float(height)),
            min(box.x1, float(width)),
            box.name,
        )
        inside = cut.y1 > cut.y0 and cut.x1 > cut.x0
        if inside:
            boxes.append(cut)
        if cut != box:
            reason = OUTSIDE if inside else ALL_OUTSIDE
            notes.append(examples.Note(reason, example.image.public()))
    return example._replace(boxes=tuple(boxes)), notes
