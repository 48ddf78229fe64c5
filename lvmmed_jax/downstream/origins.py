"""`finetune --init MODEL`: the encoder that a run begins with, a random one too."""

import pathlib

import jax
import numpy as np

from lvmmed_jax import config as configs
from lvmmed_jax import encoders, finetune_config, initial
from lvmmed_jax.downstream import examples, windows
from lvmmed_jax.tasks import stem

_RANDOM = "random:"
_NUM_CHANNELS = 3
_NUM_CALIBRATED = 256  # images


def read(model: str, seed: int) -> tuple[initial.Start, stem.Origin]:
    """The weights that `model` names, and what they are.

    Args:
      model: an exported file, a work folder, a checkpoint; `random:NAME`, an encoder by
        name at its published width; or `random:` before any of the others, the same
        encoder with random weights.
      seed: of random weights.

    Raises:
      FileNotFoundError: there is nothing of that name.
      ValueError: it is damaged, unknown, or takes no RGB images.
    """
    if model.startswith(_RANDOM):
        return _random(model, seed)
    found, digest = initial.weights(model)
    start = initial.start_of(model, found, digest)
    mean, std = (tuple(found.about["input"][name]) for name in ("mean", "std"))
    if len(mean) != _NUM_CHANNELS:
        raise ValueError(
            f"--init {model} takes images of {len(mean)} channel(s); here they are RGB"
        )
    own = found.about["encoder"]
    tables = initial.table_shapes(start.variables)
    return start, stem.Origin(own["encoder"], own["width"], mean, std, tables)


def _random(model: str, seed: int) -> tuple[initial.Start, stem.Origin]:
    name = model.removeprefix(_RANDOM)
    path = pathlib.Path(name)
    if path.is_file() or encoders.is_run(path):
        config = encoders.run_config(name)
    else:
        config = configs.Config(model=configs.Model(encoder=name))
    config = configs.override(config, {"train.seed": seed})
    encoder = encoders.random(config)
    variables = jax.device_get(encoder.variables)
    about = {
        "model": model,
        "sha256": encoders.digest(encoder),
        "source": None,
        "licence": None,
        "tables": {},
    }
    settings, data = config.model, config.data
    tables = initial.table_shapes(variables)
    origin = stem.Origin(settings.encoder, settings.width, data.mean, data.std, tables)
    return initial.Start(variables, about), origin


def calibrated(
    start: initial.Start,
    origin: stem.Origin,
    data: examples.Examples,
    settings: finetune_config.Data,
) -> initial.Start:
    """Random weights with the BatchNorm statistics of the images to train on.

    A frozen encoder never makes its own, and untouched ones would make a random encoder
    look worse than it is. Weights that were trained are returned as they are.
    """
    if not start.about["model"].startswith(_RANDOM):
        return start
    config = configs.Config(
        model=configs.Model(encoder=origin.encoder, width=origin.width),
        data=configs.Data(mean=origin.mean, std=origin.std),
    )
    encoder = encoders.of_variables(config, start.variables)
    every, form = data.rows["train"], examples.form(settings)
    count = min(len(every), _NUM_CALIBRATED)
    # evenly: class folders are listed one after the other
    rows = every[np.linspace(0, len(every) - 1, count).round().astype(int)]
    squares = [
        windows.cut(examples.picture(data, row), form).squares for row in rows.tolist()
    ]
    images = np.concatenate(squares)
    found = encoders.calibrate(
        encoder, np.broadcast_to(images, (*images.shape[:3], _NUM_CHANNELS))
    )
    return start._replace(variables=jax.device_get(found.variables))
