"""How often an epoch holds each record, and copies that differ from their original."""

import dataclasses
import functools

import numpy as np
import PIL.Image

from data_pipelines import index

_AREA = (0.85, 0.95)  # of a copy's crop, of the image: section 4.1 of the paper


def parse_weights(text: str) -> dict[str, float]:
    """Weights of sources, from "chest=2,brain=0.5".

    Raises:
      ValueError: it is no such list.
    """
    found = {}
    for word in filter(None, text.split(",")):
        name, _, value = word.rpartition("=")
        try:
            found[name] = float(value)
        except ValueError:
            found[name] = -1.0
        if not name or not 0 < found[name] < np.inf:
            raise ValueError(
                f"data.weights={text!r} must be a list like chest=2,brain=0.5, each "
                "above 0"
            )
    return found


@dataclasses.dataclass
class Draws:
    """What each epoch holds: records, some of them several times.

    A record comes `whole` times, and once more in the epochs in which its turn is.
    Within a data set and modality the turns go round.

    Attributes:
      whole: int64 [n].
      place: int64 [n], of a record among those that take turns with it, shuffled.
      num_turns: int64 [n], how many of these come once more in an epoch.
      num_places: int64 [n], how many take turns.
    """

    whole: np.ndarray
    place: np.ndarray
    num_turns: np.ndarray
    num_places: np.ndarray
    _cache: dict[int, tuple[np.ndarray, np.ndarray]] = dataclasses.field(
        default_factory=dict, init=False, repr=False
    )

    @functools.cached_property
    def num_draws(self) -> int:
        """E, the draws of an epoch: the same number in each."""
        # each of those that take turns is one of num_places
        return round(self.whole.sum() + (self.num_turns / self.num_places).sum())

    def epoch(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """The draws of an epoch.

        Args:
          number: of the epoch.

        Returns:
          int64 [E] record numbers, in rising order, and int64 [E] 0 for the first time
          that a record comes in it, 1 for its first copy, and so on.
        """
        known = self._cache  # never changed, only replaced: several threads ask
        found = known.get(number)
        if found is None:
            turn = (self.place - number * self.num_turns) % self.num_places
            times = self.whole + (turn < self.num_turns)
            record = np.repeat(np.arange(len(times)), times)
            first = np.repeat(np.cumsum(times) - times, times)
            found = record, np.arange(len(record)) - first
            near = {each: known[each] for each in known if abs(each - number) <= 1}
            self._cache = {**near, number: found}
        return found


def draws(
    rows: index.Index,
    *,
    balance: float,
    weights: dict[str, float],
    most_repeats: int,
    seed: int,
) -> Draws:
    """How often each record comes in an epoch.

    With balance b, a modality of n records is drawn in proportion to n^(1 - b): 0 takes
    the data as they are, 1 gives all modalities the same share. Nothing is left out by
    it: the largest keeps its records once, the others repeat theirs. A weight
    multiplies how often the records of a source come, and may be below 1.

    Args:
      rows: the records.
      balance: b, in [0, 1].
      weights: of sources by name; those not named weigh 1.
      most_repeats: how often a record may come in an epoch.
      seed: of the order in which records take turns.

    Raises:
      ValueError: a source is not there.
    """
    unknown = set(weights) - set(rows.source.tolist())
    if unknown:
        known = ", ".join(sorted(set(rows.source.tolist())))
        raise ValueError(f"data.weights: no source {min(unknown)!r}; there are {known}")
    _, modality, counts = np.unique(
        rows.modality, return_inverse=True, return_counts=True
    )
    repeats = (counts.max() / counts[modality]) ** balance
    repeats *= np.array([weights.get(source, 1.0) for source in rows.source])
    repeats = np.minimum(repeats, most_repeats)
    whole = np.floor(repeats).astype(np.int64)
    both = np.stack([np.char.encode(rows.source), np.char.encode(rows.modality)], 1)
    _, stratum, sizes = np.unique(both, axis=0, return_inverse=True, return_counts=True)
    stratum = stratum.reshape(-1)
    order = np.lexsort((np.random.default_rng(seed).random(len(stratum)), stratum))
    place = np.empty(len(stratum), np.int64)
    place[order] = np.arange(len(stratum)) - (np.cumsum(sizes) - sizes)[stratum[order]]
    num_turns = np.rint((repeats - whole) * sizes[stratum]).astype(np.int64)
    num_turns = np.maximum(num_turns, whole == 0)  # a small weight is not none
    return Draws(whole, place, num_turns, sizes[stratum])


def cropped(pixels: np.ndarray, key: tuple[int, ...]) -> np.ndarray:
    """A copy's own crop, at the size of the original.

    Args:
      pixels: uint8 [H, W] or [H, W, C] with one or three channels.
      key: decides the crop.
    """
    rng = np.random.default_rng(key)
    height, width = pixels.shape[:2]
    side = np.sqrt(rng.uniform(*_AREA))
    top, left = rng.uniform(0, 1 - side, 2) * (height, width)
    box = (left, top, left + side * width, top + side * height)
    image = PIL.Image.fromarray(
        pixels.squeeze(-1) if pixels.shape[2:] == (1,) else pixels
    )
    image = image.resize((width, height), PIL.Image.Resampling.BILINEAR, box=box)
    return np.asarray(image).reshape(pixels.shape)
