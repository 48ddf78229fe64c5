"""Labelled pictures and settings small enough to fine-tune on in a test."""

import numpy as np
import PIL.Image

from lvmmed_jax import command_line, config, encoders, finetune_config
from lvmmed_jax.weights import exported, runs

CONFIG = finetune_config.Finetune(
    data=finetune_config.Data(
        size=32, global_batch=8, num_workers=0, val_share=0.2, near_copies=False
    ),
    augmentation=finetune_config.NO_AUGMENTATION,
    model=finetune_config.Model(decoder_width=4),
    train=finetune_config.Train(fixed_steps=4, log_every_steps=1, num_evaluations=2),
)

CONFIG_FILE = '''
"""The settings of tests/tiny_finetunes.py as a config file."""

import tiny_finetunes

from lvmmed_jax import config


def get_config(**overrides):
    return config.override(tiny_finetunes.CONFIG, overrides)
'''
ENCODER = config.Config(model=config.Model(encoder="resnet8", width=4))


def write_config(folder):
    """Writes the settings as a config file; returns its path."""
    path = folder / "tiny_finetune.py"
    path.write_text(CONFIG_FILE)
    return path


def settings(**sections):
    """The settings with some fields replaced: section -> {field: value}."""
    fields = {f"{s}.{k}": v for s, own in sections.items() for k, v in own.items()}
    return config.override(CONFIG, fields)


def squares(root, count, size=(40, 48), seed=0):
    """Bright squares on noise with their masks, at most every fourth empty."""
    generator = np.random.default_rng(seed)
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
    for number in range(count):
        pixels = generator.integers(0, 90, size, np.uint8)
        mask = np.zeros(size, np.uint8)
        if number % 4:
            row, column = generator.integers(2, min(size) - 18, 2)
            mask[row : row + 16, column : column + 16] = 255
            pixels = np.where(mask > 0, pixels + 150, pixels)
        for folder, values in (("images", pixels), ("labels", mask)):
            PIL.Image.fromarray(values).save(root / folder / f"{number}.png")
    return root


def bright_and_dark(root, count, seed=0):
    """Class folders of pictures that a threshold tells apart."""
    generator = np.random.default_rng(seed)
    for name, level in (("bright", 140), ("dark", 10)):
        (root / name).mkdir(parents=True)
        for number in range(count):
            pixels = level + generator.integers(0, 60, (40, 48), np.uint8)
            PIL.Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


def write_encoder(folder, settings=ENCODER):
    """Writes random weights as a file that `finetune --init` takes; its path."""
    path = folder / f"{settings.model.encoder}.safetensors"
    encoder = encoders.random(settings)
    about = {
        **runs.about(folder, settings, None),
        "source": {"file": "drawn", "sha256": "0"},
    }
    exported.write(path, exported.Exported(encoder.variables, about))
    return str(path)


def finetune(folder, data, workdir, *more):
    """Runs the command on `folder`/resnet8.safetensors; returns its exit code."""
    words = [str(write_config(folder)), "--data", str(data)]
    words += ["--init", str(folder / "resnet8.safetensors")]
    return command_line.main(["finetune", *words, "--workdir", str(workdir), *more])
