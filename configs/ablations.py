"""What each part of the matching is worth: the paper's ablations, and more, as values.

    python run.py study ablations --data $WORK/shards/train \\
        --held-out $WORK/shards/val --labelled $WORK --workdir $WORK/ablations \\
        --only full,no_second_order
    python run.py report $WORK/ablations

All on the corpus of `shared_corpus`, measured as `first_study`. Rows of the paper
(Nguyen et al. 2023, arXiv 2306.11925v3), the mean of 2 linear classifications and of 5
2-D segmentations with its ResNet-50 on 1.3 million images:

    Table 6  full 67.47, 83.05; no_second_order 62.17, 80.21; no_message_passing 65.08,
             81.19; without Gumbel noise, a margin in its place (margin) 64.32, 81.37;
             no_local 65.67, 81.54
    Table 9  alpha of 0.7, 0.8 (full) and 0.9
    Fig. 5   graphs of N images; full: 16
    Fig. 6   lambda of 70, 80 (full), 90 and 100

The others are the project's. At this scale most cannot be told from `full` (RESULTS.md,
"Choosing settings").
"""

from lvmmed_jax import config_files
from lvmmed_jax.study import grid

TABLE_6 = {
    "no_second_order": {"matching.edge_weight": 0.0},
    "no_message_passing": {"model.message_passing_layers": 0},
    "margin": {"matching.noise": "margin"},
    "no_local": {"matching.alpha": 1.0},
}
FIGURE_5 = {f"graphs_of_{n}": {"matching.graph_size": n} for n in (8, 32)}
FIGURE_6 = {f"lambda_{x}": {"matching.interpolation": x} for x in (70, 90, 100)}
TABLE_9 = {f"alpha_{x}": {"matching.alpha": x} for x in (0.7, 0.9)}
PROJECT = {
    "no_noise": {"matching.noise": "none"},
    "no_skip": {"model.skip": False},  # the paper's form of message passing
    "neighbours_3": {"matching.num_neighbours": 3},
    "neighbours_8": {"matching.num_neighbours": 8},
    "symmetric": {"matching.symmetric": True},
    "sigma_0.1": {"matching.sigma": 0.1},
    "sigma_0.3": {"matching.sigma": 0.3},
    "samples_4": {"matching.num_perturbations": 4},
    "sum_of_gamma": {"matching.noise": "sum_of_gamma"},
    "cells_3": {"matching.num_cells": 3},  # gamma; full: 6 of 16
    "cells_16": {"matching.num_cells": 16},
    "search_less": {"matching.num_starts": 2, "matching.num_steps": 16},
    "search_more": {"matching.num_starts": 64},  # full: 16 starts of 128 steps
    "fenchel_young": {"matching.rule": "fenchel_young"},
    "sinkhorn": {"matching.rule": "sinkhorn"},
}
VARIANTS = {"full": {}} | TABLE_6 | FIGURE_5 | FIGURE_6 | TABLE_9 | PROJECT

STUDY = grid.Study(
    config="shared_corpus",
    variants=VARIANTS,
    evaluation=config_files.load_study("first_study").evaluation,
    baseline="full",
    seeds=(0, 1, 2),
)


def get_study() -> grid.Study:
    """The study."""
    return STUDY
