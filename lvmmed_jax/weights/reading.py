"""Files of weights -> named arrays, with the digest of the file."""

import hashlib
import json
import pathlib
from typing import NamedTuple

import numpy as np

from lvmmed_jax.weights import hub_folders, kinds, safetensors_files, torch_files

_READ_TYPES = ("float32", "float16", "bfloat16", "float64")


class Stored(NamedTuple):
    """What a file holds.

    Attributes:
      path: the file.
      tensors: name -> array; names of nested dicts are joined by dots.
      metadata: strings of a safetensors file's header, or beside a torch file.
      sha256: of the file, hex.
    """

    path: pathlib.Path
    tensors: dict[str, np.ndarray]
    metadata: dict[str, str]
    sha256: str


def read(path: pathlib.Path) -> Stored:
    """Reads a torch or safetensors file, told apart by its content.

    Args:
      path: the file, or a folder with one of `hub_folders.FILES`.

    Raises:
      ValueError: it holds no weights, is damaged, or would run code.
      ImportError: a torch file where there is no torch.
      OSError: it cannot be read.
    """
    if path.is_dir():
        path = hub_folders.weight_file(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    if kinds.recognise(path) == kinds.SAFETENSORS:
        tensors, metadata = safetensors_files.load(path)
    else:
        tensors, metadata = torch_files.load(path), None
    if not tensors:
        raise ValueError(f"{path} holds no tensor")
    digest = sha256(path)
    if metadata is None:
        metadata = _metadata_beside(path, digest)
    return Stored(path, tensors, metadata, digest)


def sha256(path: pathlib.Path) -> str:
    """The digest of a file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def metadata_path(path: pathlib.Path) -> pathlib.Path:
    """Where the metadata of a torch file stand that we wrote."""
    return path.with_name(f"{path.name}.json")


def as_float32(name: str, array: np.ndarray) -> np.ndarray:
    """A weight in float32.

    Raises:
      ValueError: it is no number with a fraction, or not finite in float32.
    """
    if array.dtype.name not in _READ_TYPES:
        raise ValueError(
            f"{name} is {array.dtype.name}; weights are {', '.join(_READ_TYPES)}"
        )
    with np.errstate(over="ignore"):  # told below
        array = np.asarray(array, np.float32)
    if not np.isfinite(array).all():
        raise ValueError(
            f"{name} holds values that are not finite: the file is of a "
            "run that failed, or damaged"
        )
    return array


def listed(names, most: int = 10) -> str:
    """The first names, and how many more there are."""
    names = list(names)
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def _metadata_beside(path: pathlib.Path, digest: str) -> dict[str, str]:
    """What `writing` wrote about a torch file; nothing where it is another file's."""
    try:
        found = json.loads(metadata_path(path).read_text())
        return found if found["sha256"] == digest else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
