"""Our exported encoders: a safetensors file with metadata, its SHA-256 beside it."""

import json
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from lvmmed_jax import files
from lvmmed_jax.weights import kinds, reading, safetensors_files

KEY = "lvmmed_jax"  # of the metadata in the file's header
LAYOUT = "flax"  # of the tensors, beside those of other projects
VERSION = 1
_KEYS = {"version", "layout", "encoder", "input", "source", "licence"} | {
    "num_batches_tracked",
    "run",
}
_JOIN = "/"


class Exported(NamedTuple):
    """An encoder and what is known about it.

    Attributes:
      variables: {"params", ...} of float32 arrays.
      about: `version`, `layout`, `encoder` (the settings that make the network),
        `input` (how images are normalised), `source`, `licence`,
        `num_batches_tracked`, `run` (the config of our run; None: weights of others),
        and, for its card, `training` (see `release.training`).
    """

    variables: dict[str, Any]
    about: dict[str, Any]


def write(path: pathlib.Path, exported: Exported) -> str:
    """Writes an encoder, all or nothing; returns the SHA-256."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(exported.variables)
    tensors = {
        _JOIN.join(key.key for key in keys): np.asarray(leaf) for keys, leaf in leaves
    }
    metadata = as_metadata(exported.about)
    return write_with_digest(
        path, lambda place: safetensors_files.save(place, tensors, metadata)
    )


def write_with_digest(path: pathlib.Path, write: Callable[[pathlib.Path], None]) -> str:
    """Writes a file by `write` and, as sha256sum has it, its digest beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.replacing(digest_path(path)) as digest, files.replacing(path) as place:
        write(place)
        found = reading.sha256(place)
        digest.write_text(f"{found}  {path.name}\n")
    return found


def read(path: pathlib.Path) -> Exported:
    """Reads an encoder; its file must be what its digest says.

    Raises:
      ValueError: damaged, without a digest, or no encoder that we exported.
      OSError: it cannot be read.
    """
    about = read_about(path)
    tensors, _ = safetensors_files.load(path)
    variables = {}
    for name, array in tensors.items():
        *parents, last = name.split(_JOIN)
        place = variables
        for key in parents:
            place = place.setdefault(key, {})
        place[last] = array
    return Exported(variables, about)


def read_about(path: pathlib.Path) -> dict[str, Any]:
    """The metadata alone; raises as `read` does."""
    if kinds.recognise(path) == kinds.TORCH:
        raise ValueError(f"{path} is a torch file: `convert` it first")
    has_digest = digest_path(path).is_file()
    if has_digest:
        check_digest(path)
    about = metadata_of(safetensors_files.load_metadata(path))
    if about is None or about["layout"] != LAYOUT:
        raise ValueError(f"{path} is no encoder of ours: `convert` it first")
    if about["version"] > VERSION:
        raise ValueError(f"{path} was exported by a newer version: update this one")
    if not has_digest:
        raise ValueError(
            f"{path} has no {digest_path(path).name} beside it, which `convert` wrote: "
            "copy both files"
        )
    return about


def metadata_of(metadata: dict[str, str]) -> dict[str, Any] | None:
    """What we wrote into a file's header; None: the file is not ours."""
    try:
        about = json.loads(metadata[KEY])
        given = about["input"]
        numbers = [*map(float, given["mean"]), *map(float, given["std"])]
        whole = about.keys() >= _KEYS and len(numbers) == 2 * len(given["mean"])
    except (KeyError, ValueError, TypeError, AttributeError):
        return None
    return about if whole else None


def as_metadata(about: dict[str, Any]) -> dict[str, str]:
    """The header's entry for it."""
    return {KEY: json.dumps(about, sort_keys=True)}


def digest_path(path: pathlib.Path) -> pathlib.Path:
    """Where the SHA-256 of an exported file stands, for `sha256sum --check` too."""
    return path.with_name(f"{path.name}.sha256")


def check_digest(path: pathlib.Path) -> None:
    """Raises ValueError where a file is not what its digest says."""
    digest = digest_path(path)
    wanted = digest.read_text(errors="replace").split()[:1]
    if wanted != [reading.sha256(path)]:
        raise ValueError(
            f"{path} is not what {digest.name} says: one of the two is damaged or of "
            "another export; copy or convert it again"
        )
