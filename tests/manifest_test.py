"""What is read back: whole shards or a line that says what is wrong."""

import json

import pytest

from data_pipelines import manifest


@pytest.fixture
def out(tmp_path):
    (tmp_path / "a.array_record").write_bytes(b"12345")
    content = {"version": manifest.VERSION, "bytes": {"a.array_record": 5}}
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    return tmp_path


def test_whole_shards_pass(out):
    assert manifest.read(out)["bytes"] == {"a.array_record": 5}


def test_absent_manifest_says_how_to_make_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="prepare SOURCE --out"):
        manifest.read(tmp_path)


def test_shard_of_another_size_is_named(out):
    (out / "a.array_record").write_bytes(b"1234")
    with pytest.raises(ValueError, match=r"a\.array_record: missing or not of 5 bytes"):
        manifest.read(out)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"bytes": 3}'])
def test_damaged_manifest_is_named(out, text):
    (out / "manifest.json").write_text(text)
    with pytest.raises(ValueError, match=r"manifest\.json: damaged"):
        manifest.read(out)


def test_newer_version_is_refused(out):
    (out / "manifest.json").write_text('{"version": 99, "bytes": {}}')
    with pytest.raises(ValueError, match="version 99"):
        manifest.read(out)
