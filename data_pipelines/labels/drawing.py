"""The endless order in which labelled examples are trained on, balanced or not."""

import dataclasses
from collections.abc import Hashable, Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Order:
    """Epochs of draws; each draw is a place among the examples.

    With several buckets an epoch holds equally many of each, and is as long as the
    examples are many (rounded up). A bucket goes through all of its examples in an
    exact shuffle before one comes again, over the epochs: none is drawn with
    replacement, and none is left out for good.

    Attributes:
      buckets: the places in each bucket; one bucket: no balance.
      seed: of the shuffles.
    """

    buckets: tuple[np.ndarray, ...]
    seed: int

    @property
    def quota(self) -> int:
        """Draws of each bucket in an epoch."""
        total = sum(len(each) for each in self.buckets)
        return -(-total // len(self.buckets))

    @property
    def length(self) -> int:
        """Draws of an epoch."""
        return self.quota * len(self.buckets)

    def epoch(self, number: int) -> np.ndarray:
        """int64 [length]: the draws of an epoch, in their order."""
        drawn = [self._of_bucket(place, number) for place in range(len(self.buckets))]
        order = np.random.default_rng((self.seed, 0, number)).permutation(self.length)
        return np.concatenate(drawn)[order]

    def _of_bucket(self, place: int, epoch: int) -> np.ndarray:
        own = self.buckets[place]
        start = epoch * self.quota
        first, last = start // len(own), (start + self.quota - 1) // len(own)
        cycles = [
            np.random.default_rng((self.seed, 1 + place, cycle)).permutation(own)
            for cycle in range(first, last + 1)
        ]
        skipped = start - first * len(own)
        return np.concatenate(cycles)[skipped : skipped + self.quota]


def order(kinds: Sequence[Hashable] | None, places: np.ndarray, seed: int) -> Order:
    """The order of some examples.

    Args:
      kinds: what each of them counts as, so that all kinds come equally often; None
        takes the examples as they are.
      places: int64 [n], the examples' numbers.
      seed: of the shuffles.

    Raises:
      ValueError: there is no example.
    """
    if not len(places):
        raise ValueError("no example to train on")
    if kinds is None:
        return Order((np.asarray(places),), seed)
    own = {kind: [] for kind in sorted(set(kinds), key=repr)}
    for kind, place in zip(kinds, places, strict=True):
        own[kind].append(int(place))
    return Order(tuple(np.array(each) for each in own.values()), seed)
