"""A fine-tuning run's settings; the encoder and its normalisation are `--init`'s.

The defaults are the paper's where all of its tasks agree (tables 7 and 8, appendix B:
Adam, Dice and cross-entropy, clipped gradients), else the project's.
"""

import dataclasses

from lvmmed_jax import config as configs


@dataclasses.dataclass(frozen=True)
class Data:
    """Labelled images: what the network sees of them, and which side they stand on."""

    size: int = 224  # pixels a side of what the network sees
    native: bool = False  # windows of `size` of the image as it is; else it is resized
    keep_aspect: bool = False  # of a resized image: the rest of the square is zero
    channels: int = 3  # 1 makes colour grey, where colour would tell the class
    global_batch: int = 32  # images or windows a step
    num_workers: int = 4  # decoding processes; 0 decodes in threads of the main one
    balance_by: str = "none"  # or classes, foreground: labels/batches.py
    labels: str = ""  # few to train on: "10%" of each class, or "5" groups of each
    val_share: float = 0.1  # of all groups, where the data names no such part
    test_share: float = 0.25  # likewise
    near_copies: bool = True  # stand on one side of the split


@dataclasses.dataclass(frozen=True)
class Model:
    """What stands on the encoder, and what of the encoder is trained."""

    task: str = "classification"  # or segmentation
    head: str = "linear"  # or ordinal; of masks: unet, conv_unet, linear
    hidden: tuple[int, ...] = ()  # widths of layers before a classifier's last
    decoder_width: int = 16  # channels of unet at full size, doubled with each halving
    tuning: str = "full_finetune"  # or linear_probe: the encoder stays as it is
    lora_rank: int = 0  # of a ViT's additions, trained in its place; 0: none
    dtype: str = "float32"  # of the encoder's activations; or bfloat16
    remat: bool = False  # less memory for more time, see models/vit.py


@dataclasses.dataclass(frozen=True)
class Loss:
    """Cross-entropy, and of masks soft Dice beside it."""

    dice: float = 1.0  # weight of the soft Dice loss, masks only
    focal: float = 0.0  # exponent of the focal loss (Lin et al. 2017); 0: none
    class_weights: bool = False  # rare classes of images count more


@dataclasses.dataclass(frozen=True)
class Train:
    """Length, randomness and rhythm of a run."""

    epochs: float = 50.0
    fixed_steps: int = 0  # in place of epochs, for few labels; 0: epochs count
    seed: int = 0  # of order, augmentation, head and the choice of few labels
    log_every_steps: int = 10
    num_evaluations: int = 20  # on the validation part, each saved; evenly spread
    keep_last: int = 1  # checkpoints, beside the best
    best_metric: str = ""  # on the validation part; "": see `best_metric`
    max_skipped: int = 10  # steps in a row that are not finite
    fsdp: int = 1  # devices over which parameters and optimiser are cut


_AUGMENTATION = configs.Augmentation()
_OPTIMIZER = configs.Optimizer(learning_rate=1e-3, schedule="constant", clip_norm=1.0)


@dataclasses.dataclass(frozen=True)
class Finetune:
    """One run."""

    data: Data = Data()
    augmentation: configs.Augmentation = _AUGMENTATION
    model: Model = Model()
    loss: Loss = Loss()
    optimizer: configs.Optimizer = _OPTIMIZER
    train: Train = Train()


HEADS = {
    "classification": ("linear", "ordinal"),
    "segmentation": ("unet", "conv_unet", "linear"),
}
NO_AUGMENTATION = configs.Augmentation(
    flip_probability=0.0,
    rotation=0.0,
    scale=(1.0, 1.0),
    shift=0.0,
    elastic_probability=0.0,
    brightness=0.0,
    contrast=0.0,
    gamma=(1.0, 1.0),
    noise=0.0,
)

_COUNTS = {
    "data.size",
    "model.decoder_width",
    "model.hidden",
    "train.num_evaluations",
    "augmentation.elastic_knots",
}
_SHARES = {
    "augmentation.flip_probability",
    "augmentation.flip_rows_probability",
    "augmentation.shift",
    "augmentation.elastic_probability",
    "augmentation.brightness",
    "augmentation.contrast",
    "augmentation.least_box_share",
}
_PARTS = {"data.val_share", "data.test_share"}
_ABOVE_ZERO = {"train.epochs", "augmentation.scale", "augmentation.gamma"}
_NOT_NEGATIVE = {
    "augmentation.rotation",
    "augmentation.elastic_pixels",
    "augmentation.noise",
    "loss.dice",
    "loss.focal",
    "train.fixed_steps",
}
_RANGES = (
    (_COUNTS, "at least 1", lambda x: x >= 1),
    (_SHARES, "between 0 and 1", lambda x: 0 <= x <= 1),
    (_PARTS, "at least 0 and below 0.5", lambda x: 0 <= x < 0.5),
    (_ABOVE_ZERO, "above 0", lambda x: x > 0),
    (_NOT_NEGATIVE, "at least 0", lambda x: x >= 0),
)
_CHOICES = {
    "data.channels": (1, 3),
    "data.balance_by": ("none", "classes", "foreground"),
    "model.task": tuple(HEADS),
    "model.tuning": ("full_finetune", "linear_probe"),
}


def validate(config: Finetune) -> None:
    """Refuses values outside their range, and those that do not go together.

    Raises:
      ValueError: names the key, the value and what is allowed.
    """
    configs.check(config)
    configs.check(config, _RANGES, _CHOICES)
    model, data = config.model, config.data
    if model.head not in HEADS[model.task]:
        raise ValueError(
            f"model.head={model.head!r} must be one of "
            f"{', '.join(HEADS[model.task])} with model.task={model.task}"
        )
    for name in ("scale", "gamma"):
        low, high = getattr(config.augmentation, name)
        if low > high:
            raise ValueError(f"augmentation.{name}={low, high} must be rising")
    segments = model.task == "segmentation"
    for name, given, of_masks in (
        ("data.native", data.native, True),
        ("model.hidden", model.hidden, False),
        ("loss.class_weights", config.loss.class_weights, False),
    ):
        if given and segments != of_masks:
            task = "segmentation" if of_masks else "classification"
            raise ValueError(f"{name}={given} is for model.task={task}")
    if data.native and data.keep_aspect:
        raise ValueError("data.keep_aspect is of resized images: not with data.native")
    frozen = model.tuning == "linear_probe"
    settings = config.optimizer
    partly = model.lora_rank or settings.frozen_stages or settings.frozen_patches
    if frozen and partly:
        raise ValueError(
            "model.tuning=linear_probe freezes the whole encoder: not with "
            "model.lora_rank, optimizer.frozen_stages or optimizer.frozen_patches"
        )
    if frozen and model.head == "conv_unet":
        raise ValueError(
            "model.head=conv_unet trains a stem in front of the encoder's blocks: use "
            "model.tuning=full_finetune, model.lora_rank or model.head=linear"
        )


def best_metric(config: Finetune, multi_label: bool) -> str:
    """The metric of the validation part that the best checkpoint is kept by.

    Of any number of labels an image not the accuracy, which is best where rare ones are
    told of no image.
    """
    if config.train.best_metric:
        return config.train.best_metric
    if config.model.task == "segmentation":
        return "val_dice"
    return "val_auc" if multi_label else "val_accuracy"
