"""Frozen encoders: of work folders, checkpoints, exported files, `random:NAME`."""

import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from lvmmed_jax import config as configs
from lvmmed_jax import planning, views
from lvmmed_jax.methods import two_views
from lvmmed_jax.models import encoder_table, resnet
from lvmmed_jax.train import checkpoint, processes, sharding, state
from lvmmed_jax.train import digest as digests
from lvmmed_jax.weights import exported, runs

_BATCH = 32
_NUM_CHANNELS = 3
_RANDOM = "random:"


class Encoder(NamedTuple):
    """A frozen encoder.

    Attributes:
      apply: (variables, images [B, H, W, 3] in [0, 1], stages) -> feature maps
        [B, R, S, D]; with stages, numbers of the encoder's, a tuple of their maps.
      variables: parameters and BatchNorm statistics.
      image_size: pixels a side of the views it was trained on.
      stride: pixels of an image a cell of its maps.
      pool: as `apply`, to the means over the cells of the maps, [B, D].
      batch_statistics: (variables, images) -> the statistics of these images.
      mean, std: by which `apply` normalises, a channel.
    """

    apply: Callable[..., Any]
    variables: Any
    image_size: int
    stride: int
    pool: Callable[[Any, jax.Array], jax.Array]
    batch_statistics: Callable[[Any, jax.Array], Any]
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()


class Resized:
    """Images of any size as [n, S, S, 3], resized when some are asked for."""

    def __init__(self, images: Sequence[np.ndarray], size: int):
        """Of n images [H, W] or [H, W, 3], to S = size pixels a side."""
        self._images, self._size = images, size

    def __len__(self) -> int:
        """The number n."""
        return len(self._images)

    def __getitem__(self, rows: slice) -> np.ndarray:
        """These rows, [m, S, S, 3] uint8."""
        return np.stack([resize(image, self._size) for image in self._images[rows]])


def load(model: str) -> Encoder:
    """The encoder that `model` names.

    Args:
      model: a work folder, one of its checkpoints, an exported file, or `random:NAME`,
        e.g. `random:resnet50`, at the paper's settings.

    Raises:
      FileNotFoundError: no checkpoint there.
      ValueError: an unknown encoder, or a damaged checkpoint or file.
    """
    path = pathlib.Path(model)
    if path.is_file():
        found = exported.read(path)
        return of_variables(_exported_config(path), found.variables)
    if model.startswith(_RANDOM):
        settings = configs.Model(encoder=model.removeprefix(_RANDOM))
        return random(configs.Config(model=settings))
    return _newest(pathlib.Path(model), _read, processes.warn)


def _read(path: pathlib.Path) -> Encoder:
    extra = checkpoint.read_extra(path)
    config = _config_of(path, extra)
    averages = config.optimizer.ema_decay is not None
    abstract = _abstract_model(config, (extra.get("init") or {}).get("tables"))
    return of_model(config, checkpoint.restore_model(path, extra, abstract, averages))


def _read_config(path: pathlib.Path) -> configs.Config:
    return _config_of(path, checkpoint.read_extra(path))


def _config_of(path: pathlib.Path, extra: dict[str, Any]) -> configs.Config:
    """The config of a checkpoint of `pretrain`; others are refused."""
    if "kind" in extra:
        raise ValueError(
            f"{path} is of `{extra['kind']}`: it predicts (`predict`, `evaluate --task "
            "classification` or `segmentation`) and is no encoder alone"
        )
    return configs.from_json(extra["config"])


def run_config(model: str) -> configs.Config | None:
    """The config of the run behind `model`; None for `random:NAME`.

    Weights of others have the defaults beside their own encoder and input.
    """
    if pathlib.Path(model).is_file():
        return _exported_config(pathlib.Path(model))
    if model.startswith(_RANDOM):
        return None
    return _newest(pathlib.Path(model), _read_config, _silent)


def step(workdir: pathlib.Path) -> int:
    """The step of a work folder's newest sound checkpoint, which `load` takes."""
    return _newest(workdir, lambda path: (_read(path), int(path.name))[1], _silent)


def is_run(path: pathlib.Path) -> bool:
    """Whether `path` is a work folder with a checkpoint, or a checkpoint."""
    return checkpoint.is_checkpoint_folder(path) or _is_checkpoint(path.absolute())


def export(path: pathlib.Path) -> exported.Exported:
    """The encoder of a work folder's newest sound checkpoint, or of a checkpoint."""

    def read(path):
        return path, checkpoint.read_extra(path), _read(path)

    path, extra, encoder = _newest(path, read, processes.warn)
    config = _config_of(path, extra)
    return exported.Exported(
        jax.device_get(encoder.variables), runs.about(path, config, extra.get("init"))
    )


def _exported_config(path: pathlib.Path) -> configs.Config:
    about = exported.read_about(path)
    config = (
        configs.Config() if about["run"] is None else configs.from_json(about["run"])
    )
    given = about["input"]
    if len(given["mean"]) != _NUM_CHANNELS:
        raise ValueError(
            f"{path} takes images of {len(given['mean'])} channels; here they are RGB"
        )
    return configs.override(
        config,
        {f"model.{name}": value for name, value in about["encoder"].items()}
        | {f"data.{name}": tuple(given[name]) for name in ("mean", "std")}
        | {"views.size": given["size"]},
    )


def random(config: configs.Config) -> Encoder:
    """The encoder with which a run of this config begins, bit for bit."""
    method = planning.make_method(config, sharding.make_mesh(1))
    key = state.init_key(jax.random.key(config.train.seed))
    params, model_state = jax.jit(method.init)(key)
    return of_model(config, {"params": params, "model_state": model_state})


def calibrate(encoder: Encoder, images: np.ndarray | Resized) -> Encoder:
    """Gives a random encoder the BatchNorm statistics of some images.

    Untouched statistics (mean 0, variance 1) would make a random network look worse
    than it is: they are the mean over batches of `images`, and nothing is learned.

    Args:
      encoder: one without BatchNorm is returned as it is.
      images: [n, H, W, 3] uint8.
    """
    if not encoder.variables["batch_stats"]:
        return encoder
    statistics = jax.jit(encoder.batch_statistics)
    found = [
        statistics(encoder.variables, batch) for batch in _batches(images, pad=False)
    ]
    mean = jax.tree.map(lambda *leaves: sum(leaves) / len(leaves), *found)
    return encoder._replace(variables={**encoder.variables, "batch_stats": mean})


def digest(encoder: Encoder) -> str:
    """A hash that differs where parameters or normalisation do."""
    sums = digests.of_arrays(encoder.variables)
    return digests.of_json([sums, encoder.mean, encoder.std])


def feature_maps(encoder: Encoder, images: np.ndarray | Resized) -> np.ndarray:
    """Feature maps [n, R, S, D] float32 of uint8 images [n, H, W, 3]."""
    return _applied(encoder.apply, encoder.variables, images)


def pooled_features(encoder: Encoder, images: np.ndarray | Resized) -> np.ndarray:
    """Their means over the cells, [n, D] float32."""
    return _applied(encoder.pool, encoder.variables, images)


def _applied(function, variables, images: np.ndarray | Resized) -> np.ndarray:
    apply = jax.jit(function)
    parts = [
        np.asarray(apply(variables, batch)) for batch in _batches(images, pad=True)
    ]
    return np.concatenate(parts)[: len(images)]


def resize(image: np.ndarray, size: int) -> np.ndarray:
    """An image [H, W] or [H, W, 3] as RGB [size, size, 3]; the aspect is not kept."""
    picture = Image.fromarray(image).convert("RGB")
    return np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR))


def _batches(images: np.ndarray | Resized, *, pad: bool) -> Iterator[jax.Array]:
    """Batches of one shape in [0, 1]; a short last one is padded or left out."""
    for begin in range(0, len(images), _BATCH):
        batch = images[begin : begin + _BATCH]
        if len(batch) < _BATCH:
            if not pad and begin > 0:
                return
            batch = np.resize(batch, (_BATCH, *batch.shape[1:]))
        yield jnp.asarray(batch, jnp.float32) / 255


def of_model(config: configs.Config, model: dict[str, Any]) -> Encoder:
    """The encoder alone of what a method holds.

    Args:
      config: of the run.
      model: {"params", "model_state"}.
    """
    return of_variables(config, variables_of(model))


def of_variables(config: configs.Config, variables: Any) -> Encoder:
    """The encoder that a config describes, with these variables."""
    network = two_views.make_networks(config.model).encoder
    mean, std = config.data.mean, config.data.std

    def apply(variables, images, stages=()):
        images = views.normalise(jnp.asarray(images), mean, std)
        return network.apply(variables, images, train=False, stages=stages)

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

    def pool(variables, images):
        return jnp.mean(apply(variables, images), axis=(1, 2))

    return Encoder(
        apply,
        {"batch_stats": {}, **variables},
        config.views.size,
        encoder_table.find(config.model.encoder).stride,
        pool,
        batch_statistics,
        tuple(mean),
        tuple(std),
    )


def variables_of(model: dict[str, Any]) -> dict[str, Any]:
    """The parameters and BatchNorm statistics of the plain encoder in a model."""
    return {
        "params": two_views.encoder_params(model["params"]),
        "batch_stats": model["model_state"]["batch_stats"],
    }


def _abstract_model(
    config: configs.Config, tables: dict[str, list[int]] | None
) -> dict[str, Any]:
    """The shapes of the model that a run with this config saved, on one device."""
    mesh = sharding.make_mesh(1)
    method = planning.make_method(config, mesh, tables)
    params, model_state = state.shapes(
        method.init, jax.random.key(config.train.seed), mesh
    )
    return {"params": params, "model_state": model_state}


def work_folder(model: str) -> pathlib.Path | None:
    """`model` as a work folder; None for a single checkpoint or `random:NAME`."""
    path = pathlib.Path(model)
    return path if checkpoint.is_checkpoint_folder(path) else None


def _newest(path: pathlib.Path, read: Callable, say: Callable[[str], None]) -> Any:
    """What `read` finds in a checkpoint; in a work folder, in the newest sound one."""
    path = path.absolute()
    if checkpoint.is_checkpoint_folder(path):
        return checkpoint.newest_sound(path / checkpoint.FOLDER, read, say)[1]
    if _is_checkpoint(path):
        return read(path)
    raise FileNotFoundError(
        f"{path} is no work folder with a checkpoint, no checkpoint, no file, and not "
        "random:NAME (e.g. random:resnet50); `pretrain` makes work folders"
    )


def _silent(text: str) -> None:
    """For what has been said before."""


def _is_checkpoint(path: pathlib.Path) -> bool:
    return path.name.isdigit() and int(path.name) in checkpoint.committed_steps(
        path.parent
    )
