"""What becomes of each file: records, or a reason that names nobody."""

import warnings

import numpy as np
import PIL.Image
import pytest

from data_pipelines import reading, records, slices, sources

SALT = bytes(32)
GREY = np.random.default_rng(0).integers(0, 256, (40, 40), np.uint8)


def piece(pixels, identity="patient Doe"):
    return slices.Slice(pixels, "MR", None, None, identity, None, "8bit")


def outcomes(tmp_path, *reads, size=64):
    path = tmp_path / "content"
    path.write_bytes(b"abc")
    inputs = [sources.Input(path, "test", read) for read in reads]
    return list(reading.read_all(inputs, size=size, salt_key=SALT))


def fail(error):
    def read():
        yield piece(GREY)
        raise error

    return read


def test_file_is_named_by_number_and_content(tmp_path):
    found = outcomes(tmp_path, lambda: [piece(GREY)], lambda: [])
    assert [each.file for each in found] == ["#0001 ba7816bf8f01", "#0002 ba7816bf8f01"]
    assert reading.public_name(12345, tmp_path / "no").startswith("#12345 -")


def test_group_is_a_keyed_hash(tmp_path):
    (found,) = outcomes(tmp_path, lambda: [piece(GREY), piece(GREY.T)])
    first, second = map(records.decode, found.records)
    assert first.group == second.group and len(first.group) == 32
    assert b"Doe" not in found.records[0]


def test_equal_pixels_count_once(tmp_path):
    colour = np.stack([GREY, GREY, GREY], axis=-1)
    found = outcomes(
        tmp_path,
        lambda: [piece(GREY)],
        lambda: [piece(GREY.copy(), "another")],
        lambda: [piece(colour)],
    )
    assert [len(each.records) for each in found] == [1, 0, 1]
    assert found[1].dropped == {"same pixels as #0001": 1}
    assert found[2].colour and not found[0].colour


def test_flaws_are_counted_by_reason(tmp_path):
    flat = np.zeros((40, 40), np.uint8)
    (found,) = outcomes(
        tmp_path, lambda: [piece(flat), piece(GREY), piece(flat), piece(GREY[:31])]
    )
    assert len(found.records) == 1
    assert found.dropped == {"constant image": 2, "short side under 32 pixels": 1}


@pytest.mark.parametrize(
    "error", [RuntimeError("Doe^John"), MemoryError(), KeyError("Doe"), OSError("Doe")]
)
def test_broken_file_ends_nothing_and_its_message_is_not_told(tmp_path, error):
    found = outcomes(tmp_path, fail(error), lambda: [piece(GREY.T)])
    assert [len(each.records) for each in found] == [1, 1]
    (reason,) = found[0].dropped
    assert type(error).__name__ in reason and "Doe" not in reason


def test_ctrl_c_ends_the_run(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        outcomes(tmp_path, fail(KeyboardInterrupt()))


def test_warnings_of_readers_are_not_shown(tmp_path, capfd):
    def read():
        warnings.warn("Doe^John is no valid value", stacklevel=1)
        yield piece(GREY)

    assert outcomes(tmp_path, read)[0].records
    assert capfd.readouterr().err == ""


def test_stored_images_are_bounded(tmp_path):
    large = np.array(PIL.Image.fromarray(GREY).resize((200, 100)))
    (found,) = outcomes(tmp_path, lambda: [piece(large)], size=50)
    record = records.decode(found.records[0])
    assert (record.height, record.width) == (25, 50)
