"""Shards and their manifest: complete, deterministic, all or nothing."""

import hashlib
import json

import numpy as np
import PIL.Image
import pytest
import shard_jobs
import skimage
from array_record.python import array_record_module

from data_pipelines import (
    intensity,
    journal,
    manifest,
    reading,
    records,
    shards,
    slices,
    sources,
)

SALT = bytes(range(32))


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(40):
        pixels = rng.integers(0, 256, (36, 48), np.uint8)
        PIL.Image.fromarray(pixels).save(folder / f"doe_{index}.png")
    (folder / "doe_broken.png").write_bytes(b"\x89PNG broken")
    return folder


def settings(**changed):
    return {"size": 32, "num_shards": 8} | changed


def job(folder, out, *, salt_key=SALT, name="test", add=False, first=1, **changed):
    inputs = sources.expand(
        str(folder), dataset=name, context=slices.Context(modality="US"), first=first
    )
    return shards.Job(inputs, out, name, settings(**changed), salt_key, add)


def write(folder, out, **changed):
    return shard_jobs.write(job(folder, out, **changed))


def bytes_of(out):
    return {path.name: path.read_bytes() for path in out.iterdir()}


def stored(out):
    found = []
    for name in manifest.read(out)["sha256"]:
        reader = array_record_module.ArrayRecordReader(str(out / name))
        found.append([records.decode(data) for data in reader.read_all()])
        reader.close()
    return found


def test_manifest_accounts_for_every_file(pictures, tmp_path):
    out = tmp_path / "out"
    made = write(pictures, out)
    assert made == json.loads((out / "manifest.json").read_text())
    assert made["records"] == 40 == sum(each["records"] for each in made["taken"])
    assert len(made["taken"]) + len(made["skipped"]) == 41
    assert made["counts"] == {"test": {"US": 40}}
    (skipped,) = made["skipped"]
    assert skipped["file"].startswith("#0041 ") and "not a PNG" in skipped["reason"]
    assert (made["size"], made["channels"], made["bits"]) == (32, 1, 8)
    for name, digest in made["sha256"].items():
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == digest


def test_little_data_makes_few_even_shards(pictures, tmp_path):
    write(pictures, tmp_path / "out")
    parts = stored(tmp_path / "out")
    assert [len(part) for part in parts] == [20, 20]
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == [
        "manifest.json",
        "test-00000-of-00002.array_record",
        "test-00001-of-00002.array_record",
        "test.index.npz",
    ]
    assert all(record.source == "test" for record in parts[0])


def test_same_input_gives_same_bytes_for_any_number_of_workers(pictures, tmp_path):
    write(pictures, tmp_path / "a")
    shard_jobs.write(job(pictures, tmp_path / "b"), num_workers=2)
    assert bytes_of(tmp_path / "a") == bytes_of(tmp_path / "b")


def test_index_is_in_the_order_of_reading(pictures, tmp_path):
    out = tmp_path / "out"
    made = write(pictures, out)
    rows = manifest.read_index(out, made)
    flat = [record for part in stored(out) for record in part]
    assert [record.group for record in flat] == [
        row.tobytes().hex() for row in rows.group
    ]
    assert rows.number.tolist() == [*range(1, 41, 2), *range(2, 41, 2)]
    assert set(rows.modality) == {"US"} and set(rows.source) == {"test"}
    assert rows.owner.tolist() == list(range(40)) and set(rows.kind) == {3}  # names
    path = out / "test.index.npz"
    whole = path.read_bytes()
    middle = len(whole) // 2
    changed = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    for damaged in (b"", changed):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"test\.index\.npz: missing or damaged"):
            manifest.read_index(out, made)


def test_duplicates_are_listed(pictures, tmp_path):
    (pictures / "zcopy.png").write_bytes((pictures / "doe_0.png").read_bytes())
    made = write(pictures, tmp_path / "out")
    assert made["records"] == 40
    assert made["skipped"][-1]["reason"] == "same pixels as #0001"


def test_nothing_new_is_said_so(pictures, tmp_path):
    (pictures / "doe_broken.png").unlink()
    write(pictures, tmp_path / "out")
    with pytest.raises(ValueError, match="nothing new: all images of 40 files"):
        write(pictures, tmp_path / "out", name="again", add=True, first=41)


def test_near_copies_are_dropped_on_demand(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    picture = PIL.Image.fromarray(skimage.data.retina()[500:700, 500:700])
    picture.save(folder / "a.png")
    picture.save(folder / "b.jpg", quality=80)
    assert write(folder, tmp_path / "all", size=96)["records"] == 2
    made = write(folder, tmp_path / "one", size=96, deduplicate=True)
    assert made["records"] == 1
    assert made["skipped"][0]["reason"] == "near copy of #0001"


def test_prepared_before(pictures, tmp_path):
    def prepared(out, **changed):
        return shards.prepared(job(pictures, out, **changed))

    out = tmp_path / "out"
    assert prepared(out) is None
    made = write(pictures, out)
    assert prepared(out) == made
    with pytest.raises(ValueError, match=r"size 32, not 64.*choose another --out"):
        prepared(out, size=64)
    with pytest.raises(ValueError, match="another salt"):
        prepared(out, salt_key=bytes(32))
    (pictures / "doe_3.png").unlink()
    with pytest.raises(ValueError, match="other files"):
        prepared(out)


def test_a_source_is_added_to_a_finished_set(pictures, tmp_path):
    more, out = tmp_path / "more", tmp_path / "out"
    more.mkdir()
    for index in range(20):
        pixels = np.full((40, 40), index, np.uint8)
        pixels[index + 1 :] += 100
        PIL.Image.fromarray(pixels).save(more / f"{index}.png")
    (more / "copy.png").write_bytes((pictures / "doe_0.png").read_bytes())
    made = write(pictures, out)
    before = bytes_of(out)
    added = {"name": "more", "add": True, "first": 42}
    assert shards.prepared(job(more, out, **added)) is None
    both = write(more, out, **added)
    assert both == manifest.read(out)
    assert both["records"] == 60 and both["counts"] == {
        "test": {"US": 40},
        "more": {"US": 20},
    }
    assert [part["files"] for part in both["parts"]] == [41, 21]
    assert both["skipped"][-1]["reason"] == "same pixels as #0001"
    rows = manifest.read_index(out, both)
    assert list(rows.source) == ["test"] * 40 + ["more"] * 20
    del before["manifest.json"]
    assert before.items() <= bytes_of(out).items()  # nothing else has changed
    assert set(both["sha256"]) > set(made["sha256"])
    # either command says that it was done, also where the journal is still there
    path = out / "unfinished.journal"
    log = journal.Journal(path)
    log.append(shards.header(job(more, out, **added)))
    log.close()
    assert shards.prepared(job(more, out, **added | {"first": 63})) == both
    assert not path.exists()
    assert shards.prepared(job(pictures, out)) == both
    assert shards.prepared(job(more, out, name="more", first=1)) == both


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"size": 64}, r"size 32, not 64.*choose another --out"),
        ({"salt_key": bytes(32)}, "another salt"),
        ({"name": "test", "num_shards": 3}, "already has a part 'test'"),
    ],
)
def test_what_does_not_go_with_a_set_is_not_added(pictures, tmp_path, changed, text):
    out = tmp_path / "out"
    write(pictures, out)
    changed = {"name": "more", "add": True} | changed
    with pytest.raises(ValueError, match=text):
        shards.prepared(job(pictures, out, **changed))


def test_another_table_version_is_refused(pictures, tmp_path, monkeypatch):
    write(pictures, tmp_path / "out")
    monkeypatch.setattr(intensity, "VERSION", 99)
    for add in (False, True):
        with pytest.raises(ValueError, match="intensity table"):
            shards.prepared(job(pictures, tmp_path / "out", name="new", add=add))


def test_nothing_readable_is_an_error_and_leaves_nothing(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "doe.png").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"none of 1 files.*#0001 [0-9a-f]{12}"):
        write(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


class FullDisk:
    """A writer as array-record's, on a disk that fills up."""

    def __init__(self, path, options):
        open(path, "wb").close()

    def write(self, data):
        raise RuntimeError("write() failed: No space left on device; writing x; at 7")


def test_full_disk_is_one_line_and_keeps_what_was_read(pictures, tmp_path, monkeypatch):
    with monkeypatch.context() as full:
        full.setattr(array_record_module, "ArrayRecordWriter", FullDisk)
        with pytest.raises(
            OSError, match=r"out: cannot write the shards: .*No space left"
        ):
            write(pictures, tmp_path / "out")
    left = [path.name for path in (tmp_path / "out").iterdir()]
    assert left == ["unfinished.journal"]
    assert write(pictures, tmp_path / "out")["records"] == 40


def test_folder_that_cannot_be_made(pictures, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="cannot write the shards"):
        write(pictures, tmp_path / "file" / "out")


class Stop(Exception):
    pass


@pytest.mark.parametrize("stop_at", [0, 3, 40, 41])
def test_stopped_run_goes_on_where_it_was(pictures, tmp_path, monkeypatch, stop_at):
    def stop(done):
        if done == stop_at:
            raise Stop

    whole, out = tmp_path / "whole", tmp_path / "out"
    write(pictures, whole)
    with pytest.raises(Stop):
        shard_jobs.write(job(pictures, out), progress=stop)
    assert [path.name for path in out.iterdir()] == ["unfinished.journal"]
    told, read = [], []
    known = reading.read
    monkeypatch.setattr(
        reading,
        "read",
        lambda entry, options: read.append(entry) or known(entry, options),
    )
    shard_jobs.write(job(pictures, out), progress=told.append)
    assert told == [*range(stop_at, 42)] and len(read) == 41 - stop_at
    assert bytes_of(out) == bytes_of(whole)


def test_an_entry_that_was_cut_is_read_again(pictures, tmp_path):
    def stop(done):
        if done == 30:
            raise Stop

    whole, out = tmp_path / "whole", tmp_path / "out"
    write(pictures, whole)
    with pytest.raises(Stop):
        shard_jobs.write(job(pictures, out), progress=stop)
    path = out / "unfinished.journal"
    path.write_bytes(path.read_bytes()[:-7])
    told = []
    shard_jobs.write(job(pictures, out), progress=told.append)
    assert told[0] == 29 and bytes_of(out) == bytes_of(whole)


def test_zeros_after_a_power_failure_are_no_entries(tmp_path):
    path = tmp_path / "journal"
    log = journal.Journal(path)
    log.append({"a": 1})
    log.close()
    path.write_bytes(path.read_bytes() + bytes(4096))
    log = journal.Journal(path)
    assert log.num_entries == 1
    log.append([2])
    log.close()
    assert list(journal.Journal.entries_of(path)) == [{"a": 1}, [2]]


def test_two_do_not_write_at_once(pictures, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    log = journal.Journal(out / shards.JOURNAL)
    log.append(shards.header(job(pictures, out)))
    with pytest.raises(OSError, match=r"another process writes to .*out: wait for it"):
        write(pictures, out)
    log.close()
    assert write(pictures, out)["records"] == 40


def test_flags_are_those_of_records_that_are_kept(tmp_path):
    def read(_):
        pixels = np.arange(1600).reshape(40, 40).astype(np.uint8)
        flags = (slices.BURNED_IN,)
        yield slices.Slice(pixels, "US", None, None, "a", None, "8bit", flags=flags)

    paths = [tmp_path / name for name in "ab"]
    inputs = [
        sources.Input((path,), "test", read, (number,))
        for number, path in enumerate(paths, start=1)
    ]
    once = shards.Job(inputs, tmp_path / "out", "test", settings(), SALT)
    assert shard_jobs.write(once)["flags"] == {slices.BURNED_IN: 1}


def test_another_job_does_not_go_on_with_it(pictures, tmp_path):
    def stop(done):
        raise Stop

    out = tmp_path / "out"
    with pytest.raises(Stop):
        shard_jobs.write(job(pictures, out), progress=stop)
    with pytest.raises(ValueError, match=r"other settings; repeat .* or delete"):
        write(pictures, out, size=64)
    with pytest.raises(ValueError, match="other salt, files;"):
        write(pictures, out, salt_key=bytes(32))
    (pictures / "doe_3.png").write_bytes(b"changed")
    with pytest.raises(ValueError, match="other files;"):
        write(pictures, out)


def test_what_a_killed_run_left_is_removed(pictures, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "test-00007-of-00009.array_record.part").write_text("half")
    write(pictures, out)
    assert not list(out.glob("*.part"))


def test_files_of_others_stay(pictures, tmp_path):
    (tmp_path / "thesis.pdf.part").write_text("mine")
    write(pictures, tmp_path)
    assert (tmp_path / "thesis.pdf.part").read_text() == "mine"


def test_two_additions_at_once_are_refused(pictures, tmp_path):
    out, more = tmp_path / "out", tmp_path / "more"
    write(pictures, out)
    jobs = []
    for name in "ab":
        (more / name).mkdir(parents=True)
        for number in range(16):
            pixels = np.random.default_rng(ord(name) + number).integers(
                0, 256, (40, 40)
            )
            PIL.Image.fromarray(pixels.astype(np.uint8)).save(
                more / name / f"{number}.png"
            )
        jobs.append(job(more / name, out, name=name, add=True, first=42))
    shard_jobs.write(jobs[0])
    with pytest.raises(ValueError, match="added meanwhile; repeat the command"):
        shard_jobs.write(jobs[1])
