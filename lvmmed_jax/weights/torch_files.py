"""Torch files: the only place that imports torch, an optional package."""

import argparse
import pathlib
import pickle
import types
import warnings
import zipfile
from typing import Any

import ml_dtypes
import numpy as np

from lvmmed_jax.weights import pickles

_INSTALL = "pip install -r requirements-torch.txt"
_AGAIN = "download it again"
_DEEPEST = 64  # dicts in dicts


def load(path: pathlib.Path) -> dict[str, np.ndarray]:
    """The tensors of a torch file; names of nested dicts are joined by dots.

    No code of the file runs: torch makes tensors, containers, and, for the settings
    that training scripts save along, `argparse.Namespace` and NumPy's numbers.

    Args:
      path: see `kinds.recognise`.

    Raises:
      ValueError: the file would run code, or is damaged.
      ImportError: no torch here.
    """
    torch = _torch(path)
    _check_archive(path)
    try:
        with torch.serialization.safe_globals(_harmless()), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old forms, which are read well
            held = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(_refusal(path, error)) from None
    except MemoryError:
        raise
    except Exception as error:  # torch has one type of error a damage
        told = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"{path} is cut or damaged: {_AGAIN} (torch: {told[:120]})"
        ) from None
    tensors = _flat(held, torch, path)
    return {name: _array(one, torch, path, name) for name, one in tensors.items()}


def save(path: pathlib.Path, tensors: dict[str, np.ndarray]) -> None:
    """Writes a bare state dict.

    Raises:
      ImportError: no torch here.
    """
    torch = _torch(path)
    torch.save({name: torch.tensor(array) for name, array in tensors.items()}, path)


def check_installed(path: pathlib.Path) -> None:
    """Raises ImportError where there is no torch to write `path` with."""
    _torch(path)


def _torch(path: pathlib.Path) -> types.ModuleType:
    try:
        import torch
    except ImportError:
        raise ImportError(
            f"{path} is a torch file, and torch is not installed: {_INSTALL}, or use "
            "a .safetensors file"
        ) from None
    return torch


def _check_archive(path: pathlib.Path) -> None:
    """The checksums of the archive, which torch does not look at."""
    if not zipfile.is_zipfile(path):
        return  # the form before torch 1.6 has none
    try:
        with zipfile.ZipFile(path) as archive:
            wrong = archive.testzip()
    except Exception as error:  # zipfile has one type of error a damage
        raise ValueError(f"{path} is damaged: {_AGAIN} ({error})") from None
    if wrong is not None:
        raise ValueError(f"{path} is damaged in {wrong}: {_AGAIN}")


def _harmless() -> list[Any]:
    scalar = np.float64(0).__reduce__()[0]
    dtypes = [type(np.dtype(name)) for name in ("bool", "i4", "i8", "f4", "f8")]
    return [
        argparse.Namespace,
        np.dtype,
        (scalar, "numpy.core.multiarray.scalar"),  # its name before NumPy 2
        (scalar, "numpy._core.multiarray.scalar"),
        *dtypes,
    ]


def _refusal(path: pathlib.Path, error: Exception) -> str:
    names = pickles.unusual_names(path)
    names = [name for name in names if name != "argparse.Namespace"]
    if not names:
        told = " ".join(str(error).split())
        return (
            f"{path} is no file of weights, or a damaged one (torch: ...{told[-200:]})"
        )
    shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    return (
        f"{path} is refused: to read it, code would have to run ({shown}), and weights "
        "need none; nothing was run. If you trust it, load it where it was made and "
        "save its state_dict() alone with torch.save"
    )


def _flat(held: Any, torch: types.ModuleType, path: pathlib.Path) -> dict[str, Any]:
    """Dotted name -> tensor; what is no tensor (an epoch, settings) is left out.

    A container that is met twice counts once, so that none is endless.
    """
    found, seen, todo = {}, set(), [((), held)]
    while todo:
        place, value = todo.pop()
        if isinstance(value, torch.Tensor):
            name = ".".join(place)
            if name in found:
                raise ValueError(f"{path} holds two tensors called {name!r}")
            found[name] = value
            continue
        if isinstance(value, argparse.Namespace):
            value = vars(value)
        if not isinstance(value, dict | list | tuple) or id(value) in seen:
            continue
        if len(place) >= _DEEPEST:
            raise ValueError(f"{path} is nested more than {_DEEPEST} deep")
        seen.add(id(value))
        inside = value.items() if isinstance(value, dict) else enumerate(value)
        todo += reversed([((*place, str(key)), one) for key, one in inside])
    return found


def _array(tensor: Any, torch: types.ModuleType, path: Any, name: str) -> np.ndarray:
    try:
        tensor = tensor.detach()
        if tensor.dtype == torch.bfloat16:
            bits = tensor.contiguous().view(torch.int16).numpy()
            return bits.view(ml_dtypes.bfloat16)
        return tensor.numpy()
    except (RuntimeError, TypeError, NotImplementedError):
        raise ValueError(
            f"{path}: {name} is a {tensor.dtype} tensor of layout {tensor.layout}, "
            "which is not read: save it dense, as float32"
        ) from None
