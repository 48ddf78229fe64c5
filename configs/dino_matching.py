"""Beyond the paper: matching beside self-distillation, on the shared corpus.

    python run.py pretrain dino_matching --data $WORK/shards/train \\
        --held-out $WORK/shards/val --workdir runs/dino_matching

DINO's loss and a share of the matching loss, on the same two views: `methods` with
`train.method=dino` has the rest. The weight brings both to one size at the start
(project); what comes of it is not yet measured.
"""

from lvmmed_jax import config, config_files

CONFIG = config_files.load("methods", {"train.method": "dino", "matching.beside": 0.2})


def get_config(**overrides) -> config.Config:
    """The settings, with "section.key" replaced."""
    return config.override(CONFIG, overrides)
