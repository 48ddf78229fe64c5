"""A run's settings: frozen dataclasses, the only place with a run's defaults.

The defaults are the paper's values (section and table in each comment; "project" where
the paper is silent and the README's "Differences from the paper" says why).
"""

import ast
import dataclasses
import difflib
import json
from collections.abc import Sequence
from typing import Any

from lvmmed_jax import method_config


@dataclasses.dataclass(frozen=True)
class Data:
    """What the device is fed."""

    global_batch: int = 3072  # images a step; paper 3200 does not cut into graphs
    num_workers: int = 4  # decoding processes; 0 decodes in the main process
    balance: float = 0.0  # of modalities: 0 as they are, 1 gives all the same share
    weights: str = ""  # how often records of a source come: "chest=2,brain=0.5"
    most_repeats: int = 20  # of a record in an epoch, by balance and weights
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)  # of RGB in [0, 1]; ImageNet's
    std: tuple[float, ...] = (0.229, 0.224, 0.225)


@dataclasses.dataclass(frozen=True)
class Views:
    """Random views of an image (section 4.1: crop, flip, jitter, blur, as VICRegL)."""

    size: int = 224  # pixels a side
    crop_area: tuple[float, float] = (0.08, 1.0)  # share of the image's area
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)  # width over height
    flip_probability: float = 0.5  # horizontal; locations are flipped along
    jitter_probability: float = 0.8
    brightness: float = 0.4  # factor drawn from 1 - b to 1 + b; likewise the next two
    contrast: float = 0.4
    saturation: float = 0.2  # colour data only
    hue: float = 0.1  # share of a full turn, colour data only
    blur_probability: float = 0.5
    blur_sigma: tuple[float, float] = (0.1, 2.0)  # pixels of the view
    solarise_probability: float = 0.0  # of the second view; BYOL and after: 0.2
    small_crops: int = 0  # further views of another size, for methods that take them
    small_size: int = 96  # pixels a side; likewise the next: SwAV's multi-crop
    small_crop_area: tuple[float, float] = (0.05, 0.14)


@dataclasses.dataclass(frozen=True)
class Model:
    """Encoder, projector and message passing (appendix A)."""

    encoder: str = "resnet50"  # a row of models/encoder_table.py
    width: int = 64  # of a ResNet's first stage; others: published widths * width / 64
    dtype: str = "float32"  # of the encoder's activations; or bfloat16
    remat: bool = False  # less memory for more time, see models/vit.py
    lora_rank: int = 0  # of a ViT's additions, trained in its place; 0: none
    projection_width: int = 128  # F
    projection_hidden: int = 0  # width of a hidden layer before it; 0: linear
    message_passing_layers: int = 2
    skip: bool = True  # add the projection back after message passing; project


@dataclasses.dataclass(frozen=True)
class Matching:
    """Graphs, affinities, noise and the gradient rule (section 3.2, appendix A)."""

    graph_size: int = 16  # N, images a graph
    num_neighbours: int = 5  # k, from 1 to N - 1
    alpha: float = 0.8  # weight of the global vertex affinity against the local
    edge_weight: float = 1.0  # of c^e and its noise; project; 0: no second order
    num_cells: int = 20  # gamma, cell pairs kept of each kind; project
    symmetric: bool = False  # edges in both directions where one has k-NN; project
    noise: str = "gumbel"  # or sum_of_gamma, margin, none: matching/perturbation.py
    sigma: float = 1.0  # scale of the noise, or the margin
    sigma_edges: float | None = None  # of the noise on edges; None: sigma
    num_perturbations: int = 1  # noise samples a graph and step
    rule: str = "imle"  # or fenchel_young, sinkhorn: the loss and its gradient
    interpolation: float = 80.0  # lambda of rule imle
    temperature: float = 0.1  # of rule sinkhorn; project
    num_starts: int | None = None  # of the tabu search; None: by N, see Solver
    num_steps: int | None = None
    beside: float = 0.0  # weight of the matching loss beside another train.method's


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """Adam with a learning rate that is halved (section 4.1)."""

    name: str = "adam"  # or adamw, sgd, lars, lamb: train/optimizer.py
    learning_rate: float = 2e-3
    schedule: str = "halved"  # or cosine, constant
    halve_at: tuple[float, ...] = (0.2, 0.4, 0.6, 0.8)  # shares of the run; project
    warmup: float = 0.0  # share of the run with a rising rate
    momentum: float = 0.9  # of sgd and lars
    weight_decay: float = 0.0  # of all but adam, on kernels only
    clip_norm: float | None = None  # largest global norm of a gradient
    accumulate: int = 1  # parts of a batch, one after another, for one update
    ema_decay: float | None = None  # of averaged weights, which are evaluated then
    layer_decay: float = 1.0  # the rate of a block of the encoder against the next one
    frozen_stages: int = 0  # of the encoder, with its stem; of a ViT: blocks
    frozen_patches: bool = False  # a ViT's projection of patches stays (MoCo-v3)


@dataclasses.dataclass(frozen=True)
class Train:
    """Length, randomness and rhythm of a run."""

    method: str = "graph_matching"  # a row of methods/table.py
    steps: int = 42_300  # 100 epochs of 1.3 million images in batches of 3072
    seed: int = 0
    log_every_steps: int = 10
    evaluate_every_steps: int = 100
    num_evaluation_images: int = 512  # fixed graphs for the noise-free metrics
    knn_every_epochs: float = 1.0  # on-line k-NN, where --knn-data is given
    checkpoint_every_steps: int = 500
    keep_last: int = 2  # checkpoints
    best_metric: str = "loss_no_noise"  # the checkpoint best in it is kept too
    max_skipped: int = 10  # steps in a row that are not finite
    fsdp: int = 1  # devices over which parameters and optimiser are cut


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Random changes of labelled training images; project. Zero switches one off."""

    flip_probability: float = 0.5  # left and right
    flip_rows_probability: float = 0.0  # top and bottom
    rotation: float = 15.0  # degrees, drawn from -r to r; must be 0 with boxes
    scale: tuple[float, float] = (0.8, 1.25)  # of the content, about the centre
    shift: float = 0.05  # share of the side, drawn from -s to s, in rows and columns
    elastic_probability: float = 0.3  # must be 0 with boxes
    elastic_pixels: float = 6.0  # standard deviation of the displacement's knots
    elastic_knots: int = 6  # along a side; fewer bend more smoothly
    brightness: float = 0.2  # factor drawn from 1 - b to 1 + b; likewise the next
    contrast: float = 0.2
    gamma: tuple[float, float] = (0.8, 1.25)  # exponent, drawn in its logarithm
    noise: float = 0.02  # largest standard deviation, of [0, 1]
    least_box_share: float = 0.2  # of its area; what is left of a box that is cut


@dataclasses.dataclass(frozen=True)
class Config:
    """One run."""

    data: Data = Data()
    views: Views = Views()
    model: Model = Model()
    matching: Matching = Matching()
    simclr: method_config.SimCLR = method_config.SimCLR()
    moco: method_config.MoCo = method_config.MoCo()
    moco_v3: method_config.MoCoV3 = method_config.MoCoV3()
    barlow_twins: method_config.BarlowTwins = method_config.BarlowTwins()
    vicreg: method_config.VICReg = method_config.VICReg()
    vicregl: method_config.VICRegL = method_config.VICRegL()
    swav: method_config.SwAV = method_config.SwAV()
    deepcluster: method_config.DeepCluster = method_config.DeepCluster()
    dino: method_config.DINO = method_config.DINO()
    mae: method_config.MAE = method_config.MAE()
    supervised: method_config.Supervised = method_config.Supervised()
    optimizer: Optimizer = Optimizer()
    train: Train = Train()


_DEFAULT = Config()
_AT_LEAST_ONE = {
    "data.global_batch",
    "data.most_repeats",
    "views.size",
    "views.small_size",
    "model.width",
    "model.projection_width",
    "matching.graph_size",
    "matching.num_neighbours",
    "matching.num_cells",
    "matching.num_starts",
    "matching.num_steps",
    "matching.num_perturbations",
    "train.steps",
    "train.log_every_steps",
    "train.evaluate_every_steps",
    "train.num_evaluation_images",
    "train.checkpoint_every_steps",
    "train.keep_last",
    "train.max_skipped",
    "train.fsdp",
    "optimizer.accumulate",
    *method_config.AT_LEAST_ONE,
}
_ANY_LENGTH = {"optimizer.halve_at": float, "model.hidden": int}  # tuples, of these
_OPTIONAL = {  # may be None, else this
    "matching.num_starts": int,
    "matching.num_steps": int,
    "matching.sigma_edges": float,
    "optimizer.clip_norm": float,
    "optimizer.ema_decay": float,
}
_CHOICES = {
    "model.dtype": ("float32", "bfloat16"),
    "matching.noise": ("gumbel", "sum_of_gamma", "margin", "none"),
    "matching.rule": ("imle", "fenchel_young", "sinkhorn"),
    "optimizer.name": ("adam", "adamw", "sgd", "lars", "lamb"),
    "optimizer.schedule": ("halved", "cosine", "constant"),
}
_SHARES = {
    "data.balance",
    "views.flip_probability",
    "views.jitter_probability",
    "views.blur_probability",
    "views.solarise_probability",
    "views.brightness",
    "views.contrast",
    "views.saturation",
    "views.hue",
    "matching.alpha",
    "optimizer.halve_at",
    "optimizer.warmup",
    "optimizer.momentum",
    "optimizer.ema_decay",
    "optimizer.layer_decay",
    *method_config.SHARES,
}
_POSITIVE = {
    "data.std",
    "views.crop_area",
    "views.small_crop_area",
    "views.crop_ratio",
    "views.blur_sigma",
    "matching.interpolation",
    "matching.temperature",
    "optimizer.learning_rate",
    "optimizer.clip_norm",
    "optimizer.layer_decay",
    "train.knn_every_epochs",
    *method_config.POSITIVE,
}
_CHANGE_NO_NUMBER = {
    "data.num_workers",
    "train.log_every_steps",
    "train.evaluate_every_steps",
    "train.knn_every_epochs",
    "train.checkpoint_every_steps",
    "train.keep_last",
    "train.best_metric",
    "train.max_skipped",
    "train.fsdp",
}
_NOT_NEGATIVE = {
    "data.num_workers",
    "views.small_crops",
    "model.lora_rank",
    "model.message_passing_layers",
    "matching.beside",
    "matching.sigma",
    "matching.sigma_edges",
    "matching.edge_weight",
    "model.projection_hidden",
    "optimizer.weight_decay",
    "optimizer.frozen_stages",
    "train.seed",
    *method_config.NOT_NEGATIVE,
}

_RANGES = (
    (_AT_LEAST_ONE, "at least 1", lambda x: x >= 1),
    (_SHARES, "between 0 and 1", lambda x: 0 <= x <= 1),
    (_POSITIVE, "above 0", lambda x: x > 0),
    (_NOT_NEGATIVE, "at least 0", lambda x: x >= 0),
)


def override(config: Any, overrides: dict[str, Any]) -> Any:
    """Replaces fields by their names, e.g. `{"train.steps": 100}`.

    Args:
      config: a run's settings: a `Config`, or another dataclass of such sections.
      overrides: "section.key" -> value; a string is read as a Python literal where the
        field is not a string.

    Raises:
      ValueError: no such section or key (the nearest is named), or a value that does
        not have the field's type.
    """
    for name, value in overrides.items():
        section, _, key = name.partition(".")
        _check_known(section, config, f"config section {section!r} in {name!r}")
        group = getattr(config, section)
        _check_known(key, group, f"config key {name!r}", prefix=f"{section}.")
        value = _parse(name, value, getattr(group, key))
        group = dataclasses.replace(group, **{key: value})
        config = dataclasses.replace(config, **{section: group})
    return config


def validate(config: Config) -> None:
    """Refuses values outside their range.

    Raises:
      ValueError: names the key, the value and what is allowed.
    """
    check(config)
    for name in ("crop_area", "small_crop_area", "crop_ratio", "blur_sigma"):
        low, high = getattr(config.views, name)
        if low > high or (name.endswith("crop_area") and high > 1):
            raise ValueError(f"views.{name}={low, high} must be two rising numbers")
    size, neighbours = config.matching.graph_size, config.matching.num_neighbours
    if neighbours >= size:
        raise ValueError(
            f"matching.num_neighbours={neighbours} must be below "
            f"matching.graph_size={size}"
        )


def check(
    config: Any,
    ranges: Sequence[tuple] = _RANGES,
    choices: dict[str, tuple] = _CHOICES,
) -> None:
    """Refuses values of fields that tables know, in a config of any sections.

    Args:
      config: the settings, with the sections `optimizer` and `train`.
      ranges: (names of fields, what is allowed in words, value -> whether it is).
      choices: name of a field -> its values.

    Raises:
      ValueError: names the key, the value and what is allowed.
    """
    for name, value in _flatten(dataclasses.asdict(config)).items():
        values = value if isinstance(value, tuple) else (value,)
        values = [one for one in values if one is not None]
        for names, allowed, fits in ranges:
            if name in names and not all(map(fits, values)):
                raise ValueError(f"{name}={value} must be {allowed}")
        if value not in choices.get(name, (value,)):
            known = ", ".join(map(str, choices[name]))
            raise ValueError(f"{name}={value!r} must be one of {known}")
    if config.optimizer.weight_decay and config.optimizer.name == "adam":
        raise ValueError(
            f"optimizer.weight_decay={config.optimizer.weight_decay} needs "
            "optimizer.name=adamw, sgd, lars or lamb: adam has none"
        )
    if config.optimizer.ema_decay == 1:
        raise ValueError("optimizer.ema_decay=1 must be below 1: nothing would change")
    if config.train.seed >= 2**31:
        raise ValueError(f"train.seed={config.train.seed} must be below 2^31")


def as_json(config: Any) -> dict:
    """The config as JSON reads it back: tuples are lists."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def from_json(nested: dict, default: Any = _DEFAULT) -> Any:
    """The config of a nested dict, as `as_json` wrote it, of the kind of `default`."""
    return override(default, _flatten(nested))


def differences(ours: dict, theirs: dict, default: Any = _DEFAULT) -> list[str]:
    """Lines "section.key: ours, theirs" for the fields in which two runs differ.

    Fields that change no number of a run (workers, intervals) may differ; one that an
    older version did not have counts as its default.

    Args:
      ours: nested dict, see `as_json`.
      theirs: the same of the other run.
      default: of their kind.
    """
    defaults = _flatten(as_json(default))
    ours, theirs = defaults | _flatten(ours), defaults | _flatten(theirs)
    return [
        f"{name}: {ours.get(name, 'absent')!r}, there {theirs.get(name, 'absent')!r}"
        for name in sorted((ours.keys() | theirs.keys()) - _CHANGE_NO_NUMBER)
        if ours.get(name) != theirs.get(name)
    ]


def _flatten(nested: dict) -> dict[str, Any]:
    return {
        f"{section}.{key}": value
        for section, group in nested.items()
        for key, value in group.items()
    }


def _check_known(name: str, group: Any, what: str, prefix: str = "") -> None:
    known = [field.name for field in dataclasses.fields(group)]
    if name in known:
        return
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {prefix + near[0]!r}?" if near else f"known: {known}"
    raise ValueError(f"unknown {what}; {hint}")


def _parse(name: str, value: Any, current: Any) -> Any:
    """`value` as the type of the field's present value, or None where it may be."""
    wanted = _OPTIONAL.get(name, type(current))
    if isinstance(value, str) and wanted is not str:
        try:
            value = ast.literal_eval(value)
        except (ValueError, TypeError, SyntaxError):
            raise ValueError(f"{name}={value!r} is not a {wanted.__name__}") from None
    if wanted is float and type(value) is int:
        value = float(value)
    if isinstance(current, tuple) and isinstance(value, list | tuple):
        numbers = all(isinstance(entry, int | float) for entry in value)
        if not numbers or (len(value) != len(current) and name not in _ANY_LENGTH):
            raise ValueError(f"{name}={value!r} must be {len(current)} numbers")
        return tuple(map(_ANY_LENGTH.get(name, float), value))
    if type(value) is not wanted and not (value is None and name in _OPTIONAL):
        raise ValueError(f"{name}={value!r} is not a {wanted.__name__}")
    return value
