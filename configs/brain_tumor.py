"""Four classes of brain MRI: the Kaggle set (table 5 of the LVM-Med paper).

About 7,000 JPEG slices (kaggle.com/datasets/masoudnickparvar/brain-tumor-mri-dataset):

    mkdir brain && mv Training brain/train && mv Testing brain/test

Frozen, then whole, then from few labels:

    python run.py finetune brain_tumor --init LVMMED_R50 --data brain \\
        --workdir runs/probe --model.tuning=linear_probe --train.epochs=20
    python run.py finetune brain_tumor --init LVMMED_R50 --data brain \\
        --workdir runs/whole
    python run.py finetune brain_tumor --init LVMMED_R50 --data brain \\
        --workdir runs/few --data.labels=10%
    python run.py evaluate runs/whole --task classification --data brain

The paper's accuracy, mean of three runs, frozen and whole: LVM-Med ResNet-50 66.33 and
76.82, ViT-B 59.31 and 67.34. Whether a file is RGB or grey tells its class, so that all
become grey; no patient is named, and of its near copies those within train/ stay on one
side of the validation part. Not yet run here: no result is claimed.
"""

from lvmmed_jax import config, finetune_config

CONFIG = finetune_config.Finetune(
    data=finetune_config.Data(
        size=224,  # the paper's code
        channels=1,
        global_batch=64,  # the paper's code
        val_share=0.225,  # of all groups: 0.3 of those to train on, as in that code
    ),
    augmentation=finetune_config.NO_AUGMENTATION,  # the paper's code has none
    model=finetune_config.Model(hidden=(512, 256)),  # appendix B
    optimizer=config.Optimizer(
        learning_rate=5e-4,  # appendix B
        schedule="constant",
    ),
    train=finetune_config.Train(epochs=30),  # the paper's code
)


def get_config(**overrides) -> finetune_config.Finetune:
    """The settings, with "section.key" replaced."""
    return config.override(CONFIG, overrides)
