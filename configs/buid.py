"""Tumours in breast ultrasound: BUID, also called BUSI (table 2 of the LVM-Med paper).

647 pictures of benign and malignant tumours (scholar.cu.edu.eg/?q=afahmy); the paper
leaves "normal" out. Several masks of one picture become one (docs/downstream.md has the
lines), in buid/images and buid/labels. Then, ResNet-50, ViT-B, and a random start:

    python run.py finetune buid --init LVMMED_R50 --data buid --workdir runs/buid
    python run.py finetune buid --init LVMMED_VIT --data buid \\
        --workdir runs/buid_vit --model.head=conv_unet \\
        --optimizer.learning_rate=1e-4 --train.epochs=200
    python run.py finetune buid --init random:resnet50 --data buid \\
        --workdir runs/buid_random
    python run.py evaluate runs/buid --task segmentation --data buid \\
        --baseline runs/buid_random

The paper's Dice, mean of three runs: LVM-Med ResNet-50 78.65, ViT-B 77.20, ImageNet
72.04, random 65.54; it is that of --protocol=official. Its code splits 413 / 104 / 130;
here near copies stay on one side, of which the set has many. Not yet run here: no
result is claimed.
"""

from lvmmed_jax import config, finetune_config

CONFIG = finetune_config.Finetune(
    data=finetune_config.Data(
        size=256,  # table 7
        global_batch=8,  # table 7
        val_share=0.16,
        test_share=0.2,
    ),
    augmentation=finetune_config.NO_AUGMENTATION,  # the paper's code has none
    model=finetune_config.Model(task="segmentation", head="unet"),
    optimizer=config.Optimizer(
        learning_rate=1e-4,  # table 7
        schedule="constant",
        clip_norm=1.0,  # appendix B
    ),
    train=finetune_config.Train(epochs=50),  # table 7
)


def get_config(**overrides) -> finetune_config.Finetune:
    """The settings, with "section.key" replaced."""
    return config.override(CONFIG, overrides)
