"""Labelled examples: where pixels and truth lie, before anything is decoded."""

import collections
import pathlib
from collections.abc import Iterable
from typing import NamedTuple

from data_pipelines import reading

CLASSES, LABELS, MASKS, BOXES = "classes", "labels", "masks", "boxes"
PARTS = ("train", "val", "test")


class Place(NamedTuple):
    """Where an image or a mask lies.

    Attributes:
      path: its file; neither stored nor printed.
      folder: what messages call its folder: what the user typed, and class names.
      number: of the file in sorted order there, from 1.
      index: of the slice in a volume, or the row in an array; None: a picture.
      array: name of the array in an .npz; "" elsewhere.
    """

    path: pathlib.Path
    folder: str
    number: int
    index: int | None = None
    array: str = ""

    def public(self) -> str:
        """How messages call it; names no file below what the user typed."""
        if self.array:
            return f"{self.folder} row {self.index} of {self.array}"
        return f"{self.folder} {reading.public_name(self.number, self.path)}"


class Box(NamedTuple):
    """A rectangle in pixels of the original image; pixel k spans k to k + 1."""

    y0: float
    x0: float
    y1: float
    x1: float
    name: str


class Example(NamedTuple):
    """An image with its truth, of which a data set has one kind.

    Attributes:
      image: where it lies.
      label: name of its class; names of its labels (any number), or None.
      mask: where its mask lies, or None.
      boxes: the rectangles in it, or None.
      stated_size: (height, width) that its boxes refer to, or None where not said.
      volume: number of the volume that it is a slice of, or None.
      part: of a split made by others: one of PARTS, or None.
      group: what must not be split, in clear, or None; stays in memory.
    """

    image: Place
    label: str | tuple[str, ...] | None = None
    mask: Place | None = None
    boxes: tuple[Box, ...] | None = None
    stated_size: tuple[int, int] | None = None
    volume: int | None = None
    part: str | None = None
    group: str | None = None


class Note(NamedTuple):
    """One thing that was left out or changed, by a stated rule."""

    reason: str
    where: str

    def __str__(self) -> str:
        """One line for people."""
        return f"{self.where} {self.reason}"


class Listing(NamedTuple):
    """All examples of a data set.

    Attributes:
      root: what the user typed.
      kind: of truth: CLASSES (one a picture), LABELS (any number), MASKS or BOXES.
      class_names: of classes, labels or boxes, in the order of their numbers; empty
        for masks, whose values must be read first.
      examples: in sorted order.
      notes: what was left out.
    """

    root: pathlib.Path
    kind: str
    class_names: tuple[str, ...]
    examples: list[Example]
    notes: list[Note]


def counts(notes: Iterable[Note]) -> dict[str, int]:
    """Reason -> how often, in order of the reasons."""
    return dict(sorted(collections.Counter(note.reason for note in notes).items()))
