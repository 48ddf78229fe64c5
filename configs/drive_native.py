"""Vessels in fundus pictures as they are: DRIVE in windows of 256 pixels.

What limits the paper's row (`drive`) is the resizing to 224 pixels, at which vessels
are thinner than a pixel. Here the network is trained on windows of the pictures as they
are, changed at random, and predicts in windows that overlap; Dice is at the pictures'
own size.
Data: see `drive`. Then

    python run.py finetune drive_native --init LVMMED_R50 --data drive \\
        --workdir runs/drive_native
    python run.py evaluate runs/drive_native --task segmentation --data drive --flips

No row of the paper, which has 66.97 at 224 pixels by its own protocol. Not yet run
here: no result is claimed.
"""

from lvmmed_jax import config, finetune_config

CONFIG = finetune_config.Finetune(
    data=finetune_config.Data(size=256, native=True, global_batch=16),
    augmentation=config.Augmentation(flip_rows_probability=0.5, rotation=90.0),
    model=finetune_config.Model(task="segmentation", head="unet"),
    optimizer=config.Optimizer(
        learning_rate=1e-3,  # as `drive`
        schedule="cosine",
        clip_norm=1.0,
    ),
    train=finetune_config.Train(fixed_steps=2000),
)


def get_config(**overrides) -> finetune_config.Finetune:
    """The settings, with "section.key" replaced."""
    return config.override(CONFIG, overrides)
