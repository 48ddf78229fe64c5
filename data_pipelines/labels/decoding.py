"""The pixels and the mask of one labelled example."""

import pathlib
import zipfile
from typing import NamedTuple

import numpy as np

from data_pipelines import slices
from data_pipelines.labels import examples, masks, pairing, volumes
from data_pipelines.readers import formats

CANNOT = "cannot be read"


class Decoder(NamedTuple):
    """How examples are read.

    Attributes:
      context: modality, and the plane that volumes are cut along.
      cache: see `volumes.image_slices`.
    """

    context: slices.Context
    cache: pathlib.Path | None

    def picture(self, place: examples.Place) -> slices.Slice:
        """uint8 [H, W] or [H, W, 3]; grey where channels are equal, so that the way in
        which a class happened to be saved tells nothing. Of several pages the first.

        Raises:
          slices.SkippedError: it cannot be read; the message says why.
        """
        try:
            if place.array:
                return self._plain(slices.grey_where_equal(self._row(place)))
            if pairing.is_volume(place.path):
                found = volumes.image_slices(place.path, self.context, self.cache)
                return self._plain(np.asarray(found[place.index]))
            read = formats.READERS[formats.of(place.path)]
            found = read(place.path, self.context)
            return next(piece for piece in found if isinstance(piece, slices.Slice))
        except Exception as error:
            raise _told(error) from None

    def mask(self, place: examples.Place) -> masks.Stored:
        """The mask as it was stored.

        Raises:
          slices.SkippedError: it cannot be read; the message says why.
        """
        try:
            if pairing.is_volume(place.path):
                plane = self.context.planes[0]
                found = volumes.label_slices(place.path, plane, self.cache)
                return masks.Stored(np.asarray(found[place.index]), False)
            return masks.read(place.path)
        except Exception as error:
            raise _told(error) from None

    def _row(self, place) -> np.ndarray:
        def make():
            with np.load(place.path, allow_pickle=False) as file:
                return file[place.array]

        found = volumes.stored(place.path, place.array, make, self.cache)
        return np.asarray(found[place.index])

    def _plain(self, pixels) -> slices.Slice:
        modality = slices.modality_of(self.context.modality, None)
        identity = self.context.identity
        return slices.Slice(pixels, modality, None, None, identity, None, "")


def _told(error: Exception) -> slices.SkippedError:
    if isinstance(error, slices.SkippedError):
        return error
    if isinstance(error, MemoryError):
        return slices.SkippedError(slices.reason_of(error))
    if isinstance(error, zipfile.BadZipFile | StopIteration | KeyError):
        return slices.SkippedError(CANNOT)
    return slices.SkippedError(f"{CANNOT} ({type(error).__name__})")
