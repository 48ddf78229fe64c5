"""One row of the catalogue: what a source is, how it lies, what may be taken of it."""

from typing import NamedTuple

OFFICIAL, FIFTH = "official", "fifth"

# Why a file is not taken; these are counted, so they name no file
LABEL = "a label"
TEST = "of the official test part"
VALIDATION = "of the official validation part"
PIXELS = "pixel data of the header beside it"
ALL = "the whole set: it has no official split"
NO_PATIENTS = "file names hold no patient"
TCIA = "The Cancer Imaging Archive (cancerimagingarchive.net), collection "


class OwnList(NamedTuple):
    """The list of training images that a data set comes with.

    Attributes:
      path: pattern of the file, see `patterns`.
      entry: pattern whose group is the name of an image or patient in a line.
    """

    path: str
    entry: str


class Source(NamedTuple):
    """One of the paper's 55 sources. None is "unknown", never a guess.

    Attributes:
      name: what `--dataset` takes.
      title: in words.
      modalities: of slices.MODALITIES; what a header says of its image wins.
      organ: one of slices.ORGANS, or None where there are several or none fits.
      dimension: "2-D" or "3-D", of the files; volumes are cut to slices.
      size: of the whole set.
      licence: as its page names it; None: look there.
      where: to get it.
      split: OFFICIAL takes the training part, FIFTH a fifth of it by `unit`.
      part: which part that is, in words.
      unit: what is never split: "patient", "volume", ..., "image".
      images: patterns of its images, see `patterns`.
      others: (pattern, reason) of what lies among them and is not taken.
      own_list: where a list beside the images says which are for training.
      released: folder of the lists that LVM-Med published.
      lines: number of lines of that list.
      prefixed: its lines are CLASS_NAME, where the file is called NAME.
      overlaps: names of sources that share images or patients with it.
      tfds: what TensorFlow Datasets call it, where they have it.
      doubt: what could not be verified.
    """

    name: str
    title: str
    modalities: tuple[str, ...]
    organ: str | None
    dimension: str
    size: str | None
    licence: str | None
    where: str | None
    split: str
    part: str
    unit: str
    images: tuple[str, ...]
    others: tuple[tuple[str, str], ...] = ()
    own_list: OwnList | None = None
    released: str | None = None
    lines: int | None = None
    prefixed: bool = False
    overlaps: tuple[str, ...] = ()
    tfds: str | None = None
    doubt: str | None = None
