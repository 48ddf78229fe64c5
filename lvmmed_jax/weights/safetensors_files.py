"""Safetensors files."""

import contextlib
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import safetensors

_NAMES = {"float32": "F32", "int64": "I64"}  # of the types that are written
_ALIGNMENT = 8


def load(path: pathlib.Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The tensors and the metadata of a file.

    Raises:
      ValueError: it is cut or damaged.
    """
    with _opened(path) as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return tensors, file.metadata() or {}


def load_metadata(path: pathlib.Path) -> dict[str, str]:
    """The metadata alone; raises as `load` does."""
    with _opened(path) as file:
        return file.metadata() or {}


@contextlib.contextmanager
def _opened(path: pathlib.Path) -> Iterator[Any]:
    try:
        with safetensors.safe_open(path, framework="np") as file:
            yield file
    except safetensors.SafetensorError as error:
        raise ValueError(
            f"{path} is cut or damaged, or no safetensors file: download it again "
            f"({error})"
        ) from None
    except (TypeError, AttributeError, KeyError):  # a type that NumPy does not have
        raise ValueError(
            f"{path} holds tensors of a type that is not read: save them as float32"
        ) from None


def save(
    path: pathlib.Path, tensors: dict[str, np.ndarray], metadata: dict[str, str]
) -> None:
    """Writes a file whose bytes depend on what is in it only.

    The package puts the metadata's entries into any order, and then the digest of an
    export would differ from run to run.

    Args:
      path: replaced.
      tensors: float32 or int64.
      metadata: any strings.
    """
    header, offset = {"__metadata__": metadata}, 0
    # wide numbers first, so that each lies at a multiple of its size
    tensors = dict(sorted(tensors.items(), key=lambda item: -item[1].itemsize))
    for name, array in tensors.items():
        header[name] = {
            "dtype": _NAMES[array.dtype.name],
            "shape": array.shape,
            "data_offsets": [offset, offset + array.nbytes],
        }
        offset += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in tensors.values():
            file.write(array.astype(array.dtype.newbyteorder("<")).tobytes())
