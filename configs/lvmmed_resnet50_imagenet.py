"""LVM-Med's ResNet-50 from ImageNet's weights, as section 4.1 of the paper starts it.

    python run.py convert resnet50-0676ba61.pth imagenet.safetensors
    python run.py pretrain lvmmed_resnet50_imagenet --init imagenet.safetensors \\
        --data SHARDS --workdir runs/resnet50_imagenet

The paper says that its ResNet-50 is initialised from ImageNet-1k, not from which file:
torchvision's first weights (IMAGENET1K_V1) are the project's guess. All else is as in
`lvmmed_resnet50`. Expected: at step 0 the features are those of the file (tested);
afterwards it has not been run at full size, and no result is claimed. Laptop variant,
with weights of a ResNet-50 of width 4 (a run of these very flags without --init):

    --model.width=4 --model.dtype=float32 --views.size=32 --data.global_batch=128
    --data.num_workers=0 --train.num_evaluation_images=128 --train.steps=2
"""

from lvmmed_jax import config, config_files

CONFIG = config_files.load("lvmmed_resnet50", {})


def get_config(**overrides) -> config.Config:
    """The settings, with "section.key" replaced."""
    return config.override(CONFIG, overrides)
