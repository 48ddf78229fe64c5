"""The record: its map, its bounds, what it refuses."""

import msgpack
import numpy as np
import pytest

from data_pipelines import records, slices

KEYS = """
image height width channels bits modality organ spacing group slice source
intensity_rule label mask boxes
"""


def make(pixels, size=64, spacing=(1.0, 2.0)):
    piece = slices.Slice(pixels, "MR", "BRAIN", spacing, "who", 3, "8bit")
    return records.from_slice(
        piece, records.bounded(pixels, size), group="0" * 32, source="test"
    )


@pytest.fixture
def grey():
    return np.random.default_rng(0).integers(0, 256, (40, 60), np.uint8)


def test_map_has_the_keys_of_the_contract(grey):
    fields = msgpack.unpackb(records.encode(make(grey)))
    assert list(fields) == KEYS.split()
    assert fields["spacing"] == [1.0, 2.0] and fields["slice"] == 3
    assert fields["bits"] == 8 and fields["channels"] == 1
    assert fields["label"] is fields["mask"] is fields["boxes"] is None


@pytest.mark.parametrize("shape", [(40, 60), (40, 60, 3)])
def test_image_survives_encoding(shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    record = records.decode(records.encode(make(pixels)))
    np.testing.assert_array_equal(records.image(record), pixels)
    assert (record.height, record.width) == shape[:2]
    assert record.channels == (3 if len(shape) == 3 else 1)


def test_larger_images_are_averaged_and_their_spacing_grows(grey):
    record = make(grey, size=30)
    assert (record.height, record.width) == (20, 30)
    assert record.spacing == [2.0, 4.0]
    blocks = grey.reshape(20, 2, 30, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(
        records.image(record), blocks, atol=1
    )  # two passes, each rounded


def test_smaller_images_are_never_enlarged(grey):
    assert records.bounded(grey, 1000) is grey


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("image", b"no png"),
        ("height", 0),
        ("channels", 2),
        ("modality", "DOE"),
        ("organ", "JOHN"),
        ("spacing", [1.0]),
        ("group", "patient 7"),
        ("source", ""),
    ],
)
def test_wrong_field_is_named(grey, field, value):
    with pytest.raises(ValueError, match=f"its {field} is"):
        records.encode(make(grey)._replace(**{field: value}))


@pytest.mark.parametrize("data", [b"", b"\x01", msgpack.packb({"image": b"x"})])
def test_other_bytes_are_no_record(data):
    with pytest.raises(ValueError, match="not a record"):
        records.decode(data)
