"""`pretrain --init MODEL`: a run's encoder begins with weights that there are."""

import dataclasses
import pathlib
from typing import Any, NamedTuple

import jax
import numpy as np

from lvmmed_jax import config as configs
from lvmmed_jax import encoders, planning
from lvmmed_jax.models import position
from lvmmed_jax.train import checkpoint, sharding, state
from lvmmed_jax.weights import exported, reading

_NUM_CHANNELS = 3


class Start(NamedTuple):
    """The weights that a run begins from.

    Attributes:
      variables: {"params", "batch_stats"} of its encoder, NumPy arrays.
      about: JSON values, saved with every checkpoint: `model`, as the user named it;
        `sha256`, of the file or of the checkpoint's files; `source` and `licence`, as
        the file has them; `tables`, see `planning.make`.
    """

    variables: dict[str, Any]
    about: dict[str, Any]


def read(model: str, config: configs.Config) -> Start:
    """The weights that `model` names, for a run with this config.

    Args:
      model: an exported file, a work folder or a checkpoint.
      config: of the run.

    Raises:
      FileNotFoundError: there is nothing of that name.
      ValueError: damaged, or of another encoder or input than the config's.
    """
    found, digest = weights(model)
    _check_same(model, found.about, config)
    start = start_of(model, found, digest)
    tables = _other_tables(model, start.variables, config)
    return start._replace(about={**start.about, "tables": tables})


def weights(model: str) -> tuple[exported.Exported, str]:
    """An encoder and the SHA-256 of the file or folder that it lies in.

    Args:
      model: an exported file, a work folder or a checkpoint.

    Raises:
      FileNotFoundError: there is nothing of that name.
      ValueError: it is damaged.
    """
    path = pathlib.Path(model)
    if path.is_file():
        return exported.read(path), reading.sha256(path)
    if encoders.is_run(path):
        found = encoders.export(path)
        return found, found.about["source"]["sha256"]
    raise FileNotFoundError(
        f"--init {model} is no exported file, work folder or checkpoint; `convert` "
        "makes such a file, and random weights have other words: see --help"
    )


def start_of(model: str, found: exported.Exported, digest: str) -> Start:
    """A start from weights that were read, whose position tables are as they are."""
    about = {
        "model": model,
        "sha256": digest,
        "source": found.about["source"],
        "licence": found.about["licence"],
        "tables": {},
    }
    return Start({"batch_stats": {}, **found.variables}, about)


def of_run(path: pathlib.Path) -> dict[str, Any] | None:
    """What a step that was saved, or a work folder's newest, says about its start.

    Args:
      path: a work folder, which may be new, or what `--replay` takes.
    """
    if checkpoint.is_checkpoint_folder(path):
        folder = path / checkpoint.FOLDER
        extra = checkpoint.newest_sound(folder, checkpoint.read_extra, _say_nothing)[1]
    elif path.name.isdigit() and path.is_dir():
        extra = checkpoint.read_extra(path)
    else:
        return None
    return extra.get("init")


def _say_nothing(line: str) -> None:
    """Reading the state will say it."""


def first_state(plan: planning.Plan, start: Start | None) -> state.TrainState:
    """The state in which a run begins; its moving averages begin with it."""
    first = planning.first_state(plan)
    if start is None:
        return first

    def replaced(model):
        params, model_state = model["params"], model["model_state"]
        put = sharding.put_as
        encoder = put(start.variables["params"], params["encoder"])
        statistics = put(start.variables["batch_stats"], model_state["batch_stats"])
        return {
            "params": {**params, "encoder": encoder},
            "model_state": {**model_state, "batch_stats": statistics},
        }

    model = {"params": first.params, "model_state": first.model_state}
    averaged = None if first.averaged is None else replaced(first.averaged)
    return dataclasses.replace(first, **replaced(model), averaged=averaged)


def text(about: dict[str, Any] | None) -> str:
    """A start in words."""
    if about is None:
        return "random weights"
    return f"{about['model']} (SHA-256 {about['sha256'][:12]})"


def _check_same(model: str, about: dict[str, Any], config: configs.Config) -> None:
    """Refuses weights of another encoder, or with other images, than a config has."""
    ours = {name: getattr(config.model, name) for name in about["encoder"]}
    if ours != about["encoder"]:
        flags = _flags("model", about["encoder"])
        raise ValueError(
            f"--init {model} is another encoder than the config's ({_few(ours)}): give "
            f"{flags}, or other weights"
        )
    given = {name: tuple(about["input"][name]) for name in ("mean", "std")}
    if len(given["mean"]) != _NUM_CHANNELS:
        raise ValueError(
            f"--init {model} takes images of {len(given['mean'])} channel(s); a run's "
            "are RGB: no flag changes that, give other weights"
        )
    ours = {name: getattr(config.data, name) for name in given}
    if not np.allclose([*ours.values()], [*given.values()], rtol=0, atol=1e-6):
        raise ValueError(
            f"--init {model} takes images with another normalisation than the "
            f"config's ({_few(ours)}): give {_flags('data', given)}"
        )


def table_shapes(variables: dict[str, Any]) -> dict[str, list[int]]:
    """The shapes of all position tables, see `position.with_tables`."""
    shapes = _shapes(variables["params"])
    return {
        name: list(shape)
        for name, shape in sorted(shapes.items())
        if name.rpartition("/")[2] in position.TABLES
    }


def _other_tables(
    model: str, variables: dict[str, Any], config: configs.Config
) -> dict[str, list[int]]:
    """The shapes of position tables that were made for images of another size.

    Raises:
      ValueError: another tree of parameters, or other shapes of anything else.
    """
    method = planning.make_method(config, sharding.make_mesh(1))
    abstract = jax.eval_shape(method.init, planning.key_of(config))
    ours = _shapes(
        {
            "params": abstract[0]["encoder"],
            "batch_stats": abstract[1]["batch_stats"],
        }
    )
    theirs = _shapes(variables)
    other = {name for name in theirs if theirs[name] != ours.get(name)}
    tables = {name for name in other & ours.keys() if _fits(name, ours, theirs)}
    wrong = sorted((other - tables) | (ours.keys() - theirs.keys()))
    if wrong:
        raise ValueError(
            f"--init {model} does not fit {config.model.encoder}: {len(wrong)} arrays "
            f"are missing, too many or of another shape, the first is {wrong[0]}"
        )
    return {name.removeprefix("params/"): list(theirs[name]) for name in sorted(tables)}


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    """Keys joined by "/" -> shape."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {"/".join(key.key for key in path): leaf.shape for path, leaf in leaves}


def _fits(name: str, ours: dict, theirs: dict) -> bool:
    """Whether an array is a table that is resized to any number of positions."""
    if name.rpartition("/")[2] not in position.TABLES:
        return False
    a, b = ours[name], theirs[name]
    return len(a) == len(b) and a[-1] == b[-1]


def _flags(section: str, values: dict[str, Any]) -> str:
    return " ".join(
        f"--{section}.{name}={_text(value)}" for name, value in values.items()
    )


def _few(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {_text(value)}" for name, value in values.items())


def _text(value: Any) -> str:
    """As the command line takes it: 0.5,0.5,0.5."""
    if isinstance(value, tuple):
        return ",".join(f"{number:g}" for number in value)
    return str(value)
