"""Shards and settings small enough to train on in a test."""

import numpy as np
from PIL import Image

from lvmmed_jax import command_line, config
from lvmmed_jax.train import optimizer

CONFIG = config.Config(
    data=config.Data(global_batch=32, num_workers=0),
    views=config.Views(size=32, crop_area=(0.5, 1.0)),
    model=config.Model(encoder="resnet8", width=4, projection_width=16),
    matching=config.Matching(
        graph_size=4, num_neighbours=2, num_cells=3, num_starts=4, num_steps=8
    ),
    # a constant rate: runs of any length share one compiled step
    optimizer=config.Optimizer(learning_rate=3e-3, halve_at=()),
    train=config.Train(
        steps=6,
        log_every_steps=1,
        evaluate_every_steps=3,
        num_evaluation_images=32,
        checkpoint_every_steps=2,
    ),
)


def adam(learning_rate, halve_at=()):
    """The optimiser of a run of 20 steps, and its learning rate."""
    schedule = optimizer.make_schedule(
        "halved", peak=learning_rate, num_steps=20, halve_at=halve_at
    )
    return optimizer.make_optimizer("adam", schedule), schedule


def timeless(lines):
    """Lines of metrics without what differs from run to run: times, rates, memory."""
    changing = ("second", "wait", "memory")
    return [
        {k: v for k, v in line.items() if not any(word in k for word in changing)}
        for line in lines
    ]


CONFIG_FILE = '''
"""The settings of tests/tiny_runs.py as a config file."""

import tiny_runs

from lvmmed_jax import config


def get_config(**overrides):
    return config.override(tiny_runs.CONFIG, overrides)
'''


def make_shards(folder, seed=0):
    """Prepares 40 images of noise with shapes; returns the shards' folder."""
    generator = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    for number in range(40):
        pixels = generator.integers(0, 80, (40, 48), np.uint8)
        row, column = generator.integers(0, 30, 2)
        pixels[row : row + 10, column : column + 10] += 150
        Image.fromarray(pixels).save(folder / "images" / f"{number}.png")
    words = ["prepare", str(folder / "images"), "--out", str(folder / "shards")]
    assert command_line.main([*words, "--size", "48", "--workers", "0"]) == 0
    return folder / "shards"


def write_config(folder):
    """Writes the settings as a config file; returns its path."""
    path = folder / "tiny.py"
    path.write_text(CONFIG_FILE)
    return path
