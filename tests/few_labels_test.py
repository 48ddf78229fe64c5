"""Few labels: what is drawn, and how sure a mean over seeds is."""

import itertools

import numpy as np
import pytest

from data_pipelines import labelled
from lvmmed_jax import few_labels, probes

NUM = 60


def _data():
    """Three classes; every training image has an equal one, which shares its key."""
    labels = np.arange(NUM) % 3
    keys = [f"{row // 6} {row % 3}".encode() for row in range(NUM)]
    return labelled.Labelled(
        images=[np.zeros((4, 4), np.uint8)] * NUM,
        labels=labels,
        class_names=("a", "b", "c"),
        masks=None,
        mask_names=(),
        is_test=np.arange(NUM) >= 48,
        keys=keys,
    )


def _asked(budget, seeds):
    """The training rows that a probe is given, seed by seed."""
    rows = []

    def probe(train, labels, test):
        rows.append(train[:, 0].astype(int))
        assert (labels == train[:, 0] % 3).all()
        return np.zeros(len(test), int)

    features = np.arange(NUM, dtype=float)[:, None]
    drawn = few_labels.accuracy(features, _data(), probe, budget, seeds)
    return rows, drawn


def test_equal_images_are_drawn_together_from_every_class():
    (one, other), drawn = _asked(few_labels.Budget(None, 2), (0, 1))
    for rows in (one, other):
        assert len(rows) == 2 * 2 * 3 and (rows < 48).all()
        keys = [_data().keys[row] for row in rows]
        assert len(set(keys)) == 6
        assert np.bincount(rows % 3).tolist() == [4, 4, 4]
    assert set(one) != set(other)
    assert drawn.num_train == 12
    assert drawn.correct.shape == (2, 12)
    assert drawn.correct.mean() == pytest.approx(1 / 3)


def test_larger_budgets_hold_smaller_ones():
    budgets = few_labels.parse("1,25%,50%,100%")
    sets = [set(_asked(budget, (3,))[0][0]) for budget in budgets]
    assert [len(rows) for rows in sets] == [6, 12, 24, 48]
    assert all(one < other for one, other in itertools.pairwise(sets))


def test_budgets_are_shares_and_counts():
    found = few_labels.parse("1%,12.5%, 10")
    assert [str(budget) for budget in found] == ["1 %", "12.5 %", "10 a class"]
    assert few_labels.parse("") == ()


@pytest.mark.parametrize("text", ["0", "-1", "x", "0%", "101%", "nan%", "1.5"])
def test_other_budgets_are_refused(text):
    with pytest.raises(ValueError, match="neither a share such as 5% nor a number"):
        few_labels.parse(text)


def test_seeds_that_differ_widen_the_interval():
    rng = np.random.default_rng(0)
    same = np.repeat(rng.random((1, 200)) < 0.7, 6, axis=0).astype(float)
    spread = rng.random((6, 200)) < np.linspace(0.4, 1.0, 6)[:, None]
    alone = probes.bootstrap(same[0], seed=0)
    equal = probes.bootstrap_seeds(same, seed=0)
    wide = probes.bootstrap_seeds(spread.astype(float), seed=0)
    assert equal.value == pytest.approx(alone.value)
    width, expected = equal.high - equal.low, alone.high - alone.low
    assert width == pytest.approx(expected, rel=0.15)
    # the means of the seeds have a standard deviation of 0.2
    assert wide.high - wide.low == pytest.approx(3.92 * 0.2 / 6**0.5, rel=0.3)
    assert wide.low < spread.mean() < wide.high
