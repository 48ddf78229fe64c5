"""Shards and their manifest: complete, deterministic, all or nothing."""

import hashlib
import json

import numpy as np
import PIL.Image
import pytest
from array_record.python import array_record_module

from data_pipelines import manifest, records, shards, sources

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


def inputs(folder, dataset="test"):
    return sources.expand(str(folder), dataset=dataset, modality="US", planes=["axial"])


def write(folder, out, **changed):
    return shards.write(
        inputs(folder), out, name="test", settings=settings(**changed), salt_key=SALT
    )


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
    assert skipped["file"].startswith("#0041 ") and "damaged" in skipped["reason"]
    assert (made["size"], made["channels"], made["bits"]) == (32, 1, 8)
    for name, digest in made["sha256"].items():
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == digest


def test_little_data_makes_few_even_shards(pictures, tmp_path):
    write(pictures, tmp_path / "out")
    parts = stored(tmp_path / "out")
    assert [len(part) for part in parts] == [20, 20]
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names[1:] == [f"test-0000{i}-of-00002.array_record" for i in (0, 1)]
    assert all(record.source == "test" for record in parts[0])


def test_same_input_gives_same_bytes(pictures, tmp_path):
    for name in ("a", "b"):
        write(pictures, tmp_path / name)
    first, second = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        for name in ("a", "b")
    )
    assert first == second


def test_duplicates_are_listed(pictures, tmp_path):
    (pictures / "zcopy.png").write_bytes((pictures / "doe_0.png").read_bytes())
    made = write(pictures, tmp_path / "out")
    assert made["records"] == 40
    assert made["skipped"][-1]["reason"] == "same pixels as #0001"


def test_prepared_before(pictures, tmp_path):
    def prepared(out, salt_key=SALT, **changed):
        return shards.prepared(
            inputs(pictures), out, settings=settings(**changed), salt_key=salt_key
        )

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


def test_full_disk_is_one_line_and_leaves_nothing(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(array_record_module, "ArrayRecordWriter", FullDisk)
    with pytest.raises(OSError, match=r"out: cannot write the shards: .*No space left"):
        write(pictures, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_folder_that_cannot_be_made(pictures, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="cannot write the shards"):
        write(pictures, tmp_path / "file" / "out")


@pytest.mark.parametrize("num_read", [3, 38])
def test_interrupted_run_leaves_nothing(pictures, tmp_path, num_read):
    def interrupted():
        yield from inputs(pictures)[:num_read]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shards.write(
            interrupted(),
            tmp_path / "out",
            name="test",
            settings=settings(num_shards=2),
            salt_key=SALT,
        )
    assert not (tmp_path / "out").exists()
    write(pictures, tmp_path / "out")


def test_what_a_killed_run_left_is_removed(pictures, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "test-00007-of-00009.array_record.part").write_text("half")
    write(pictures, out)
    assert not list(out.glob("*.part"))
