"""What an export says about an encoder of our own runs."""

import hashlib
import pathlib
from typing import Any

from lvmmed_jax import config as configs
from lvmmed_jax.weights import exported, reading


def about(
    checkpoint: pathlib.Path, config: configs.Config, init: dict[str, Any] | None
) -> dict[str, Any]:
    """The metadata of an encoder.

    Args:
      checkpoint: the folder of the step that it is of.
      config: of its run.
      init: the weights that the run began from, see `initial.Start`; None: random.
    """
    return {
        "version": exported.VERSION,
        "layout": exported.LAYOUT,
        "encoder": {"encoder": config.model.encoder, "width": config.model.width},
        "input": {
            "channels": "RGB",
            "range": [0, 1],
            "mean": list(config.data.mean),
            "std": list(config.data.std),
            "size": config.views.size,
            "told_by": "run",
        },
        "source": {
            "file": f"step {checkpoint.name}",
            "sha256": folder_sha256(checkpoint),
            "layout": "orbax",
            "prefix": "",
            "types": {},
            "dropped": {},
            **({"origin": init["source"]} if init else {}),
        },
        "licence": init and init["licence"],
        "num_batches_tracked": None,
        "run": configs.as_json(config),
    }


def folder_sha256(folder: pathlib.Path) -> str:
    """The digest of the lines `sha256sum` has for a folder's files, in order."""
    lines = [
        f"{reading.sha256(path)}  {path.relative_to(folder).as_posix()}\n"
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()
