"""Vessels in fundus pictures: DRIVE (table 2 of the LVM-Med paper).

40 pictures of 565 x 584 (drive.grand-challenge.org, the release whose test part has
masks too). Masks must have the names of their pictures:

    for p in training:train test:test; do
        mkdir -p drive/${p#*:}/images drive/${p#*:}/labels
        for n in $(ls DRIVE/${p%:*}/images | cut -c1-2); do
            cp DRIVE/${p%:*}/images/${n}_*.tif drive/${p#*:}/images/$n.tif
            cp DRIVE/${p%:*}/1st_manual/${n}_*.gif drive/${p#*:}/labels/$n.gif
        done
    done

and, ResNet-50 and ViT-B:

    python run.py finetune drive --init LVMMED_R50 --data drive --workdir runs/drive
    python run.py finetune drive --init LVMMED_VIT --data drive \\
        --workdir runs/drive_vit --model.head=conv_unet \\
        --optimizer.learning_rate=1e-3 --train.epochs=200
    python run.py evaluate runs/drive --task segmentation --data drive

The paper's Dice, mean of three runs: LVM-Med ResNet-50 66.97, ViT-B 65.49, ImageNet
65.12, random 59.82; it is that of --protocol=official. 224 pixels are what limits it: a
vessel is thinner than one. `drive_native` reads pictures as they are. The paper does
not release its split. Not yet run here: no result is claimed.
"""

from lvmmed_jax import config, finetune_config

CONFIG = finetune_config.Finetune(
    data=finetune_config.Data(size=224, global_batch=16),  # table 7
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
