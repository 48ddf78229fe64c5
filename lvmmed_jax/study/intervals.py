"""What a few seeds can tell: spread, paired t intervals, bootstraps over images."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

from lvmmed_jax import probes

LEVEL = 0.95


class Spread(NamedTuple):
    """Mean, standard deviation (nan of one value), lowest and highest of `count`."""

    mean: float
    sd: float
    low: float
    high: float
    count: int


class Paired(NamedTuple):
    """A difference of two variants of the same seeds.

    Attributes:
      value: its mean over the seeds.
      low, high: of its 95 % t interval; infinite of one seed.
      p: two-sided, of the t test that it is 0; nan of one seed, or where all seeds
        have the same difference.
      count: of seeds.
    """

    value: float
    low: float
    high: float
    p: float
    count: int


def spread(values: Sequence[float]) -> Spread:
    """The spread of one value a seed."""
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
    mean = float(np.mean(values))
    return Spread(mean, sd, float(min(values)), float(max(values)), len(values))


def paired(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Paired | None:
    """Ours less theirs over the seeds that both have; None: there are none.

    Student's t with S - 1 degrees of freedom on the S differences, which are taken for
    normal. It is about training again on the same images to train and to test on.

    Args:
      ours: seed -> value.
      theirs: likewise.
    """
    seeds = sorted(ours.keys() & theirs.keys())
    if not seeds:
        return None
    mean, sd, _, _, count = spread([ours[seed] - theirs[seed] for seed in seeds])
    half = reach(count) * sd if count > 1 else math.inf
    p = math.nan
    if count > 1 and sd > 0:
        p = float(2 * special.stdtr(count - 1, -abs(mean) * math.sqrt(count) / sd))
    return Paired(mean, mean - half, mean + half, p, count)


def reach(count: int) -> float:
    """Half a paired t interval of so many seeds, in standard deviations.

    A smaller mean difference cannot be told from 0: 8.98 of two seeds, 2.48 of three,
    1.24 of five.
    """
    quantile = special.stdtrit(count - 1, (1 + LEVEL) / 2)
    return float(quantile / math.sqrt(count))


def over_images(
    ours: Mapping[int, np.ndarray],
    theirs: Mapping[int, np.ndarray],
    groups: Mapping[int, np.ndarray | None],
) -> probes.Interval | None:
    """The same difference, 95 % bootstrap over the test images; None: not stored.

    It is about other test images for the very encoders that were trained: an image
    stays the same for both variants and all seeds. Groups (volumes, near copies) are
    drawn whole.

    Args:
      ours: seed -> [m] values of the test images.
      theirs: likewise.
      groups: seed -> [m], see `probes.bootstrap`; the same of all seeds.
    """
    seeds = sorted(ours.keys() & theirs.keys())
    lengths = {len(side[seed]) for side in (ours, theirs) for seed in seeds}
    if len(lengths) != 1:
        return None
    differences = [ours[seed].astype(float) - theirs[seed] for seed in seeds]
    mean = np.mean(differences, axis=0)
    return probes.bootstrap(mean, seed=0, groups=groups.get(seeds[0]))


def is_clear(by_seed: Paired, by_image: probes.Interval | None) -> bool:
    """Whether every interval that there is leaves out 0, on the same side."""
    intervals = [each for each in (by_seed, by_image) if each is not None]
    return all(each.low > 0 for each in intervals) or all(
        each.high < 0 for each in intervals
    )
