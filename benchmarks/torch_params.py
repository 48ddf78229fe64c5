"""Flax parameters of graph matching under the names and layouts of the PyTorch twin."""

from typing import Any

import jax
import numpy as np
import torch
from torch import nn

from lvmmed_jax.weights import mapping, resnet_names

_PROJECTOR = {"Dense_0": "linear"}
_HIDDEN_PROJECTOR = {
    "Dense_0": "hidden.0",
    "BatchNorm_0": "hidden.1",
    "Dense_1": "linear",
}


def state_dict(params: Any, variant: str) -> dict[str, torch.Tensor]:
    """Parameters, their gradients, or BatchNorm's statistics, name by name.

    HWIO becomes OIHW, [in, out] becomes [out, in]; the encoder's names are
    torchvision's.

    Args:
      params: {"encoder", "projector", "message_passing"}, or some of them.
      variant: of the encoder, a row of `resnet.VARIANTS`.
    """
    found = {}
    for keys, array in jax.tree_util.tree_leaves_with_path(params):
        part, *layers, leaf = (key.key for key in keys)
        if part == "encoder":
            layer = resnet_names.torchvision_layer(layers, variant)
        elif part == "projector":
            hidden = "Dense_1" in params["projector"]
            layer = (_HIDDEN_PROJECTOR if hidden else _PROJECTOR)[layers[0]]
        else:
            layer = f"layers.{_number(layers[0])}"
        array = np.asarray(array)
        array = array.transpose(mapping.torch_axes(leaf, array.ndim))
        name = f"{part}.{layer}.{resnet_names.LEAVES[leaf]}"
        found[name] = torch.tensor(np.ascontiguousarray(array))
    return found


def load(module: nn.Module, params: Any, variant: str) -> None:
    """Copies flax parameters into the twin; its running statistics stay.

    Raises:
      ValueError: names that do not fit.
    """
    new = state_dict(params, variant)
    differing = new.keys() ^ {name for name, _ in module.named_parameters()}
    if differing:
        raise ValueError(f"parameters of one side only: {', '.join(sorted(differing))}")
    module.load_state_dict(new, strict=False)  # which still compares the shapes


def _number(name: str) -> int:
    return int(name.rpartition("_")[2])
