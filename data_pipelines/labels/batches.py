"""Labelled examples -> host batches, to train on and to test on."""

import collections
import dataclasses
import sys
from typing import NamedTuple

import grain
import numpy as np

from data_pipelines import ahead, slices
from data_pipelines.labels import drawing, examples, fitting, masks, splits, survey

_SIDE_BY_SIDE = 2  # batches that threads prepare at once
_EPOCHS_KEPT = 4  # whose draws are known
BALANCES = ("none", "classes", "foreground")


class Form(NamedTuple):
    """What an example becomes in a batch.

    Attributes:
      side: S, pixels.
      channels: 1 or 3; 1 makes colour grey, where colour would tell the class.
      keep_aspect: see `fitting.inner`.
      native: a window of the image as it is, at a random place to train on, at the top
        left to test on; else the whole image, resized. Not with boxes.
    """

    side: int
    channels: int
    keep_aspect: bool
    native: bool = False


class Share(NamedTuple):
    """Which rows of a batch one of several processes reads: a block of its own."""

    process: int
    num_processes: int


def train_batches(
    found: survey.Survey,
    rows: np.ndarray,
    *,
    form: Form,
    global_batch: int,
    balance: str,
    seed: int,
    start: int,
    num_workers: int,
    share: Share,
) -> grain.DatasetIterator:
    """An endless iterator of batches; `.close()` it.

    Batch k is the same for every number of workers, every start, and (the shares laid
    one after another) every number of processes.

    Args:
      found: the examples.
      rows: int64 [n], the numbers of those to train on.
      form: what they become.
      global_batch: B, over all processes; may exceed the number of examples.
      balance: "none"; "classes": each as often, an example counting for its rarest;
        "foreground": half of the draws have any.
      seed: of the order.
      start: number of the first batch.
      num_workers: processes that decode; 0 decodes in threads of this one.
      share: the rows that are wanted.

    Returns:
      Of batches {"image": uint8 [B, S, S, C], zero at bottom and right where the
      aspect is kept or the image is smaller; "inner": int32 [B, 2], (height, width) of
      what is image in it; "size": int32 [B, 2], of the original, or of the native
      window; "index": int64 [B]} and, by the kind of
      truth, "label": int32 [B], or float32 [B, K] of 0 and 1; "mask": int32 [B, S, S];
      "boxes": float32 [B, M, 4], (y0, x0, y1, x1) in pixels of the square, and
      "classes": int32 [B, M], both -1 where there is none. Slices of volumes have
      "volume" and "slice", int32 [B].

    Raises:
      ValueError: an argument is out of range, or there is nothing to balance or draw.
    """
    if global_batch < 1 or start < 0 or num_workers < 0:
        raise ValueError(
            f"global_batch {global_batch}, start {start}, num_workers {num_workers}: "
            "must be at least 1, 0 and 0"
        )
    order = drawing.order(_kinds(found, rows, balance), np.asarray(rows), seed)
    source = _Drawn(_maker(found, form), order, seed)
    batches = _cut(grain.MapDataset.range(0, sys.maxsize), source, global_batch, share)
    return ahead.iterate(
        batches[start:], num_workers=num_workers, num_threads=_SIDE_BY_SIDE
    )


def test_batches(
    found: survey.Survey,
    rows: np.ndarray,
    *,
    form: Form,
    global_batch: int,
    num_workers: int,
    share: Share,
) -> grain.DatasetIterator:
    """Every row once, in order, as it is; `.close()` it.

    Batches and arguments are those of `train_batches`; with "is_valid": bool [B] the
    last is filled up with copies of its first row, which do not count. All processes
    get equally many batches.

    Raises:
      ValueError: an argument is out of range, or there is no row.
    """
    if global_batch < 1 or num_workers < 0 or not len(rows):
        raise ValueError(
            f"global_batch {global_batch}, num_workers {num_workers}, {len(rows)} rows:"
            " must be at least 1, 0 and 1"
        )
    source = _InOrder(_maker(found, form), np.asarray(rows), global_batch)
    length = -(-len(rows) // global_batch) * global_batch
    batches = _cut(grain.MapDataset.range(0, length), source, global_batch, share)
    return ahead.iterate(batches, num_workers=num_workers, num_threads=_SIDE_BY_SIDE)


def _cut(numbers, source, global_batch, share) -> grain.MapDataset:
    rows, left = divmod(global_batch, share.num_processes)
    if left:
        raise ValueError(
            f"global_batch {global_batch} does not cut for {share.num_processes} "
            "processes"
        )
    return numbers.map(source).batch(rows)[share.process :: share.num_processes]


def _kinds(found, rows, balance):
    if balance not in BALANCES:
        raise ValueError(f"balance {balance!r}: must be one of {', '.join(BALANCES)}")
    if balance == "none":
        return None
    if balance == "foreground":
        if found.listing.kind != examples.MASKS:
            raise ValueError("balance 'foreground' is for masks; this data has none")
        return [found.has_foreground(int(row)) for row in rows]
    if found.listing.kind == examples.MASKS:
        raise ValueError("balance 'classes' is for classes; masks take 'foreground'")
    rarest = splits.rarest(found)
    return [rarest[int(row)] for row in rows]


class _Maker(NamedTuple):
    """Makes the arrays of an example."""

    found: survey.Survey
    form: Form
    most_boxes: int

    def example(
        self, index: int, place: tuple[float, float] = (0.0, 0.0)
    ) -> dict[str, np.ndarray]:
        """The leaves of a batch without its first axis.

        Args:
          index: of the example.
          place: of a native window among all there could be, in [0, 1), of rows and
            of columns.
        """
        example = self.found.listing.examples[index]
        side, channels, keep, native = self.form
        try:
            pixels = self.found.decoder.picture(example.image).pixels
            if native:
                window = fitting.window(pixels.shape[:2], side, place)
                truth = self._truth(example, pixels.shape[:2], window)
                pixels = pixels[window]
            else:
                truth = self._truth(example, pixels.shape[:2])
        except (slices.SkippedError, ValueError) as error:
            raise ValueError(
                f"{example.image.public()} was readable before and now is not: {error}"
            ) from None
        size = pixels.shape[:2]
        if native:
            image, inner = fitting.padded_image(pixels, side, channels), size
        else:
            image = fitting.image(pixels, side, channels, keep_aspect=keep)
            inner = fitting.inner(size, side, keep_aspect=keep)
        made = {
            "image": image,
            "inner": np.array(inner, np.int32),
            "size": np.array(size, np.int32),
            "index": np.int64(index),
            **truth,
        }
        if example.volume is not None:
            made["volume"] = np.int32(example.volume)
            made["slice"] = np.int32(example.image.index)
        return made

    def _truth(self, example, size, window=None) -> dict[str, np.ndarray]:
        side, _, keep, _ = self.form
        names = self.found.listing.class_names
        if example.mask is not None:
            numbers = stored_mask(self.found, example)
            if window is not None:
                return {"mask": fitting.padded(numbers[window], side)}
            return {"mask": fitting.mask(numbers, side, keep_aspect=keep)}
        if example.boxes is None:
            return {"label": label_of(example.label, names)}
        edges = np.full((self.most_boxes, 4), -1, np.float32)
        classes = np.full(self.most_boxes, -1, np.int32)
        for place, box in enumerate(example.boxes):
            corners = np.array(box[:4])
            edges[place] = fitting.boxes(corners, size, side, keep_aspect=keep)
            classes[place] = names.index(box.name)
        return {"boxes": edges, "classes": classes}


def stored_mask(found: survey.Survey, example: examples.Example) -> np.ndarray:
    """int32 [H, W]: an example's mask at its own size, indices of the classes."""
    return masks.numbered(found.decoder.mask(example.mask), found.meaning)


def label_of(label: str | tuple[str, ...], names: tuple[str, ...]) -> np.ndarray:
    """int32, or float32 [K] of 0 and 1 where an image may have several labels."""
    if isinstance(label, tuple):
        return np.array([name in label for name in names], np.float32)
    return np.int32(names.index(label))


def _maker(found, form) -> _Maker:
    if form.channels not in (1, 3) or form.side < 1:
        raise ValueError(f"side {form.side}, channels {form.channels}: 1 or 3 channels")
    if form.native and found.listing.kind == examples.BOXES:
        raise ValueError("native windows are for masks and classes, not for boxes")
    each = (len(example.boxes or ()) for example in found.listing.examples)
    return _Maker(found, form, max(1, *each, 0))


@dataclasses.dataclass
class _Drawn:
    """Row k of the endless stream of training batches."""

    maker: _Maker
    order: drawing.Order
    seed: int

    def __call__(self, row: int) -> dict[str, np.ndarray]:
        """An example."""
        epoch, place = divmod(row, self.order.length)
        window = np.random.default_rng([self.seed, row]).random(2)
        return self.maker.example(int(self._epoch(epoch)[place]), tuple(window))

    def _epoch(self, number: int) -> np.ndarray:
        """The newest epochs' draws."""
        cache = self.__dict__.setdefault("_cache", collections.OrderedDict())
        drawn = cache.get(number)
        if drawn is None:
            drawn = self.order.epoch(number)
            kept = list(cache.items())[-_EPOCHS_KEPT + 1 :]
            # replaced whole: several threads ask
            self._cache = collections.OrderedDict([*kept, (number, drawn)])
        return drawn


@dataclasses.dataclass
class _InOrder:
    """Row k of the test batches."""

    maker: _Maker
    rows: np.ndarray
    global_batch: int

    def __call__(self, row: int) -> dict[str, np.ndarray]:
        """An example with `is_valid`."""
        is_valid = row < len(self.rows)
        if not is_valid:
            row = row // self.global_batch * self.global_batch
        made = self.maker.example(int(self.rows[row]))
        return {**made, "is_valid": np.bool_(is_valid)}
