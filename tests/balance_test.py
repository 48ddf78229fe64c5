"""How often records come, and how their copies differ."""

import concurrent.futures

import numpy as np
import pytest

from data_pipelines import balance, index


def rows(**counts):
    """An index with so many records of each modality; the source is its lower case."""
    modality = np.repeat(list(counts), list(counts.values()))
    empty = {name: np.zeros(0) for name in index.Index._fields}
    source = np.char.lower(modality)
    return index.Index(**empty | {"modality": modality, "source": source})


def draws(found, share=0.0, weights=None, most_repeats=1000, epoch=0):
    several = balance.draws(
        found,
        balance=share,
        weights=weights or {},
        most_repeats=most_repeats,
        seed=0,
    )
    number, copy = several.epoch(epoch)
    assert len(number) == several.num_draws
    return number, copy


def test_without_balance_every_record_comes_once():
    number, copy = draws(rows(MR=7, US=2))
    assert number.tolist() == list(range(9)) and not copy.any()


def test_full_balance_gives_modalities_one_share_and_loses_nothing():
    number, copy = draws(rows(MR=100, US=7, CT=30), 1.0)
    counts = np.bincount(number, minlength=137)
    assert counts[:100].tolist() == [1] * 100
    assert counts[100:107].sum() == pytest.approx(100, abs=1)
    assert set(counts[100:107]) == {14, 15}  # as even as can be
    assert counts[107:].sum() == pytest.approx(100, abs=1)
    assert copy[number == 100].tolist() == list(range(counts[100]))


def test_half_balance_lies_between():
    number, _ = draws(rows(MR=100, US=4), 0.5)
    assert (number >= 100).sum() == 4 * 5  # (100 / 4) ** 0.5


def test_repeats_have_a_bound():
    number, _ = draws(rows(MR=100, US=2), 1.0, most_repeats=3)
    assert (number >= 100).sum() == 6


def test_weights_multiply_and_records_take_turns():
    found = rows(MR=100, US=10)
    counts = np.zeros(110, int)
    for epoch in range(4):
        number, _ = draws(found, weights={"mr": 0.25, "us": 2.0}, epoch=epoch)
        assert (number < 100).sum() == 25 and (number >= 100).sum() == 20
        counts += np.bincount(number, minlength=110)
    assert counts.tolist() == [1] * 100 + [8] * 10


def test_a_small_weight_leaves_one_record_an_epoch():
    number, _ = draws(rows(MR=3, US=2), weights={"mr": 0.01, "us": 0.01})
    assert len(number) == 2 and (number < 3).sum() == 1


def test_several_threads_ask_for_epochs():
    several = balance.draws(
        rows(MR=200, US=50), balance=0.5, weights={}, most_repeats=9, seed=0
    )
    alone = [several.epoch(number)[0] for number in range(40)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda number: several.epoch(number)[0], range(40)))
    for one, other in zip(alone, found, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(several._cache) <= 3


@pytest.mark.parametrize(
    "text", ["chest", "chest=", "chest=0", "=2", "a=1,b=x", "a=inf"]
)
def test_wrong_weights_are_refused(text):
    with pytest.raises(ValueError, match=r"data\.weights"):
        balance.parse_weights(text)


def test_weights_are_read():
    assert balance.parse_weights("") == {}
    assert balance.parse_weights("a=2,b:c=0.5") == {"a": 2.0, "b:c": 0.5}


@pytest.mark.parametrize("channels", [1, 3])
def test_a_copy_is_a_crop_of_85_to_95_per_cent(channels):
    """A ramp along each axis says what share of the axis was kept."""
    height, width = 90, 120
    ramps = np.linspace(0, 240, width), np.linspace(0, 240, height)[:, None]
    for turn, ramp in enumerate(ramps):
        image = np.broadcast_to(ramp, (height, width)).astype(np.uint8)
        image = np.stack([image] * channels, axis=-1)
        shares = []
        for seed in range(50):
            found = balance.cropped(image, (seed, 1, 2))
            assert found.shape == image.shape and found.dtype == np.uint8
            shares.append((np.ptp(found.astype(int)) / 240) ** 2)
        assert min(shares) > 0.82 and max(shares) < 0.97, turn
        assert max(shares) - min(shares) > 0.05
