"""Lungs in chest X-rays: JSRT (table 2 of the LVM-Med paper).

247 X-rays (db.jsrt.or.jp), masks from the SCR database, made into
JSRT/images/JPCLN001.png and JSRT/labels/JPCLN001.png by the lines in
docs/downstream.md. Then, ResNet-50 and ViT-B:

    python run.py finetune jsrt --init LVMMED_R50 --data JSRT --workdir runs/jsrt
    python run.py finetune jsrt --init LVMMED_VIT --data JSRT \\
        --workdir runs/jsrt_vit --model.head=conv_unet \\
        --optimizer.learning_rate=1e-3 --train.epochs=200
    python run.py evaluate runs/jsrt --task segmentation --data JSRT

The paper's Dice, mean of three runs: LVM-Med ResNet-50 95.13, ViT-B 90.74, ImageNet
94.52, random 93.10; it is that of --protocol=official. The paper does not release its
split, nor which organs it means. Not yet run here: no result is claimed.
"""

from lvmmed_jax import config, finetune_config

CONFIG = finetune_config.Finetune(
    data=finetune_config.Data(size=224, global_batch=32),  # table 7
    augmentation=finetune_config.NO_AUGMENTATION,  # the paper's code has none
    model=finetune_config.Model(task="segmentation", head="unet"),
    optimizer=config.Optimizer(
        learning_rate=1e-3,  # table 7
        schedule="constant",
        clip_norm=1.0,  # appendix B
    ),
    train=finetune_config.Train(epochs=50),  # table 7
)


def get_config(**overrides) -> finetune_config.Finetune:
    """The settings, with "section.key" replaced."""
    return config.override(CONFIG, overrides)
