"""Skin lesions in dermoscopy: ISIC-2018, task 1 (table 2 of the LVM-Med paper).

2,594 / 100 / 1,000 pictures (challenge.isic-archive.com/data) with masks whose names
end in _segmentation, laid out as ISIC/train/images, ISIC/train/labels, and so for val
and test. Then, ResNet-50 and ViT-B:

    python run.py finetune isic2018 --init LVMMED_R50 --data ISIC --workdir runs/isic
    python run.py finetune isic2018 --init LVMMED_VIT --data ISIC \\
        --workdir runs/isic_vit --model.head=conv_unet \\
        --optimizer.learning_rate=1e-4 --train.epochs=100
    python run.py evaluate runs/isic --task segmentation --data ISIC

The paper's Dice, mean of three runs: LVM-Med ResNet-50 87.76, ViT-B 88.41, ImageNet
86.87, random 86.16; it is that of --protocol=official. The paper does not release its
split. Not yet run here: no result is claimed.
"""

from lvmmed_jax import config, finetune_config

CONFIG = finetune_config.Finetune(
    data=finetune_config.Data(size=512, global_batch=16),  # table 7
    augmentation=finetune_config.NO_AUGMENTATION,  # the paper's code has none
    model=finetune_config.Model(task="segmentation", head="unet"),
    optimizer=config.Optimizer(
        learning_rate=1e-4,  # table 7
        schedule="constant",
        clip_norm=1.0,  # appendix B
    ),
    train=finetune_config.Train(epochs=35),  # table 7
)


def get_config(**overrides) -> finetune_config.Finetune:
    """The settings, with "section.key" replaced."""
    return config.override(CONFIG, overrides)
