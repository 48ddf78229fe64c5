"""The endless stream of batches, as Grain maps and reads it."""

import dataclasses
from collections.abc import Callable

import grain
import numpy as np

from data_pipelines import dealing, decoding


@dataclasses.dataclass
class Batches:
    """Batch k of the endless stream, as far as a process has a share in it.

    Attributes:
      decoder: of the records.
      order: of the draws.
      rows: int64 [b], those of the share.
    """

    decoder: decoding.Decoder
    order: dealing.Order
    rows: np.ndarray

    def __call__(self, number: int) -> dict[str, np.ndarray]:
        """image [b, S, S, C], size [b, 2], label, index, group, damaged [b]."""
        drawn = dealing.Rows(*(x[self.rows] for x in self.order.batch(number)))
        crops = [
            (self.order.seed, epoch, record, copy) if copy else None
            for epoch, record, copy in zip(*(x.tolist() for x in drawn), strict=True)
        ]
        found = self.decoder(drawn.record, crops)
        return {**found, "group": self.order.groups[found["index"]]}


class Stream:
    """An endless iterator of batches, which tells of damaged records, once of each.

    Attributes:
      num_damaged: records so far that could not be read; others took their places.
    """

    def __init__(self, batches: grain.DatasetIterator, told: Callable[[int], None]):
        """Wraps Grain's iterator."""
        self._batches, self._told = batches, told
        self._damaged: set[int] = set()

    @property
    def num_damaged(self) -> int:
        """See the class."""
        return len(self._damaged)

    def __iter__(self) -> "Stream":
        """Itself."""
        return self

    def __next__(self) -> dict[str, np.ndarray]:
        """The next batch."""
        batch = next(self._batches)
        damaged = batch.pop("damaged")
        for number in sorted({*damaged[damaged >= 0].tolist()} - self._damaged):
            self._damaged.add(number)
            self._told(number)
        return batch

    def close(self) -> None:
        """Ends the threads and processes that read ahead."""
        self._batches.close()
