"""Reads checkpoints; only committed steps count, and only what is as it was saved.

Saved together, under the number of the step: the model (parameters, model state, and
their moving averages), what training goes on with (optimiser, step, key), and JSON
values: the position in the data (the next global batch), the config, the input
normalisation, the last evaluation, and the digests of all this.
"""

import contextlib
import errno
import gc
import json
import math
import pathlib
import shutil
import warnings
from collections.abc import Callable
from typing import Any

import jax
from orbax.checkpoint import v1 as ocp

from lvmmed_jax.train import digest, state

FOLDER = "checkpoints"
DAMAGED_FOLDER = "damaged"  # beside it: checkpoints that could not be read
MORE_IS_BETTER = {  # the metrics by which a checkpoint can be the best
    "loss_no_noise": False,
    "matching_accuracy": True,
    "retrieval_accuracy": True,
    "knn_accuracy": True,
    "embedding_rank": True,
    "embedding_std": True,
    # of downstream tasks, on their validation part
    "val_dice": True,
    "val_accuracy": True,
    "val_balanced_accuracy": True,
    "val_auc": True,
    "val_kappa": True,
}
# says nothing about the checkpoint: too many files are open, a server does not answer
_PASSING = {errno.EACCES, errno.EMFILE, errno.ENFILE, errno.EIO, errno.ESTALE}


class DamagedError(ValueError):
    """A checkpoint that cannot be read whole."""


def committed_steps(folder: pathlib.Path) -> list[int]:
    """The steps whose save was finished, rising; none where there is no such folder."""
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        return []
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit())


def is_checkpoint_folder(workdir: pathlib.Path) -> bool:
    """Whether a run has saved at least one committed step in `workdir`."""
    return bool(committed_steps(pathlib.Path(workdir) / FOLDER))


def read_extra(path: pathlib.Path) -> dict[str, Any]:
    """The JSON values saved with a checkpoint.

    Args:
      path: the checkpoint, e.g. `workdir/checkpoints/400`.

    Raises:
      DamagedError: they are not what was saved.
    """
    about = _load(path, {"extra": None})["extra"]
    if isinstance(about, dict) and "json" not in about:
        raise DamagedError(f"{path} was written by an older version")
    try:
        values = json.loads(about["json"])
        whole = digest.of_json(values) == about["sha256"]
    except (ValueError, KeyError, TypeError):
        whole = False
    if not whole:
        raise DamagedError(f"{path} is damaged: its settings are not those saved")
    return values


def restore(
    path: pathlib.Path,
    abstract: state.TrainState,
    check: Callable[[dict[str, Any]], None] | None = None,
) -> tuple[state.TrainState, dict[str, Any]]:
    """A saved state in the shapes and shardings of `abstract`, and its JSON values.

    Args:
      path: the checkpoint.
      abstract: shapes and shardings.
      check: takes the JSON values before any array is read; may raise.

    Raises:
      DamagedError: the checkpoint is not what was saved, or holds other arrays.
    """
    extra = read_extra(path)
    if check is not None:
        check(extra)
    found = _load_verified(path, parts(abstract), extra)
    averaged = found.get("averaged")
    return state.TrainState(
        **found["model"], **found["training"], averaged=averaged
    ), extra


def restore_model(
    path: pathlib.Path,
    extra: dict[str, Any],
    abstract: dict[str, Any],
    averages: bool,
) -> Any:
    """Only the model of a checkpoint, {"params", "model_state"}.

    Args:
      path: the checkpoint.
      extra: its JSON values, of `read_extra`.
      abstract: its shapes and shardings.
      averages: takes the moving averages.

    Raises:
      DamagedError: the checkpoint is not what was saved, or holds other arrays.
    """
    name = "averaged" if averages else "model"
    return _load_verified(path, {name: abstract}, extra)[name]


def newest_sound(
    folder: pathlib.Path,
    read: Callable[[pathlib.Path], Any],
    say: Callable[[str], None],
) -> tuple[int, Any]:
    """The newest checkpoint that can be read; says which ones cannot.

    Args:
      folder: of checkpoints, one at least.
      read: path of a checkpoint -> what is wanted of it.
      say: takes a line for each damaged one.

    Returns:
      Its step, and what `read` returned.

    Raises:
      ValueError: all are damaged.
    """
    for step in reversed(committed_steps(folder)):
        try:
            return step, read(folder / str(step))
        except DamagedError as error:
            if not (folder / str(step)).exists():  # a run has newer ones by now
                return newest_sound(folder, read, say)
            say(f"{error}; going back to the checkpoint before it")
    raise ValueError(f"every checkpoint in {folder} is damaged")


def set_aside(folder: pathlib.Path, after: int) -> None:
    """Moves checkpoints of later steps out of the way of a run that goes on at `after`.

    They are kept in `DAMAGED_FOLDER`, beside `folder`.
    """
    for step in committed_steps(folder):
        if step > after:
            target = folder.parent / DAMAGED_FOLDER / str(step)
            shutil.rmtree(target, ignore_errors=True)
            target.parent.mkdir(exist_ok=True)
            (folder / str(step)).rename(target)


def best_step(folder: pathlib.Path, metric: str) -> tuple[int, float] | None:
    """The kept step that was best in a metric, with its value; None: none has it."""
    found = []
    for step in committed_steps(folder):
        with contextlib.suppress(DamagedError):
            value = (read_extra(folder / str(step))["metrics"] or {}).get(metric)
            if value is not None and math.isfinite(value):
                found.append((step, value))
    choose = max if MORE_IS_BETTER[metric] else min
    return choose(found, key=lambda pair: pair[1], default=None)


def parts(train_state: state.TrainState) -> dict[str, Any]:
    """The parts of a state that can be loaded one without the other."""
    model = {"params": train_state.params, "model_state": train_state.model_state}
    names = ("step", "opt_state", "key", "skipped", "held")
    items = {
        "model": model,
        "training": {name: getattr(train_state, name) for name in names},
    }
    if train_state.averaged is not None:
        items["averaged"] = train_state.averaged
    return items


def _load_verified(path, abstract, extra) -> dict[str, Any]:
    found = _load(path, abstract)
    for name, tree in found.items():
        saved, read = extra["digests"].get(name, {}), digest.of_arrays(tree)
        wrong = [leaf for leaf, sums in read.items() if saved.get(leaf) != sums]
        if _forms(tree) != _forms(abstract[name]):
            raise DamagedError(f"{path} is damaged: {name} holds arrays of other forms")
        if wrong:
            raise DamagedError(
                f"{path} is damaged: {len(wrong)} of {len(read)} arrays are not those "
                f"saved, the first is {name}{wrong[0]}"
            )
    return found


def _forms(tree: Any) -> list[tuple]:
    return [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(tree)]


def _load(path: pathlib.Path, abstract: dict[str, Any]) -> dict[str, Any]:
    try:
        return ocp.load_checkpointables(pathlib.Path(path).absolute(), abstract)
    except Exception as error:  # orbax wraps every cause in one of many types
        cause = error.__cause__ or error
        passing = isinstance(cause, OSError) and cause.errno in _PASSING
        if passing or isinstance(cause, MemoryError):
            raise cause from None
        lines = str(cause).strip().splitlines() or [type(cause).__name__]
        del cause
    with warnings.catch_warnings():  # it leaves coroutines that were never awaited
        warnings.simplefilter("ignore", RuntimeWarning)
        gc.collect()
    raise DamagedError(f"{path} is damaged: it cannot be read ({lines[0][:80]})")
