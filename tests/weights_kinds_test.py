"""Weight files are told from what else users download under their names."""

import io
import zipfile

import pytest
import weight_files

from lvmmed_jax.weights import kinds

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 94302944\n"
PAGE = b"\n<!DOCTYPE html><html><head><title>Google Drive</title>"


def _zip(*names):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty: download it again"),
        (LFS, r"is a Git LFS pointer, not the weights: run `git lfs pull`"),
        (PAGE, "is a web page, not the weights"),
        (b"<html>", "is a web page"),
        (b"404: Not Found", "is a text file"),
        (b'{"weights": 1}', "is a text file"),
        (b"\x1f\x8b\x08\x00", "is a gzip archive: unpack it first"),
        (b"\x89HDF\r\n\x1a\n", "is an HDF5 file"),
        (b"\x89PNG\r\n\x1a\n", "is an image"),
        (_zip("a/data.pkl", "a/code/__torch__/x.py"), "is a TorchScript program"),
        (_zip("a.png"), "is a zip archive without torch weights"),
        (_zip("a/data.pkl")[:40], "is cut or damaged: it does not end"),
        (b"\xff" * 40, "is neither a torch nor a safetensors file"),
    ],
)
def test_what_holds_no_weights_is_told_by_what_it_is(tmp_path, content, message):
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as told:
        kinds.recognise(path)
    assert str(path) in str(told.value)


def test_the_content_decides_and_not_the_name(tmp_path):
    path = weight_files.save(tmp_path / "a.pth", weight_files.fill({"x": (2,)}))
    assert kinds.recognise(path) == kinds.SAFETENSORS
    for content in (_zip("a/data.pkl"), b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."):
        path.write_bytes(content)
        assert kinds.recognise(path) == kinds.TORCH
