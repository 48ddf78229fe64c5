"""Downloaded model folders: which file is meant, and how images are to be given."""

import json
import pathlib
from typing import Any

# what hubs call the weights; beside them lies how to use them
FILES = ("model.safetensors", "pytorch_model.bin")


def weight_file(folder: pathlib.Path) -> pathlib.Path:
    """The file of weights in a folder.

    Raises:
      FileNotFoundError: there is none.
    """
    for name in FILES:
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(
        f"{folder} is no work folder, no checkpoint, and holds no {' or '.join(FILES)}"
    )


def told_input(path: pathlib.Path) -> dict[str, Any]:
    """Mean, standard deviation and size of images, as the files beside say.

    Args:
      path: a file of weights; its folder is looked at where it has a name of `FILES`.

    Returns:
      `mean`, `std`, `size` and `told_by`, those that are said; {}: nothing is.
    """
    if path.name not in FILES:
        return {}
    found = _transformers(_json(path.with_name("preprocessor_config.json")))
    return found or _timm(_json(path.with_name("config.json")).get("pretrained_cfg"))


def _transformers(config: dict[str, Any]) -> dict[str, Any]:
    if not config:
        return {}
    found = {"mean": config.get("image_mean"), "std": config.get("image_std")}
    if config.get("do_normalize") is False:
        found = {"mean": [0.0] * 3, "std": [1.0] * 3}
    size = config.get("size")
    if config.get("do_center_crop") and config.get("crop_size"):
        size = config["crop_size"]
    if isinstance(size, dict):
        size = size.get("height", size.get("shortest_edge"))
    return _checked({**found, "size": size}, "preprocessor_config.json")


def _timm(config: Any) -> dict[str, Any]:
    if not isinstance(config, dict):
        return {}
    sizes = config.get("input_size")
    size = sizes[-1] if isinstance(sizes, list) and sizes else None
    found = {"mean": config.get("mean"), "std": config.get("std"), "size": size}
    return _checked(found, "config.json")


def _checked(found: dict[str, Any], name: str) -> dict[str, Any]:
    """Those that are numbers; without mean and deviation, none."""
    numbers = [
        found[key]
        for key in ("mean", "std")
        if isinstance(found[key], list)
        and all(isinstance(value, int | float) for value in found[key])
    ]
    if len(numbers) < 2 or min(found["std"], default=0) <= 0:
        return {}
    if not isinstance(found["size"], int) or found["size"] < 1:
        del found["size"]
    return {**found, "told_by": name}


def _json(path: pathlib.Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
        return found if isinstance(found, dict) else {}
    except (OSError, ValueError):
        return {}
