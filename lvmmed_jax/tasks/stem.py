"""The encoder of a downstream task: frozen, with additions, or trained whole."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from lvmmed_jax import config as configs
from lvmmed_jax import finetune_config, views
from lvmmed_jax.methods import encoding
from lvmmed_jax.models import encoder_table, low_rank, position


class Origin(NamedTuple):
    """What the encoder of `--init` is.

    Attributes:
      encoder: a row of `models/encoder_table.py`.
      width: see `config.Model`.
      mean: of RGB in [0, 1], by which its images are normalised; likewise `std`.
      std: see there.
      tables: shapes of its position tables, see `position.with_tables`.
    """

    encoder: str
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    tables: dict[str, list[int]]


class Target(NamedTuple):
    """What is to be told.

    Attributes:
      class_names: K; of masks the background is the first.
      multi_label: whether an image has any number of the classes.
      weights: of each class in the loss, or empty: all count the same.
    """

    class_names: tuple[str, ...]
    multi_label: bool = False
    weights: tuple[float, ...] = ()


def are_grades(names: tuple[str, ...]) -> bool:
    """Whether classes have an order, as whole numbers do."""
    return all(name.isdecimal() for name in names)


def from_json(origin: dict[str, Any], target: dict[str, Any]) -> tuple[Origin, Target]:
    """Both as a checkpoint has them: what were tuples are lists there."""
    given = {name: tuple(origin[name]) for name in ("mean", "std")}
    named = {name: tuple(target[name]) for name in ("class_names", "weights")}
    return Origin(**{**origin, **given}), Target(**{**target, **named})


class Task(NamedTuple):
    """What training and prediction need of a downstream task.

    Attributes:
      init: key -> (params, model_state), each with "encoder" or "batch_stats" of it.
      loss_fn: see `train.task.Task`.
      predict: (params, model_state, images uint8 [B, S, S, C]) -> probabilities
        [B, K], of masks [B, S, S, K].
    """

    init: Callable[[jax.Array], tuple[Any, Any]]
    loss_fn: Callable[..., tuple]
    predict: Callable[..., jax.Array]


class Stem(NamedTuple):
    """The encoder as functions.

    Attributes:
      settings: of the encoder, with what is trained of it.
      module: its Flax module.
      is_frozen: whether nothing of it is trained.
      frozen_stages: see `config.Optimizer`.
      origin: see there.
    """

    settings: configs.Model
    module: Any
    is_frozen: bool
    frozen_stages: int
    origin: Origin


def make(config: finetune_config.Finetune, origin: Origin) -> Stem:
    """The encoder that `--init` names, as the config trains it.

    Raises:
      ValueError: an encoder that does not exist.
    """
    model = config.model
    settings = configs.Model(
        encoder=origin.encoder,
        width=origin.width,
        dtype=model.dtype,
        remat=model.remat,
        lora_rank=model.lora_rank,
    )
    module = encoder_table.find(origin.encoder).make(
        origin.encoder, origin.width, jnp.dtype(model.dtype), model.remat
    )
    return Stem(
        settings,
        module,
        model.tuning == "linear_probe",
        config.optimizer.frozen_stages,
        origin,
    )


def init(stem: Stem, key: jax.Array, size: int) -> tuple[Any, Any]:
    """Parameters and statistics, of an encoder whose weights are put in afterwards."""
    made = stem.module.init(key, jnp.zeros((1, size, size, 3)), train=False)
    encoder = position.with_tables(made["params"], stem.origin.tables)
    params = {"encoder": encoder}
    if stem.settings.lora_rank:
        key = jax.random.fold_in(key, 1)
        params["lora"] = low_rank.init(key, encoder, stem.settings.lora_rank)
    return params, {"batch_stats": made.get("batch_stats", {})}


def normalise(stem: Stem, images: jax.Array) -> jax.Array:
    """[B, H, W, 3] in [0, 1] to what the encoder was trained on."""
    return views.normalise(images, stem.origin.mean, stem.origin.std)


def apply(
    stem: Stem,
    params: dict[str, Any],
    model_state: dict[str, Any],
    images: jax.Array,
    *,
    train: bool,
    stages: tuple[int, ...] = (),
) -> tuple[tuple[jax.Array, ...], Any]:
    """Feature maps of normalised images.

    A frozen encoder is as it is when it predicts: its BatchNorm neither takes the
    statistics of a batch nor changes those that it keeps.

    Args:
      stem: of `make`.
      params: {"encoder", perhaps "lora"}.
      model_state: {"batch_stats"}.
      images: [B, H, W, 3].
      train: whether it is a step of training.
      stages: whose maps are wanted; none: the last.

    Returns:
      The maps, and the new `batch_stats`.
    """
    encoder = encoding.encoder_params(params)
    if stem.is_frozen:
        encoder, train = jax.lax.stop_gradient(encoder), False
    before = model_state["batch_stats"]
    maps, updates = stem.module.apply(
        {"params": encoder, "batch_stats": before},
        images,
        train=train,
        stages=stages,
        frozen=stem.frozen_stages,
        mutable=["batch_stats"],
    )
    maps = maps if stages else (maps,)
    return maps, updates.get("batch_stats", before) if train else before
