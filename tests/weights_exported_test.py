"""Exported encoders: what is written is read, and nothing else."""

import json
import shutil
import subprocess

import numpy as np
import pytest
import weight_files

from lvmmed_jax.weights import exported

VARIABLES = {
    "params": {
        "Block_0": {"Conv_0": {"kernel": np.arange(36.0).reshape(3, 3, 2, 2)}},
        "Conv_0": {"kernel": np.ones((1, 1, 3, 2))},
    },
    "batch_stats": {"BatchNorm_0": {"mean": np.zeros(2)}},
}
ABOUT = {
    "version": 1,
    "layout": "flax",
    "encoder": {"encoder": "resnet50", "width": 64},
    "input": {"mean": [0.5], "std": [0.25], "size": 32},
    "source": {"file": "Größe"},
    "licence": None,
    "num_batches_tracked": 3,
    "run": None,
}


@pytest.fixture
def path(tmp_path):
    params = _map(VARIABLES, lambda leaf: leaf.astype(np.float32))
    exported.write(tmp_path / "a.safetensors", exported.Exported(params, ABOUT))
    return tmp_path / "a.safetensors"


def _map(tree, function):
    if isinstance(tree, dict):
        return {key: _map(value, function) for key, value in tree.items()}
    return function(tree)


def test_an_export_comes_back(path):
    found = exported.read(path)
    assert found.about == ABOUT == exported.read_about(path)
    assert found.variables.keys() == VARIABLES.keys()
    kernel = found.variables["params"]["Block_0"]["Conv_0"]["kernel"]
    np.testing.assert_array_equal(
        kernel, VARIABLES["params"]["Block_0"]["Conv_0"]["kernel"]
    )
    assert kernel.dtype == np.float32


def test_the_same_encoder_gives_the_same_bytes(path, tmp_path):
    again = tmp_path / "b.safetensors"
    digest = exported.write(again, exported.read(path))
    assert again.read_bytes() == path.read_bytes()
    assert exported.digest_path(path).read_text() == f"{digest}  a.safetensors\n"


@pytest.mark.skipif(not shutil.which("sha256sum"), reason="no sha256sum here")
def test_sha256sum_reads_the_digest(path):
    name = exported.digest_path(path).name
    subprocess.run(["sha256sum", "--check", name], cwd=path.parent, check=True)


def test_every_flipped_byte_is_noticed(path):
    whole = path.read_bytes()
    for place in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"a\.safetensors "):
            exported.read(path)
    path.write_bytes(whole[:-1])
    with pytest.raises(ValueError, match=r"is not what a\.safetensors\.sha256 says"):
        exported.read(path)


def test_a_file_without_its_digest_is_refused(path):
    exported.digest_path(path).unlink()
    with pytest.raises(ValueError, match=r"has no a\.safetensors\.sha256 beside it"):
        exported.read(path)


def test_other_files_are_to_be_converted_first(tmp_path):
    path = weight_files.save(tmp_path / "x.safetensors", {"a": np.zeros(2, np.float32)})
    with pytest.raises(ValueError, match="no encoder of ours: `convert` it first"):
        exported.read(path)
    path.write_bytes(b"\x80\x02}.")
    with pytest.raises(ValueError, match="is a torch file: `convert` it first"):
        exported.read(path)


def test_a_newer_form_is_refused(path):
    found = exported.read(path)
    newer = {**ABOUT, "version": exported.VERSION + 1}
    exported.write(path, found._replace(about=newer))
    with pytest.raises(ValueError, match="newer version"):
        exported.read(path)


def test_a_failed_write_leaves_what_was_there(path):
    def fail(place):
        place.write_bytes(b"half")
        raise ValueError("no")

    before = sorted(each.name for each in path.parent.iterdir()), path.read_bytes()
    with pytest.raises(ValueError, match="no"):
        exported.write_with_digest(path, fail)
    found = sorted(each.name for each in path.parent.iterdir()), path.read_bytes()
    assert found == before
    exported.read(path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"version": 1}',
        json.dumps({**ABOUT, "input": 3}),
        json.dumps({**ABOUT, "input": {"mean": ["a"], "std": [1]}}),
        json.dumps({key: ABOUT[key] for key in ABOUT if key != "run"}),
    ],
)
def test_metadata_of_others_are_not_ours(text):
    assert exported.metadata_of({exported.KEY: text}) is None
    assert exported.metadata_of({"format": "pt"}) is None
    ours = {exported.KEY: json.dumps(ABOUT)}
    assert exported.metadata_of(ours) == ABOUT
