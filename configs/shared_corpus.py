"""The quickstart's encoder on five public data sets: does matching teach it anything?

    python run.py pretrain shared_corpus --data $WORK/shards/train \\
        --held-out $WORK/shards/val --workdir runs/shared_corpus

RESULTS.md says how the shards are made, what was measured, and which settings were
tried before these.
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
        steps=1600,  # 15 minutes on two cores
        evaluate_every_steps=100,
        num_evaluation_images=512,
        checkpoint_every_steps=400,
    ),
)


def get_config(**overrides) -> config.Config:
    """The settings, with "section.key" replaced."""
    return config.override(CONFIG, overrides)
