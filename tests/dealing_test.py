"""Who meets whom in a graph."""

import numpy as np
import pytest

from data_pipelines import balance, dealing


def test_a_batch_without_equals_stays_as_it_is():
    assert dealing.apart(np.arange(32), 16).tolist() == list(range(32))


@pytest.mark.parametrize("seed", range(5))
def test_equals_meet_in_no_graph_where_that_is_possible(seed):
    groups = np.random.default_rng(seed).permutation(np.arange(64) // 4)
    order = dealing.apart(groups, 16)  # four graphs, groups of four
    assert sorted(order) == list(range(64))
    assert dealing.ambiguous(groups, 16).any()
    assert not dealing.ambiguous(groups[order], 16).any()


def test_a_group_that_is_too_large_is_spread_evenly():
    groups = np.where(np.arange(64) < 24, 0, np.arange(64))
    found = groups[dealing.apart(groups, 16)].reshape(4, 16)
    assert (found == 0).sum(axis=1).tolist() == [6, 6, 6, 6]
    assert dealing.ambiguous(found.reshape(-1), 16).all()


def order(seed):
    ones, zeros = np.ones(10, int), np.zeros(10, int)
    draws = balance.Draws(ones, zeros, zeros, ones)
    return dealing.Order(draws, np.arange(10), 5, None, seed)


def test_order_counts_on_through_epochs_and_is_the_same_for_equal_seeds():
    def rows(number, seed=3):
        return list(zip(*order(seed).batch(number), strict=True))

    batches = [rows(number) for number in range(4)]
    for epoch in range(2):
        both = batches[2 * epoch] + batches[2 * epoch + 1]
        assert sorted(both) == [(epoch, record, 0) for record in range(10)]
    assert rows(3) == batches[3] != rows(3, seed=4)


def test_the_order_is_the_same_on_every_machine():
    """Philox's raw stream is fixed; a batch that ends in the next epoch has both."""
    assert order(3).batch(0).record.tolist() == [6, 1, 8, 5, 2]
    whole = dealing.Order(order(3).draws, np.arange(10), 7, None, 3).batch(1)
    assert whole.epoch.tolist() == [0] * 3 + [1] * 4
    several = np.concatenate([order(3).batch(number).record for number in range(3)])
    assert whole.record.tolist() == several[7:14].tolist()
