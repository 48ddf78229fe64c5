"""Ten ways to pre-train side by side on the corpus of `shared_corpus`.

    python run.py study first_study --data $WORK/shards/train \\
        --held-out $WORK/shards/val --labelled $WORK --workdir $WORK/first_study
    python run.py report $WORK/first_study

RESULTS.md says how $WORK is made, and what came out. All methods have the encoder, the
images and their order, and the views' settings in common but for what
`configs/methods.py` says of one; `supervised` learns the very classes that brain MRI
and ultrasound are measured by, which no other method is told. The learning rate of each
is chosen by three short runs, a third of the steps, on the validation part; then three
seeds, measured on the test part: k-NN and linear probe on brain MRI and ultrasound,
linear probes of cells on nuclei and hippocampus. `--train.steps=N` makes all of it
shorter or longer.
"""

from lvmmed_jax import config_files
from lvmmed_jax.study import grid

LAPTOP = config_files.read("methods").LAPTOP
OF_VITS = ("moco_v3", "mae")  # another encoder, or made for one

STUDY = grid.Study(
    config="shared_corpus",
    variants={
        name: {"train.method": name, **own}
        for name, own in LAPTOP.items()
        if name not in OF_VITS
    },
    evaluation=grid.Evaluation(
        data=("brain_tumor_mri", "breast_ultrasound", "nuclei", "hippocampus")
    ),
    baseline="graph_matching",
    seeds=(0, 1, 2),
    overrides={
        "train.steps": 400,  # at most 6 minutes a run on two cores
        "train.evaluate_every_steps": 100,
        "train.checkpoint_every_steps": 200,
        "train.knn_every_epochs": 2.0,
    },
    tuning=grid.Tuning(
        # not ultrasound: 93 images, a standard error of 5 points
        grid.Evaluation(("brain_tumor_mri", "nuclei", "hippocampus"), part="val")
    ),
    knn_data="brain_tumor_mri",
)


def get_study() -> grid.Study:
    """The study."""
    return STUDY
