"""Polyps in endoscopy: Kvasir-SEG (table 2 of the LVM-Med paper).

1,000 JPEG pictures with JPEG masks (datasets.simula.no/kvasir-seg):

    mv Kvasir-SEG/masks Kvasir-SEG/labels

and, ResNet-50, then ViT-B, then the same network on a random start:

    python run.py finetune kvasir_seg --init LVMMED_R50 --data Kvasir-SEG \\
        --workdir runs/kvasir
    python run.py finetune kvasir_seg --init LVMMED_VIT --data Kvasir-SEG \\
        --workdir runs/kvasir_vit --model.head=conv_unet \\
        --optimizer.learning_rate=1e-3 --train.epochs=200
    python run.py finetune kvasir_seg --init random:resnet50 --data Kvasir-SEG \\
        --workdir runs/kvasir_random
    python run.py evaluate runs/kvasir --task segmentation --data Kvasir-SEG \\
        --baseline runs/kvasir_random

The paper's Dice, mean of three runs (--train.seed=0, 1, 2): LVM-Med ResNet-50 86.76,
ViT-B 73.10, ImageNet 83.85, random 62.85; it is that of --protocol=official. Its code
splits 640 / 160 / 200; here groups are dealt by --data.val_share and test_share below.
Not yet run here: no result is claimed.
"""

from lvmmed_jax import config, finetune_config

CONFIG = finetune_config.Finetune(
    data=finetune_config.Data(
        size=224,  # table 7
        global_batch=64,  # table 7
        val_share=0.16,
        test_share=0.2,
    ),
    augmentation=finetune_config.NO_AUGMENTATION,  # the paper's code has none
    model=finetune_config.Model(task="segmentation", head="unet"),
    optimizer=config.Optimizer(
        learning_rate=1e-3,  # table 7
        schedule="constant",
        clip_norm=1.0,  # appendix B
    ),
    train=finetune_config.Train(epochs=35),  # table 7
)


def get_config(**overrides) -> finetune_config.Finetune:
    """The settings, with "section.key" replaced."""
    return config.override(CONFIG, overrides)
