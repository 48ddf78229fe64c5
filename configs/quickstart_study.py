"""The smallest study: matching and SimCLR, two seeds each, on packaged images.

    python run.py prepare packaged --out runs/shards --size 96
    python run.py study quickstart_study --data runs/shards --workdir runs/small \\
        --train.steps=60
    python run.py report runs/small

About 6 minutes on two cores. It shows how a study works; two seeds of 60 steps say
nothing about the methods.
"""

from lvmmed_jax.study import grid

STUDY = grid.Study(
    config="quickstart",
    variants={
        "graph_matching": {},
        "simclr": {"train.method": "simclr", "simclr.hidden": 256},
    },
    evaluation=grid.Evaluation(data=("packaged:mni",)),
    baseline="graph_matching",
    seeds=(0, 1),
)


def get_study() -> grid.Study:
    """The study."""
    return STUDY
