"""Stored records -> the arrays of a batch, decoded side by side into one array."""

import concurrent.futures
import dataclasses
import functools
from collections.abc import Sequence

import grain
import numpy as np

from data_pipelines import balance, records

_BLOCK = 16  # rows that a thread takes at once
CropKey = tuple[int, ...]


@dataclasses.dataclass
class Decoder:
    """Reads and decodes the rows of a batch; can be sent to another process.

    Attributes:
      source: the encoded records.
      size, channels: S and C of a padded image.
      num_threads: that decode side by side: the decoder leaves Python's lock alone.
    """

    source: grain.sources.ArrayRecordDataSource
    size: int
    channels: int
    num_threads: int

    def __call__(
        self, numbers: np.ndarray, crops: Sequence[CropKey | None]
    ) -> dict[str, np.ndarray]:
        """Decodes rows; a damaged record gives its place to the next one.

        Args:
          numbers: int64 [B], of the records.
          crops: of each row the key of the crop that makes a copy differ, or None.

        Returns:
          {"image": uint8 [B, S, S, C], "size": int32 [B, 2], "label": int32 [B], -1
          where there is none, "index": int64 [B], the records that were taken,
          "damaged": int64 [B], those that could not be, or -1}.

        Raises:
          ValueError: not one record can be read.
        """
        count = len(numbers)
        found = {
            "image": np.zeros((count, self.size, self.size, self.channels), np.uint8),
            "size": np.empty((count, 2), np.int32),
            "label": np.full(count, -1, np.int32),
            "index": numbers.copy(),
            "damaged": np.full(count, -1, np.int64),
        }
        blocks = [range(at, min(at + _BLOCK, count)) for at in range(0, count, _BLOCK)]
        fill = functools.partial(self._fill, found, crops)
        if self.num_threads == 1:
            list(map(fill, blocks))
        else:
            list(self._threads.map(fill, blocks))
        return found

    def _fill(self, found, crops, rows: range) -> None:
        for row in rows:
            # one by one: the source's reading of several at once takes thrice as long
            try:
                data = self.source[int(found["index"][row])]
                self._decode(found, row, crops[row], data)
            except Exception:  # whatever a decoder raises: the record is at fault
                self._replace(found, row, crops[row])

    def _decode(self, found, row: int, crop: CropKey | None, data: bytes) -> None:
        record = records.decode(data)
        height, width = record.height, record.width
        found["size"][row] = height, width
        found["label"][row] = -1 if record.label is None else record.label
        place = found["image"][row]
        if crop is None and (height, width, record.channels) == place.shape:
            records.image(record, out=place if record.channels > 1 else place[..., 0])
            return
        pixels = records.image(record).reshape(height, width, -1)
        if crop is not None:
            pixels = balance.cropped(pixels, crop)
        place[:height, :width] = pixels  # grey repeats over channels

    def _replace(self, found, row: int, crop: CropKey | None) -> None:
        first = int(found["index"][row])
        found["damaged"][row] = first
        found["image"][row] = 0
        for step in range(1, len(self.source)):
            number = (first + step) % len(self.source)
            try:
                self._decode(found, row, crop, self.source[number])
            except Exception:  # as above
                continue
            found["index"][row] = number
            return
        raise ValueError("not one record of the shards can be read")

    @functools.cached_property
    def _threads(self) -> concurrent.futures.ThreadPoolExecutor:
        return concurrent.futures.ThreadPoolExecutor(self.num_threads)

    def __getstate__(self):
        """Without the threads."""
        state = self.__dict__.copy()
        state.pop("_threads", None)
        return state
