"""LVM-Med's ResNet-50 (Nguyen et al. 2023, arXiv 2306.11925v3).

    python run.py pretrain lvmmed_resnet50 --data SHARDS --workdir runs/resnet50

1.3 million images of 55 data sets, 100 epochs; the authors' run took 5 days on 16 A100.
The values below are the paper's unless a comment says "project"; the README's
"Differences from the paper" gives the reasons. Not yet run here at full size: no result
is claimed. Laptop variant: `quickstart`.
"""

from lvmmed_jax import config

CONFIG = config.Config(
    data=config.Data(
        global_batch=3072,  # section 4.1: 3200, which does not cut into graphs of 16
        num_workers=16,  # project
    ),
    views=config.Views(
        size=224,  # section 4.1
        crop_area=(0.08, 1.0),  # VICRegL's ResNet-50 recipe, which section 4.1 names
    ),
    model=config.Model(
        encoder="resnet50",  # section 4.1
        width=64,
        dtype="bfloat16",  # project; matching and losses stay float32
        projection_width=128,  # appendix A
        message_passing_layers=2,  # appendix A
        skip=True,  # project; the paper's form is --model.skip=False
    ),
    matching=config.Matching(
        graph_size=16,  # appendix A, figure 5
        num_neighbours=5,  # appendix A
        alpha=0.8,  # appendix A, table 9
        num_cells=20,  # project, after VICRegL
        sigma=1.0,  # algorithm 1
        interpolation=80.0,  # appendix A, figure 6
    ),
    optimizer=config.Optimizer(
        learning_rate=2e-3,  # section 4.1
        halve_at=(0.2, 0.4, 0.6, 0.8),  # section 4.1 "halved four times"; when: project
    ),
    train=config.Train(
        steps=42_300,  # section 4.1: 100 epochs of 1.3 million images
    ),
)


def get_config(**overrides) -> config.Config:
    """The settings, with "section.key" replaced."""
    return config.override(CONFIG, overrides)
