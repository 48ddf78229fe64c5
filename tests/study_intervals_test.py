"""Intervals of a few seeds, against SciPy's tests and by simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from lvmmed_jax.study import intervals

OURS = {0: 0.83, 1: 0.81, 2: 0.86, 5: 0.7}
THEIRS = {0: 0.80, 1: 0.80, 2: 0.81, 9: 0.1}


def test_paired_is_scipys_test_of_the_seeds_that_both_have():
    found = intervals.paired(OURS, THEIRS)
    ours, theirs = ([each[seed] for seed in (0, 1, 2)] for each in (OURS, THEIRS))
    expected = stats.ttest_rel(ours, theirs)
    interval = expected.confidence_interval(0.95)
    assert found.count == 3 and found.value == pytest.approx(0.03)
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    turned = intervals.paired(THEIRS, OURS)
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low))


def test_one_seed_and_no_seed_tell_nothing():
    found = intervals.paired({0: 0.5}, {0: 0.4})
    assert (found.low, found.high) == (-math.inf, math.inf) and math.isnan(found.p)
    assert not intervals.is_clear(found, None)
    assert intervals.paired({0: 0.5}, {1: 0.4}) is None
    assert math.isnan(intervals.spread([0.5]).sd)


def test_reach_is_that_of_the_docstring():
    found = [round(intervals.reach(count), 2) for count in (2, 3, 5)]
    assert found == [8.98, 2.48, 1.24]


def test_intervals_hold_the_truth_as_often_as_they_say():
    """Seeds that differ by 0.2 in the mean, 4,000 times three of them."""
    generator = np.random.default_rng(0)
    held = 0
    for _ in range(4000):
        both = generator.normal(0, 1, 3)  # what a seed does to both
        ours, theirs = both + generator.normal([[0.2], [0.0]], 0.5, (2, 3))
        found = intervals.paired(dict(enumerate(ours)), dict(enumerate(theirs)))
        held += found.low <= 0.2 <= found.high
    assert 0.94 < held / 4000 < 0.96


def test_images_are_drawn_for_both_variants_and_all_seeds_together():
    """Images of which half are hard for all: their spread is in both, and cancels."""
    hard = np.arange(1000) % 2
    ours = dict.fromkeys((0, 1), 0.5 + 0.4 * hard)
    theirs = dict.fromkeys((0, 1), 0.4 + 0.4 * hard)
    found = intervals.over_images(ours, theirs, {})
    assert found == pytest.approx((0.1, 0.1, 0.1))
    one = intervals.over_images({0: hard}, {0: 1 - hard}, {0: None})
    assert one.low == pytest.approx(-2 / np.sqrt(1000), abs=0.01)
    assert intervals.over_images({0: hard}, {1: hard}, {}) is None
    assert intervals.over_images({0: hard}, {0: hard[:10]}, {}) is None


def test_images_of_one_volume_are_one_witness():
    ours = {0: np.repeat(np.arange(40) % 2, 25)}
    theirs, groups = {0: np.full(1000, 0.5)}, np.repeat(np.arange(40), 25)
    alone = intervals.over_images(ours, theirs, {0: None})
    whole = intervals.over_images(ours, theirs, {0: groups})
    assert alone.high == pytest.approx(1 / np.sqrt(1000), abs=0.005)
    assert whole.high == pytest.approx(1 / np.sqrt(40), abs=0.03)


def test_clear_needs_every_interval_on_one_side():
    above, below = ((1, *pair) for pair in ((0.1, 2), (-2, -0.1)))
    paired = {
        name: intervals.Paired(*three, 0.01, 3)
        for name, three in {"above": above, "below": below}.items()
    }
    image = {
        name: intervals.probes.Interval(*three)
        for name, three in {"above": above, "below": below, "both": (0, -1, 1)}.items()
    }
    assert intervals.is_clear(paired["above"], image["above"])
    assert intervals.is_clear(paired["below"], image["below"])
    assert intervals.is_clear(paired["above"], None)
    assert not intervals.is_clear(paired["above"], image["below"])
    assert not intervals.is_clear(paired["above"], image["both"])
