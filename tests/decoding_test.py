"""Encoded records become the arrays of a batch; damaged ones cost their place only."""

import pickle

import numpy as np
import pytest

from data_pipelines import decoding, records

RNG = np.random.default_rng(0)
PICTURES = [
    RNG.integers(1, 256, shape, np.uint8)
    for shape in [(20, 24), (24, 9), (24, 24), (24, 24, 3), (5, 6, 3)]
]


def encoded(pixels, label=None):
    record = records.Record(
        image=records.png(pixels),
        height=pixels.shape[0],
        width=pixels.shape[1],
        channels=1 if pixels.ndim == 2 else 3,
        bits=8,
        modality="GM",
        organ=None,
        spacing=None,
        group="0" * 32,
        slice=None,
        source="test",
        intensity_rule="8bit",
        label=label,
    )
    return records.encode(record)


class Source(list):
    """Records in memory; None stands for one that a shard refuses to give."""

    def __getitem__(self, number):
        found = super().__getitem__(number)
        if found is None:
            raise RuntimeError("data hash mismatch")
        return found


@pytest.mark.parametrize("num_threads", [1, 3])
def test_rows_are_padded_and_grey_repeats(num_threads):
    decoder = decoding.Decoder(Source(map(encoded, PICTURES)), 24, 3, num_threads)
    numbers = np.arange(60) % 5
    found = pickle.loads(pickle.dumps(decoder))(numbers, [None] * 60)
    again = decoder(numbers, [None] * 60)
    assert (found["damaged"] == -1).all() and (found["index"] == numbers).all()
    for row, number in enumerate(numbers):
        pixels = PICTURES[number]
        height, width = pixels.shape[:2]
        assert found["size"][row].tolist() == [height, width]
        expected = np.zeros((24, 24, 3), np.uint8)
        expected[:height, :width] = pixels.reshape(height, width, -1)
        np.testing.assert_array_equal(found["image"][row], expected)
        np.testing.assert_array_equal(again["image"][row], expected)


@pytest.mark.parametrize("broken", [None, b"no record", encoded(PICTURES[0])[:-9]])
def test_the_next_record_takes_the_place_of_a_damaged_one(broken):
    source = Source(map(encoded, PICTURES))
    source[1], source[4] = broken, broken
    found = decoding.Decoder(source, 24, 3, 1)(np.arange(5), [None] * 5)
    assert found["index"].tolist() == [0, 2, 2, 3, 0]
    assert found["damaged"].tolist() == [-1, 1, -1, -1, 4]
    np.testing.assert_array_equal(found["image"][1], found["image"][2])


def test_nothing_to_read_is_an_error():
    source = Source([None, b"no record", None])
    with pytest.raises(ValueError, match="not one record"):
        decoding.Decoder(source, 24, 3, 1)(np.arange(3), [None] * 3)


def test_labels_come_along_and_are_minus_one_where_there_are_none():
    source = Source([encoded(PICTURES[0], 3), None, encoded(PICTURES[1])])
    found = decoding.Decoder(source, 24, 1, 1)(np.array([0, 1, 2, 0]), [None] * 4)
    assert found["label"].tolist() == [3, -1, -1, 3]
    assert found["label"].dtype == np.int32
