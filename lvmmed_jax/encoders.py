"""Frozen encoders: from a work folder, a checkpoint or `random:NAME` to features."""

import pathlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from lvmmed_jax import config as configs
from lvmmed_jax import views
from lvmmed_jax.methods import table, two_views
from lvmmed_jax.models import resnet
from lvmmed_jax.train import checkpoint, sharding, state, step

_BATCH = 32
_RANDOM = "random:"


class Encoder(NamedTuple):
    """A frozen encoder.

    Attributes:
      apply: (variables, images [B, H, W, 3] in [0, 1]) -> feature maps [B, R, S, D].
      variables: parameters and BatchNorm statistics.
      image_size: pixels a side of the views it was trained on.
      batch_statistics: (variables, images) -> the statistics of these images.
    """

    apply: Callable[[Any, jax.Array], jax.Array]
    variables: Any
    image_size: int
    batch_statistics: Callable[[Any, jax.Array], Any]


def load(model: str) -> Encoder:
    """The encoder that `model` names.

    Args:
      model: a work folder, one of its checkpoints, or `random:NAME`, e.g.
        `random:resnet50`, at the paper's settings.

    Raises:
      FileNotFoundError: no checkpoint there.
      ValueError: an unknown encoder, or a damaged checkpoint.
    """
    if model.startswith(_RANDOM):
        settings = configs.Model(encoder=model.removeprefix(_RANDOM))
        return random(configs.Config(model=settings))
    workdir, step = _locate(pathlib.Path(model))
    with checkpoint.Checkpoints(workdir) as checkpoints:
        config = configs.from_json(checkpoints.extra(step)["config"])
        saved = checkpoints.restore(_abstract_state(config), step)
    return _encoder(config, saved.params, saved.model_state)


def run_config(model: str) -> configs.Config | None:
    """The config of the run behind `model`; None for `random:NAME`."""
    if model.startswith(_RANDOM):
        return None
    workdir, step = _locate(pathlib.Path(model))
    with checkpoint.Checkpoints(workdir) as checkpoints:
        return configs.from_json(checkpoints.extra(step)["config"])


def random(config: configs.Config) -> Encoder:
    """The encoder with which a run of this config begins, bit for bit."""
    method = table.find(config.train.method).make_task(config, sharding.make_mesh(1))
    key = state.init_key(jax.random.key(config.train.seed))
    params, model_state = jax.jit(method.init)(key)
    return _encoder(config, params, model_state)


def calibrate(encoder: Encoder, images: np.ndarray) -> Encoder:
    """Gives a random encoder the BatchNorm statistics of some images.

    Untouched statistics (mean 0, variance 1) would make a random network look worse
    than it is: they are the mean over batches of `images`, and nothing is learned.

    Args:
      encoder: with BatchNorm.
      images: [n, H, W, 3] uint8.
    """
    statistics = jax.jit(encoder.batch_statistics)
    found = [
        statistics(encoder.variables, batch) for batch in _batches(images, pad=False)
    ]
    mean = jax.tree.map(lambda *leaves: sum(leaves) / len(leaves), *found)
    return encoder._replace(variables={**encoder.variables, "batch_stats": mean})


def feature_maps(encoder: Encoder, images: np.ndarray) -> np.ndarray:
    """Feature maps [n, R, S, D] float32 of uint8 images [n, H, W, 3]."""
    apply = jax.jit(encoder.apply)
    maps = [
        np.asarray(apply(encoder.variables, batch))
        for batch in _batches(images, pad=True)
    ]
    return np.concatenate(maps)[: len(images)]


def resize(image: np.ndarray, size: int) -> np.ndarray:
    """An image [H, W] or [H, W, 3] as RGB [size, size, 3]; the aspect is not kept."""
    picture = Image.fromarray(image).convert("RGB")
    return np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR))


def _batches(images: np.ndarray, *, pad: bool) -> Iterator[jax.Array]:
    """Batches of one shape in [0, 1]; a short last one is padded or left out."""
    for begin in range(0, len(images), _BATCH):
        batch = images[begin : begin + _BATCH]
        if len(batch) < _BATCH:
            if not pad and begin > 0:
                return
            batch = np.resize(batch, (_BATCH, *batch.shape[1:]))
        yield jnp.asarray(batch, jnp.float32) / 255


def _encoder(config: configs.Config, params: Any, model_state: Any) -> Encoder:
    """The encoder alone of what a method holds."""
    network = two_views.make_networks(config.model).encoder
    mean, std = config.data.mean, config.data.std

    def apply(variables, images):
        return network.apply(variables, views.normalise(images, mean, std), train=False)

    def batch_statistics(variables, images):
        old = variables["batch_stats"]
        _, new = network.apply(
            variables,
            views.normalise(images, mean, std),
            train=True,
            mutable=["batch_stats"],
        )
        kept = resnet.MOMENTUM
        return jax.tree.map(
            lambda a, b: (b - kept * a) / (1 - kept), old, new["batch_stats"]
        )

    variables = {
        "params": params["encoder"],
        "batch_stats": model_state["batch_stats"],
    }
    return Encoder(apply, variables, config.views.size, batch_statistics)


def _abstract_state(config: configs.Config) -> state.TrainState:
    """The shapes of the state that a run with this config saved, on one device."""
    mesh = sharding.make_mesh(1)
    method = table.find(config.train.method).make_task(config, mesh)
    tx, _ = step.make_optimizer(
        config.optimizer.learning_rate, config.optimizer.halve_at, config.train.steps
    )
    key = jax.random.key(config.train.seed)
    return state.abstract(method.init, tx, key, sharding.replicated(mesh))


def work_folder(model: str) -> pathlib.Path | None:
    """`model` as a work folder; None for a single checkpoint or `random:NAME`."""
    path = pathlib.Path(model)
    return path if checkpoint.is_checkpoint_folder(path) else None


def _locate(path: pathlib.Path) -> tuple[pathlib.Path, int | None]:
    """Work folder and step (None: the newest) of a work folder or a checkpoint."""
    path = path.absolute()
    if checkpoint.is_checkpoint_folder(path):
        return path, None
    if path.name.isdigit() and checkpoint.is_checkpoint_folder(path.parent.parent):
        return path.parent.parent, int(path.name)
    raise FileNotFoundError(
        f"{path} is no work folder with a checkpoint, no checkpoint, and not "
        "random:NAME (e.g. random:resnet50); `pretrain` makes work folders"
    )
