"""The salt file and what it keys."""

import stat
from concurrent import futures

import pytest

from data_pipelines import salt


def test_made_at_first_use_private_and_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    path = salt.default_path()
    assert path == tmp_path / "lvmmed" / "salt"
    first = salt.load(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert salt.load(path) == first and len(first) == 32


def test_made_once_by_whoever_is_first(tmp_path):
    for number in range(20):
        path = tmp_path / str(number) / "salt"
        with futures.ThreadPoolExecutor(8) as pool:
            salts = set(pool.map(salt.load, [path] * 8))
        assert salts == {salt.load(path)}
        assert [entry.name for entry in path.parent.iterdir()] == ["salt"]


def test_hash_depends_on_salt_and_identity(tmp_path):
    one, other = salt.load(tmp_path / "a"), salt.load(tmp_path / "b")
    assert salt.keyed_hash(one, "patient 7") == salt.keyed_hash(one, "patient 7")
    hashes = {
        salt.keyed_hash(one, "patient 7"),
        salt.keyed_hash(one, "patient 8"),
        salt.keyed_hash(other, "patient 7"),
    }
    assert len(hashes) == 3
    assert salt.fingerprint(one) != salt.fingerprint(other)
    assert one.hex() not in salt.fingerprint(one)


@pytest.mark.parametrize("content", [b"", b"abc", b"\xff\xfe", b"12" * 31])
def test_another_file_is_refused(tmp_path, content):
    path = tmp_path / "salt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="--salt-file") as error:
        salt.load(path)
    assert str(path) in str(error.value)
    assert path.read_bytes() == content
