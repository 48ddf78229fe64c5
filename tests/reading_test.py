"""What becomes of each file: records, or a reason that names nobody."""

import os
import pathlib
import warnings

import msgpack
import numpy as np
import PIL.Image
import pytest

from data_pipelines import reading, records, slices, sources

SALT = bytes(32)
GREY = np.random.default_rng(0).integers(0, 256, (40, 40), np.uint8)


def piece(pixels, identity="patient Doe"):
    return slices.Slice(pixels, "MR", None, None, identity, None, "8bit")


def outcomes(tmp_path, *reads, **options):
    """One input a function, each of the same file."""
    path = tmp_path / "content.png"
    path.write_bytes(b"abc")
    options = reading.Options(**{"size": 64, "salt_key": SALT} | options)
    found = []
    for number, read in enumerate(reads, start=1):
        found += reading.read(sources.Input((path,), "test", read, (number,)), options)
    return found


def fail(error):
    def read(_):
        yield piece(GREY)
        raise error

    return read


def test_file_is_named_by_number_and_content(tmp_path):
    found = outcomes(tmp_path, lambda _: [piece(GREY)], lambda _: [])
    assert [each.file for each in found] == ["#0001 ba7816bf8f01", "#0002 ba7816bf8f01"]
    assert reading.public_name(12345, tmp_path / "no").startswith("#12345 -")


def test_group_is_a_keyed_hash(tmp_path):
    (found,) = outcomes(tmp_path, lambda _: [piece(GREY), piece(GREY.T)])
    first, second = (records.decode(each.record) for each in found.pieces)
    assert first.group == second.group and len(first.group) == 32
    assert b"Doe" not in found.pieces[0].record
    assert found.pieces[0].group == first.group


def test_equal_pixels_have_one_digest(tmp_path):
    colour = np.stack([GREY, GREY, GREY], axis=-1)
    found = outcomes(
        tmp_path,
        lambda _: [piece(GREY)],
        lambda _: [piece(GREY.copy(), "another")],
        lambda _: [piece(colour)],
    )
    first, second, third = (each.pieces[0] for each in found)
    assert first.pixels == second.pixels != third.pixels
    assert (first.channels, third.channels) == (1, 3)


def test_identities_are_hashed_and_common_names_left_out(tmp_path):
    item = piece(GREY)._replace(identities=(("study", "1.2.3"),))
    (found,) = outcomes(tmp_path, lambda _: [item])
    kinds = dict(found.pieces[0].identities)
    assert kinds.keys() == {"study", "name"}
    (again,) = outcomes(tmp_path, lambda _: [item], salt_key=bytes(31) + b"1")
    assert kinds["study"] != dict(again.pieces[0].identities)["study"]
    assert reading.base_name(pathlib.Path("IM-0001.dcm")) == ()
    assert reading.base_name(pathlib.Path("a/BraTS_0042.nii.gz")) == (
        ("name", "brats_0042"),
    )


def test_a_name_that_is_no_text_does_not_matter(tmp_path):
    path = pathlib.Path(os.fsdecode(os.fsencode(tmp_path) + b"/doe\xff.png"))
    path.write_bytes(b"abc")
    entry = sources.Input((path,), "test", lambda _: [piece(GREY)], (1,))
    (found,) = reading.read(entry, reading.Options(64, SALT))
    assert found.pieces and found.file == "#0001 ba7816bf8f01"


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert reading.public_name(1, tmp_path / "pipe").startswith("#0001 -")


def test_burnt_in_annotations_are_flagged_and_left_out_on_demand(tmp_path):
    item = piece(GREY)._replace(flags=(slices.BURNED_IN,))
    (found,) = outcomes(tmp_path, lambda _: [item, piece(GREY.T)])
    assert [each.flags for each in found.pieces] == [["burnt-in annotation"], []]
    (found,) = outcomes(tmp_path, lambda _: [item], skip_burned_in=True)
    assert not found.pieces and "burnt in" in next(iter(found.dropped))


def test_a_file_of_a_series_costs_only_itself(tmp_path):
    def read(_):
        yield slices.Skipped(1, "damaged")
        yield piece(GREY)
        yield piece(GREY.T)._replace(file=2)
        raise RuntimeError("Doe")

    paths = tuple(tmp_path / name for name in "abcd")
    entry = sources.Input(paths, "test", read, (4, 5, 7, 9))
    found = reading.read(entry, reading.Options(64, SALT))
    assert [each.file[:5] for each in found] == ["#0004", "#0005", "#0007", "#0009"]
    assert [len(each.pieces) for each in found] == [1, 0, 1, 0]
    assert found[1].dropped == {"damaged": 1} and not found[0].dropped
    assert "RuntimeError" in next(iter(found[3].dropped))


def test_outcomes_survive_being_taken_apart(tmp_path):
    (found,) = outcomes(tmp_path, lambda _: [piece(GREY), piece(GREY[:31])])
    plain = msgpack.unpackb(msgpack.packb(reading.to_plain(found)))
    again = reading.from_plain(plain)
    assert again.pieces[0].record == found.pieces[0].record
    assert again.dropped == found.dropped and again.file == found.file


def test_flaws_are_counted_by_reason(tmp_path):
    flat = np.zeros((40, 40), np.uint8)
    (found,) = outcomes(
        tmp_path, lambda _: [piece(flat), piece(GREY), piece(flat), piece(GREY[:31])]
    )
    assert len(found.pieces) == 1
    assert found.dropped == {"constant image": 2, "short side under 32 pixels": 1}


@pytest.mark.parametrize(
    "error", [RuntimeError("Doe^John"), MemoryError(), KeyError("Doe"), OSError("Doe")]
)
def test_broken_file_ends_nothing_and_its_message_is_not_told(tmp_path, error):
    found = outcomes(tmp_path, fail(error), lambda _: [piece(GREY.T)])
    assert [len(each.pieces) for each in found] == [1, 1]
    (reason,) = found[0].dropped
    assert "Doe" not in reason
    known = "more memory" if isinstance(error, MemoryError) else type(error).__name__
    assert known in reason


def test_ctrl_c_ends_the_run(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        outcomes(tmp_path, fail(KeyboardInterrupt()))


def test_warnings_of_readers_are_not_shown(tmp_path, capfd):
    def read(_):
        warnings.warn("Doe^John is no valid value", stacklevel=1)
        yield piece(GREY)

    assert outcomes(tmp_path, read)[0].pieces
    assert capfd.readouterr().err == ""


def test_stored_images_are_bounded(tmp_path):
    large = np.array(PIL.Image.fromarray(GREY).resize((200, 100)))
    (found,) = outcomes(tmp_path, lambda _: [piece(large)], size=50)
    record = records.decode(found.pieces[0].record)
    assert (record.height, record.width) == (25, 50)


def test_a_strip_that_would_be_stored_as_a_line_is_refused(tmp_path):
    strip = np.tile(GREY, (12, 1))  # 480 x 40
    (found,) = outcomes(tmp_path, lambda _: [piece(strip)])
    assert found.dropped == {"a strip: under 16 pixels wide once it is stored": 1}
    (found,) = outcomes(tmp_path, lambda _: [piece(strip)], size=256)
    assert len(found.pieces) == 1


def test_without_a_patient_the_content_is_the_group_wherever_it_lies(tmp_path):
    found = []
    for root, data in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        path = tmp_path / root / "images" / "T1.nii.gz"
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
        entry = sources.Input((path,), "test", lambda _: [piece(GREY, "")], (1,))
        (outcome,) = reading.read(entry, reading.Options(64, SALT))
        found.append(outcome.pieces[0].group)
    assert found[0] == found[1] != found[2]
