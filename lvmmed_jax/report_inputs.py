"""What a run leaves for its report: the facts of run.json, and pictures."""

import collections
import importlib.metadata
import pathlib
import shlex
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from data_pipelines import mixture
from lvmmed_jax import config as configs
from lvmmed_jax import files
from lvmmed_jax.methods import table
from lvmmed_jax.train import processes, sharding

_NUM_CONTACT = 48  # thumbnails
_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy")


def facts(params: Any, manifest: dict, command: list[str]) -> dict[str, Any]:
    """What ran on what.

    Args:
      params: arrays or their shapes.
      manifest: of the data.
      command: as the process was called.
    """
    return {
        **_environment(params, command),
        "data": {
            "records": manifest["records"],
            "counts": manifest["counts"],
            "modalities": _by_modality(manifest["counts"]),
            "skipped": len(manifest["skipped"]),
        },
    }


def downstream_facts(
    params: Any, parts: Mapping[str, int], init: dict[str, Any], command: list[str]
) -> dict[str, Any]:
    """As `facts`, of a fine-tuning run.

    Args:
      params: arrays or their shapes.
      parts: of the data -> how many images.
      init: what the run began from, see `initial.Start`.
      command: as the process was called.
    """
    return {
        **_environment(params, command),
        "kind": "finetune",
        "data": {"records": sum(parts.values()), "parts": dict(parts)},
        "init": {name: init[name] for name in ("model", "sha256", "licence")},
    }


def _environment(params: Any, command: list[str]) -> dict[str, Any]:
    devices = jax.devices()
    return {
        "command": shlex.join(["lvmmed", *command[1:]]),
        "versions": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "devices": f"{len(devices)} x {devices[0].device_kind}",
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(params)),
    }


def write_pictures(
    config: configs.Config,
    model: dict[str, Any],
    batch: dict[str, jax.Array],
    key: jax.Array,
    *,
    mesh: jax.sharding.Mesh,
    data: pathlib.Path,
    workdir: pathlib.Path,
) -> None:
    """Writes pictures/pretrain.npz: thumbnails, and what the method has to show.

    Args:
      config: of the run.
      model: {"params", "model_state"}.
      batch: images that the method's pictures are made of.
      key: of their views.
      mesh: the devices.
      data: shards, for the thumbnails.
      workdir: the work folder.

    Raises:
      OSError: the file cannot be written.
    """
    make_pictures = table.find(config.train.method).make_pictures
    arrays = {}
    if make_pictures is not None:
        whole = sharding.replicated(mesh)
        draw = jax.jit(make_pictures(config, mesh), out_shardings=whole)
        arrays = draw(model["params"], model["model_state"], batch, key)
    if not processes.is_first():
        return
    images = mixture.first_images(data, count=_NUM_CONTACT)
    files.write_arrays(
        workdir / "pictures" / "pretrain.npz",
        {
            **jax.device_get(arrays),
            "contact": np.stack([_square(image) for image, _ in images]),
            "contact_modality": np.array([modality for _, modality in images]),
        },
    )


def _by_modality(counts: dict[str, dict[str, int]]) -> dict[str, int]:
    """{modality: records} of a manifest's {source: {modality: records}}."""
    total = collections.Counter()
    for of_source in counts.values():
        total.update(of_source)
    return dict(total.most_common())


def _square(image: np.ndarray) -> np.ndarray:
    """An RGB thumbnail of 96 pixels, zero-padded."""
    from PIL import Image

    picture = Image.fromarray(image.squeeze()).convert("RGB")
    picture.thumbnail((96, 96))
    out = np.zeros((96, 96, 3), np.uint8)
    out[: picture.height, : picture.width] = np.asarray(picture)
    return out
