"""The quickstart's encoder on five public data sets: does matching teach it anything?

    python run.py pretrain shared_corpus --data $WORK/shards/train \\
        --held-out $WORK/shards/val --workdir runs/shared_corpus

RESULTS.md says how the shards are made, what was measured, and which settings were
tried before these.
"""

from lvmmed_jax import config, config_files

CONFIG = config_files.load(
    "quickstart",
    {
        "train.steps": 1600,  # 10 to 12 minutes on two cores
        "train.evaluate_every_steps": 100,
        "train.num_evaluation_images": 512,
        "train.checkpoint_every_steps": 400,
    },
)


def get_config(**overrides) -> config.Config:
    """The settings, with "section.key" replaced."""
    return config.override(CONFIG, overrides)
