"""A folder as model hubs keep them: weights, config.json, and README.md, the card."""

import functools
import math
import pathlib
from typing import Any

import jax
import jax.numpy as jnp

from lvmmed_jax import files
from lvmmed_jax.models import encoder_table
from lvmmed_jax.release import card, peers
from lvmmed_jax.weights import exported, families, writing

OURS, THEIRS = "lvmmed_jax.safetensors", "model.safetensors"
_OWN_LINES = [
    "from lvmmed_jax import encoders",
    "",
    f'encoder = encoders.load("FOLDER/{OURS}")',
]


def write(
    folder: pathlib.Path,
    one: exported.Exported,
    layout: str | None,
    leakage: dict[str, Any] | None,
) -> dict[str, Any]:
    """Writes the folder; the card is its last file.

    Args:
      folder: is made.
      one: the encoder.
      layout: of `model.safetensors`; None: timm's where timm has the encoder.
      leakage: for the card.

    Returns:
      `layout`, and `sha256` of both files of weights.

    Raises:
      ValueError: there is no such encoder in that layout.
      OSError: a file cannot be written.
    """
    about = one.about
    tensors, layout = writing.tensors(one, layout or _default(about["encoder"]), None)
    peer, table_size = peers.of(about["encoder"]), _table_size(one)
    names = {"timm": peer.timm, "torchvision": peer.torchvision}
    folder.mkdir(parents=True, exist_ok=True)
    digests = {
        THEIRS: writing.write(folder / THEIRS, tensors, {**about, "layout": layout}),
        OURS: exported.write(folder / OURS, one),
    }
    files.write_json(
        folder / "config.json", _config(one, layout, names.get(layout), table_size)
    )
    lines = list(_OWN_LINES)
    if names.get(layout):
        if layout == "torchvision":
            theirs = peers.torchvision_lines(peer.torchvision, table_size)
        else:
            theirs = peers.timm_lines(peer.timm)
        lines = [*theirs, "", "# or, in JAX", *lines]
    text = card.make(
        about,
        num_parameters=count_parameters(one),
        digests=digests,
        usage=lines,
        head=_head(about, layout == "timm" and peer.timm is not None),
        leakage=leakage,
    )
    card.write(folder / "README.md", text)
    return {"layout": layout, "sha256": digests}


def count_parameters(one: exported.Exported) -> int:
    """How many numbers are learnt."""

    def count(tree):
        if isinstance(tree, dict):
            return sum(map(count, tree.values()))
        return math.prod(tree.shape)

    return sum(
        count(tree) for name, tree in one.variables.items() if name != "batch_stats"
    )


def _default(settings: dict[str, Any]) -> str:
    names = [
        each.name for each in families.of_encoder(settings["encoder"]).written(settings)
    ]
    return "timm" if "timm" in names else names[0]


def _config(
    one: exported.Exported, layout: str, name: str | None, table_size: int | None
) -> dict[str, Any]:
    """In timm's form, which other tools ignore and `convert` reads the input from."""
    given = one.about["input"]
    if layout == "timm" and name:
        return peers.timm_config(name, _num_features(one), given, table_size)
    config = {"layout": layout, "encoder": one.about["encoder"]}
    if name:
        config["architecture"] = name
    return {**config, "pretrained_cfg": peers.pretrained_config(given)}


def _num_features(one: exported.Exported) -> int:
    """D, from the shape of a feature map."""
    settings, given = one.about["encoder"], one.about["input"]
    name, width = settings["encoder"], settings["width"]
    network = encoder_table.find(name).make(name, width, jnp.float32, False)
    shape = (1, given["size"], given["size"], len(given["mean"]))
    images = jax.ShapeDtypeStruct(shape, jnp.float32)
    apply = functools.partial(network.apply, train=False)
    return jax.eval_shape(apply, one.variables, images).shape[-1]


def _table_size(one: exported.Exported) -> int | None:
    """Pixels a side that the encoder's table of positions is for; None: it has none."""
    params = one.variables["params"]
    if "positions" not in params:
        return None
    table, patch = params["positions"].shape, params["patch_embedding"]["kernel"].shape
    cells = (
        table[1] if len(table) == 4 else math.isqrt(table[1])
    )  # squares, and a class
    return cells * patch[0]


def _head(about: dict[str, Any], timm: bool) -> dict[str, str]:
    """What hubs read of a card, as YAML."""
    head = {
        "tags": "[medical-imaging, self-supervised, jax]",
        "pipeline_tag": "image-feature-extraction",
    }
    if timm:
        head["library_name"] = "timm"
    if about["licence"]:
        head |= {"license": "other", "license_name": "see-licence-below"}
    return head
