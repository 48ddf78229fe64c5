"""Files that appear whole or not at all."""

import contextlib
import fcntl
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields a temporary name beside `path`, which takes its place at the end.

    After an error nothing is left, and what was at `path` before stays.

    Raises:
      OSError: names `path`, e.g. where the disk is full.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        yield partial
        partial.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        with contextlib.suppress(OSError):  # the folder may be read-only
            partial.unlink()


@contextlib.contextmanager
def locked(path: pathlib.Path, *, wait: bool = False) -> Iterator[None]:
    """Holds `path`, an empty file that is made, until the end; freed if we are killed.

    Args:
      path: the file.
      wait: for another process that holds it.

    Raises:
      OSError: another process holds it, and we do not wait.
    """
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise OSError(
                f"another process is at work in {path.parent}: stop it, or use another "
                "folder"
            ) from None
        yield


def write_json(path: pathlib.Path, value: Any) -> None:
    """Writes indented JSON."""
    with replacing(path) as partial:
        partial.write_text(json.dumps(value, indent=2) + "\n")


def write_arrays(path: pathlib.Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes a compressed .npz; its folder is made."""
    path.parent.mkdir(exist_ok=True)
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)
