"""Encoders of ours as files of other projects."""

import pathlib
from typing import Any

import numpy as np

from lvmmed_jax import files
from lvmmed_jax.weights import (
    conversion,
    exported,
    families,
    reading,
    safetensors_files,
    torch_files,
)


def tensors(
    one: exported.Exported, layout: str | None, into: str | None
) -> tuple[dict[str, np.ndarray], str]:
    """An encoder's tensors in a layout, and the name of that layout.

    Args:
      one: the encoder.
      layout: of `layouts.Written`; None: the first one of the encoder's.
      into: a SAM file whose image encoder it replaces.

    Raises:
      ValueError: no such layout of this encoder, or a SAM file of another size.
    """
    written = families.written_layout(one.about["encoder"], layout)
    found = conversion.to_layout(one, written)
    if into is not None:
        found = _merged(found, reading.read(pathlib.Path(into)), written.prefix)
    return found, written.name


def write(
    path: pathlib.Path, tensors: dict[str, np.ndarray], about: dict[str, Any]
) -> str:
    """Writes a safetensors or, by its suffix, a torch file; returns its SHA-256.

    A torch file has no place for metadata: they stand in a JSON file beside it.
    """
    if path.suffix == ".safetensors":
        # "format" is what transformers asks for
        metadata = {"format": "pt", **exported.as_metadata(about)}
        return exported.write_with_digest(
            path, lambda place: safetensors_files.save(place, tensors, metadata)
        )
    digest = exported.write_with_digest(
        path, lambda place: torch_files.save(place, tensors)
    )
    files.write_json(
        reading.metadata_path(path), {"sha256": digest, **exported.as_metadata(about)}
    )
    return digest


def _merged(
    ours: dict[str, np.ndarray], sam: reading.Stored, prefix: str
) -> dict[str, np.ndarray]:
    """A SAM model with its image encoder replaced.

    Raises:
      ValueError: its image encoder has other tensors.
    """
    theirs = {name for name in sam.tensors if name.startswith(prefix)}
    odd = sorted(theirs ^ ours.keys())
    if odd:
        raise ValueError(
            f"{sam.path} has another image encoder: {len(odd)} tensors are on one side "
            f"only: {reading.listed(odd)}"
        )
    wrong = [
        f"{name} is {sam.tensors[name].shape} there and {array.shape} here"
        for name, array in ours.items()
        if sam.tensors[name].shape != array.shape
    ]
    if wrong:
        raise ValueError(
            f"{sam.path} has another image encoder: {reading.listed(wrong)}"
        )
    rest = {
        name: reading.as_float32(name, array)
        for name, array in sam.tensors.items()
        if name not in theirs
    }
    return {**ours, **rest}
