"""Records of a folder of shards, without their pixels, and their grey levels."""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import PIL.Image

from data_pipelines import records
from lvmmed_jax.inspection import stored

_NUM_LEVELS = 256


class Survey(NamedTuple):
    """What was read.

    Attributes:
      manifest: that of the folder.
      records: number -> record, whose image and mask are empty.
      levels: modality -> float64 [256], the share of pixels at each grey level, as the
        mean over the images of the modality; the most frequent modality first.
    """

    manifest: Mapping[str, Any]
    records: Mapping[int, records.Record]
    levels: Mapping[str, np.ndarray]


def take(
    shards: pathlib.Path,
    manifest: Mapping[str, Any],
    *,
    most: int,
    done: Callable[[int], None],
) -> Survey:
    """Reads all records where there are at most `most`, else so many, evenly spread.

    Args:
      shards: the folder.
      manifest: that of the folder.
      most: records to read.
      done: called with the number of records read by now.

    Raises:
      ValueError: a shard or an image is damaged.
    """
    kept, sums, counts = {}, {}, {}
    numbers = stored.spread(manifest["records"], most)
    for number, record in stored.read(shards, manifest, numbers):
        kept[number] = _without_pixels(record)
        shares = _shares(stored.image(number, record))
        sums[record.modality] = sums.get(record.modality, 0) + shares
        counts[record.modality] = counts.get(record.modality, 0) + 1
        done(len(kept))
    often = sorted(counts, key=lambda name: (-counts[name], name))
    return Survey(manifest, kept, {name: sums[name] / counts[name] for name in often})


def _without_pixels(record: records.Record) -> records.Record:
    mask = None if record.mask is None else b""
    return record._replace(image=b"", mask=mask)


def _shares(pixels: np.ndarray) -> np.ndarray:
    """The share of pixels at each level, [256]; of RGB, the levels of its luminance."""
    if pixels.ndim == 3:
        pixels = np.asarray(PIL.Image.fromarray(pixels).convert("L"))
    return np.bincount(pixels.ravel(), minlength=_NUM_LEVELS) / pixels.size
