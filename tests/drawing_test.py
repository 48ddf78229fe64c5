"""The order of training draws: exact shuffles, buckets equally often."""

import collections

import numpy as np
import pytest

from data_pipelines.labels import drawing


def test_unbalanced_epochs_hold_each_example_once():
    order = drawing.order(None, np.array([3, 5, 7, 9]), seed=0)
    epochs = [order.epoch(number).tolist() for number in range(6)]
    assert all(sorted(epoch) == [3, 5, 7, 9] for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1
    assert epochs[4] == drawing.order(None, np.array([3, 5, 7, 9]), 0).epoch(4).tolist()
    assert epochs != [
        drawing.order(None, np.array([3, 5, 7, 9]), 1).epoch(k).tolist()
        for k in range(6)
    ]


def test_balanced_epochs_hold_each_kind_equally_often():
    kinds = ["a"] * 7 + ["b"] * 2
    order = drawing.order(kinds, np.arange(9), seed=0)
    assert order.length == 10
    total = collections.Counter()
    for number in range(14):
        epoch = order.epoch(number)
        assert (epoch < 7).sum() == 5
        total.update(epoch.tolist())
    # 14 * 5 draws of each kind: no example is left out or drawn more than its share
    assert [total[place] for place in range(9)] == [10] * 7 + [35] * 2


def test_nothing_to_draw_is_refused():
    with pytest.raises(ValueError, match="no example to train on"):
        drawing.order(None, np.arange(0), seed=0)
