"""Bootstrap intervals of any metric, over groups of test images and over seeds."""

from collections.abc import Callable, Sequence

import numpy as np

from lvmmed_jax import probes

_NUM_DRAWS = 1000

Metric = Callable[[np.ndarray], float]


def bootstrap(
    metrics: Sequence[Metric],
    groups: np.ndarray,
    *,
    seed: int,
    baseline: Sequence[Metric] = (),
) -> probes.Interval:
    """The mean of a metric over runs of several seeds, with its 95 % interval.

    Images of one patient, volume or near copy are no independent witnesses: whole
    groups are drawn, and the runs with them. With a baseline it is the difference
    (metrics minus baseline), both on the same draw of groups: paired.

    Args:
      metrics: of each run: rows of test images -> a number; nan where undefined.
      groups: [n] of the test images.
      seed: of the draws.
      baseline: of each run of what is compared with.

    Returns:
      Value and bounds, nan where undefined; draws that are undefined are left out.
    """
    generator = np.random.default_rng(seed)
    _, numbers = np.unique(groups, return_inverse=True)
    order = np.argsort(numbers, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(numbers))[:-1])

    def value(rows, draw):
        found = _mean(metrics, rows, draw)
        return found - _mean(baseline, rows, draw) if baseline else found

    draws = []
    for _ in range(_NUM_DRAWS):
        chosen = generator.integers(0, len(members), len(members))
        rows = np.concatenate([members[place] for place in chosen])
        draws.append(value(rows, generator))
    defined = np.array(draws)[~np.isnan(draws)]
    whole = value(np.arange(len(groups)), None)
    if not len(defined) or np.isnan(whole):
        return probes.Interval(whole, np.nan, np.nan)
    low, high = np.percentile(defined, (2.5, 97.5))
    return probes.Interval(float(whole), float(low), float(high))


def _mean(metrics, rows, generator) -> float:
    """Over the runs, or over as many that a generator draws of them."""
    count = len(metrics)
    if generator is None or count == 1:
        return float(np.mean([each(rows) for each in metrics]))
    chosen, times = np.unique(generator.integers(0, count, count), return_counts=True)
    values = [metrics[place](rows) for place in chosen]
    return float(np.dot(values, times) / count)
