"""The images of a contact sheet: some of each modality, rare ones too."""

import base64
import collections
import io
import pathlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import PIL.Image

from lvmmed_jax.inspection import stored, survey

SIDE = 160  # pixels of a thumbnail's longer side, at most
_LOOKED_AT_MORE = 4  # times the sample, for a modality that is not in it


class Thumbnail(NamedTuple):
    """A stored image, averaged down.

    Attributes:
      uri: PNG as a data URI.
      height, width: of the stored image, in pixels.
    """

    uri: str
    height: int
    width: int


def thumbnails(
    shards: pathlib.Path, taken: survey.Survey, *, each: int
) -> dict[str, list[Thumbnail]]:
    """Up to `each` images of every modality of the manifest, the most frequent first.

    Those of many groups and spread over the set are preferred. A modality that the
    survey missed is looked for in more records; its list is empty if that was in vain.

    Raises:
      ValueError: a shard or an image is damaged.
    """
    counts = collections.Counter()
    for by_modality in taken.manifest["counts"].values():
        counts.update(by_modality)
    numbers = collections.defaultdict(list)
    for number, record in taken.records.items():
        numbers[record.modality].append(number)
    chosen = [
        number
        for some in numbers.values()
        for number in varied([(one, taken.records[one].group) for one in some], each)
    ]
    if missed := {name: counts[name] for name in counts if name not in numbers}:
        chosen += _found(shards, taken, missed, each)
    made = {name: [] for name, _ in counts.most_common()}
    for number, record in stored.read(shards, taken.manifest, chosen):
        pixels = stored.image(number, record)
        made[record.modality].append(Thumbnail(uri(pixels), *pixels.shape[:2]))
    return made


def varied(numbered: Sequence[tuple[int, str]], count: int) -> list[int]:
    """Numbers of records: one of the middle of each group, then any, evenly spread."""
    groups = collections.defaultdict(list)
    for number, group in numbered:
        groups[group].append(number)
    middles = [some[len(some) // 2] for some in groups.values()]
    first = [middles[place] for place in stored.spread(len(middles), count)]
    left = [number for number, _ in numbered if number not in set(first)]
    places = stored.spread(len(left), count - len(first))
    return first + [left[place] for place in places]


def _found(
    shards: pathlib.Path, taken: survey.Survey, missed: dict[str, int], each: int
) -> Iterable[int]:
    """Numbers of records of modalities that the survey missed."""
    total = taken.manifest["records"]
    unread = np.setdiff1d(np.arange(total), list(taken.records))
    most = _LOOKED_AT_MORE * len(taken.records)
    wanted = {name: min(each, count) for name, count in missed.items()}
    for number, record in stored.read(
        shards, taken.manifest, unread[stored.spread(len(unread), most)]
    ):
        if wanted.get(record.modality):
            wanted[record.modality] -= 1
            yield number
        if not any(wanted.values()):
            return


def uri(pixels: np.ndarray, side: int = SIDE, form: str = "png") -> str:
    """A data URI of an image, no side of which is longer than `side` pixels.

    Args:
      pixels: [H, W] or [H, W, 3], uint8.
      side: pixels.
      form: "png", or "webp", which is not exact and a fifth of the size.
    """
    picture, buffer = PIL.Image.fromarray(pixels), io.BytesIO()
    picture.thumbnail((side, side), PIL.Image.Resampling.BOX)
    picture.save(buffer, form, optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f"data:image/{form};base64,{data}"
