"""Beyond the paper: matching beside VICRegL's losses, on the shared corpus.

    python run.py pretrain vicregl_matching --data $WORK/shards/train \\
        --held-out $WORK/shards/val --workdir runs/vicregl_matching

VICRegL's global and local losses and the matching loss, on the same two views:
`methods` with `train.method=vicregl` has the rest. All three have about one size at the
start (project); what comes of it is not yet measured.
"""

from lvmmed_jax import config, config_files

CONFIG = config_files.load(
    "methods", {"train.method": "vicregl", "matching.beside": 1.0}
)


def get_config(**overrides) -> config.Config:
    """The settings, with "section.key" replaced."""
    return config.override(CONFIG, overrides)
