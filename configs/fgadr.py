"""Grades of diabetic retinopathy: FGADR (table 5 of the LVM-Med paper).

1,841 fundus pictures in grades 0 to 4 (csyizhou.github.io/FGADR), a folder a grade:
fgadr/train/0 to 4 and fgadr/test/0 to 4. Frozen, then whole, then LoRA and grades as
such, which the paper does not have:

    python run.py finetune fgadr --init LVMMED_R50 --data fgadr --workdir runs/probe \\
        --model.tuning=linear_probe --train.epochs=20
    python run.py finetune fgadr --init LVMMED_R50 --data fgadr --workdir runs/whole
    python run.py finetune fgadr --init LVMMED_VIT --data fgadr --workdir runs/lora \\
        --model.lora_rank=8 --model.head=ordinal --train.best_metric=val_kappa
    python run.py evaluate runs/whole --task classification --data fgadr

The paper's accuracy, mean of three runs, frozen and whole: LVM-Med ResNet-50 68.33 and
68.32, ViT-B 62.46 and 63.44. Its code crops 480 of 512 pixels at random, while testing
too, and stretches the contrast of a fifth of the pictures; here a test picture is whole
and contrast stays. It decays weights in the gradient, here adamw does. Its list for
validation equals that for testing but is not read: do not compare to the digit.
Not yet run here: no result is claimed.
"""

import dataclasses

from lvmmed_jax import config, finetune_config

CONFIG = finetune_config.Finetune(
    data=finetune_config.Data(
        size=512,  # the paper's code
        global_batch=32,
        val_share=0.15,  # of all groups: the paper's code has 0.2 of those to train on
    ),
    augmentation=dataclasses.replace(
        finetune_config.NO_AUGMENTATION,
        flip_probability=0.5,
        scale=(1.0, 512 / 480),  # its random crops
        shift=16 / 512,
    ),
    model=finetune_config.Model(hidden=(512, 128)),  # appendix B
    optimizer=config.Optimizer(
        name="adamw",
        learning_rate=1e-3,  # appendix B
        schedule="constant",
        weight_decay=5e-3,  # the paper's code
    ),
    train=finetune_config.Train(epochs=30),
)


def get_config(**overrides) -> finetune_config.Finetune:
    """The settings, with "section.key" replaced."""
    return config.override(CONFIG, overrides)
