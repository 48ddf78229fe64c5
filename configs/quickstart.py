"""Small settings for the images that installed packages ship: minutes on two cores.

    python run.py quickstart

runs it. The method is the paper's, every step of it; smaller are the encoder (ResNet-8,
width 32), the views (64 pixels) and the batch (4 graphs). Milder views and the learning
rate are what learns at this scale (README, "Differences from the paper").
"""

from lvmmed_jax import config

CONFIG = config.Config(
    data=config.Data(global_batch=64, num_workers=0),
    views=config.Views(
        size=64,
        crop_area=(0.5, 1.0),
        brightness=0.2,
        contrast=0.2,
        saturation=0.2,
        hue=0.05,
        blur_sigma=(0.1, 1.0),
    ),
    model=config.Model(encoder="resnet8", width=32),
    matching=config.Matching(num_cells=6),
    optimizer=config.Optimizer(learning_rate=3e-3),
    train=config.Train(
        steps=200,
        evaluate_every_steps=20,
        num_evaluation_images=128,
        checkpoint_every_steps=50,
    ),
)


def get_config(**overrides) -> config.Config:
    """The settings, with "section.key" replaced."""
    return config.override(CONFIG, overrides)
