"""Every pre-training method on the shared corpus, at the size of a laptop.

    python run.py pretrain methods --train.method=dino --data $WORK/shards/train \\
        --held-out $WORK/shards/val --workdir runs/dino

Encoder, views, batch, optimiser and length are those of `shared_corpus`, except where
a row says so; docs/baselines.md tells what differs from each paper.
"""

from typing import Any

from lvmmed_jax import config, config_files

# a row of methods/table.py -> overrides; what was tried: docs/baselines.md
LAPTOP: dict[str, dict[str, Any]] = {
    "graph_matching": {},
    "simclr": {"simclr.hidden": 256},
    "moco_v2": {
        "moco.hidden": 256,
        "moco.queue_size": 1024,
        "moco.decay": 0.99,
    },
    "moco_v3": {
        "moco_v3.hidden": 256,
        "moco_v3.width": 128,
    },
    "barlow_twins": {
        "barlow_twins.hidden": 512,
        "barlow_twins.width": 512,
    },
    "vicreg": {
        "vicreg.hidden": 512,
        "vicreg.width": 512,
    },
    "vicregl": {
        "vicreg.hidden": 512,
        "vicreg.width": 512,
        "vicregl.local_width": 128,
        "vicregl.num_matches": 6,
    },
    "swav": {
        "swav.hidden": 256,
        "swav.num_prototypes": 128,
        "swav.queue_size": 512,
        "swav.queue_from": 0.1,
        "swav.frozen": 0.05,
    },
    "deepcluster_v2": {
        "deepcluster.hidden": 256,
        "deepcluster.num_prototypes": 128,
        "deepcluster.bank_size": 16_384,  # the corpus has 8,559 images
        "deepcluster.cluster_every": 1 / 16,
    },
    "dino": {
        "dino.hidden": 256,
        "dino.width": 64,
        "dino.num_prototypes": 512,
        "dino.norm": True,  # without: fewer directions, see docs/baselines.md
    },
    "mae": {
        "model.encoder": "vit_s16",
        "model.width": 16,
        "mae.decoder_width": 96,
        "mae.decoder_depth": 2,
        "mae.decoder_heads": 4,
    },
    "supervised": {
        "supervised.num_classes": 10,  # folders of $WORK/corpus/train
    },
}


def get_config(**overrides) -> config.Config:
    """The settings of `train.method`, with "section.key" replaced."""
    method = overrides.get("train.method", "graph_matching")
    return config_files.load(
        "shared_corpus",
        {"train.method": method, **LAPTOP.get(method, {}), **overrides},
    )
