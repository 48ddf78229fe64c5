"""What kind of weight file a path is, by its content, whatever it is called."""

import pathlib
import zipfile

TORCH, SAFETENSORS = "torch", "safetensors"

_LFS = b"version https://git-lfs"
_HEAD = 1024  # bytes looked at
# first bytes of what users take for weights -> what it is and what to do
_FOREIGN = {
    b"\x1f\x8b": "a gzip archive: unpack it first",
    b"Rar!": "a rar archive: unpack it first",
    b"7z\xbc\xaf": "a 7z archive: unpack it first",
    b"\x89HDF": "an HDF5 file (Keras?), which is not read",
    b"\x89PNG": "an image",
    b"%PDF": "a PDF document",
    b"\x93NUMPY": "a NumPy array, not a file of named tensors",
}
_LARGEST_HEADER = 100 * 2**20  # bytes, of safetensors' JSON


def recognise(path: pathlib.Path) -> str:
    """`TORCH` or `SAFETENSORS`.

    Args:
      path: a file.

    Raises:
      ValueError: neither; says what it is and what to do.
      OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    told = _not_weights(head)
    if told:
        raise ValueError(f"{path} is {told}")
    if head.startswith(b"PK"):
        return _recognise_zip(path)
    # a pickle of protocol 2 to 5: torch's form before 1.6
    if head[0] == 0x80 and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return TORCH
    if _begins_like_safetensors(head):
        return SAFETENSORS
    raise ValueError(f"{path} is neither a torch nor a safetensors file")


def _not_weights(head: bytes) -> str | None:
    """What a file that begins so is, where it holds no weights."""
    if not head:
        return "empty: download it again"
    if head.startswith(_LFS):
        return "a Git LFS pointer, not the weights: run `git lfs pull`"
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return (
            "a web page, not the weights: the download gave a page (a login, a quota, "
            "or a warning that the file is large); download the file itself"
        )
    for magic, told in _FOREIGN.items():
        if head.startswith(magic):
            return told
    if all(byte in b"\t\n\r\f" or 32 <= byte < 127 for byte in head):
        return "a text file, not weights"
    return None


def _begins_like_safetensors(head: bytes) -> bool:
    """A length in 8 bytes, then a JSON object; a wrong length is told when read."""
    length = int.from_bytes(head[:8], "little")
    return head[8:9] == b"{" or 2 <= length < _LARGEST_HEADER


def _recognise_zip(path: pathlib.Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except Exception:  # zipfile has one type of error a damage
        raise ValueError(
            f"{path} is cut or damaged: it does not end as an archive does; download "
            "it again"
        ) from None
    if any("/code/" in f"/{name}" for name in names):
        raise ValueError(
            f"{path} is a TorchScript program, not a file of weights: save "
            "`torch.jit.load(file).state_dict()` with torch.save"
        )
    if not any(name.endswith("data.pkl") for name in names):
        raise ValueError(f"{path} is a zip archive without torch weights: unpack it")
    return TORCH
