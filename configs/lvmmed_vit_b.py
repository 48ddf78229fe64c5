"""LVM-Med's ViT-B/16 from SAM's image encoder (Nguyen et al. 2023, section 4.1).

    python run.py convert sam_vit_b_01ec64.pth sam.safetensors
    python run.py pretrain lvmmed_vit_b --init sam.safetensors \\
        --data SHARDS --workdir runs/vit_b

1.3 million images of 55 data sets, 100 epochs; the authors' run took 7 days on 16 A100.
SAM's absolute positions are kept and trained, its tables keep their size (images of
1,024 pixels) and are resized to the views; the authors' released file has relative
tables of that size and no absolute positions, so they left those out. The feature map
is that before SAM's neck (appendix A: the projector is 768 x 128). Expected: at step 0
the features are those of the file (tested); it has not been run at full size, and no
result is claimed. Laptop variant, with weights of width 1 (a run of these very flags
without --init):

    --model.width=1 --model.dtype=float32 --views.size=32 --data.global_batch=128
    --data.num_workers=0 --train.num_evaluation_images=128 --train.steps=2
"""

from lvmmed_jax import config, config_files

CONFIG = config_files.load(
    "lvmmed_resnet50",  # the rest is the same for both encoders in the paper
    {
        "data.global_batch": 2816,  # section 4.1: 2800, which does not cut into graphs
        "model.encoder": "sam_b16",  # section 4.1
        "train.steps": 46_200,  # section 4.1: 100 epochs of 1.3 million images
    },
)


def get_config(**overrides) -> config.Config:
    """The settings, with "section.key" replaced."""
    return config.override(CONFIG, overrides)
