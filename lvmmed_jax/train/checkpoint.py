"""Checkpoints: a whole run in one asynchronous Orbax save; only committed steps count.

Saved together: the training state (parameters, model state, optimiser, step, key), the
position in the data (the next global batch), the config and the input normalisation.
"""

import contextlib
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

from orbax.checkpoint import v1 as ocp

from lvmmed_jax.train import state

FOLDER = "checkpoints"
KEEP_LAST = 2


class Checkpoints:
    """The checkpoints of one work folder; use as a context manager.

    Leaving the context waits for a save under way.
    """

    def __init__(self, workdir: pathlib.Path):
        """Opens `workdir`/checkpoints, which is made with the first save."""
        policies = ocp.training.preservation_policies
        self._folder = pathlib.Path(workdir).absolute() / FOLDER
        self._checkpointer = ocp.training.Checkpointer(
            self._folder, preservation_policy=policies.LatestN(KEEP_LAST)
        )
        self._under_way = None

    def __enter__(self) -> "Checkpoints":
        """Returns itself."""
        return self

    def __exit__(self, *exception: Any) -> None:
        """Waits for a save under way; one that failed leaves nothing behind.

        Raises:
          OSError: the save under way failed.
        """
        try:
            with self._errors_told():
                self._wait()
        finally:
            with contextlib.suppress(Exception):  # what failed is already told
                self._checkpointer.close()
            for unfinished in self._folder.glob("*.orbax-checkpoint-tmp"):
                shutil.rmtree(unfinished, ignore_errors=True)

    def _wait(self) -> None:
        """Waits for a save under way."""
        under_way, self._under_way = self._under_way, None
        if under_way is not None:
            under_way.result()

    @contextlib.contextmanager
    def _errors_told(self) -> Iterator[None]:
        """Failed saves as one OSError; tensorstore has a ValueError for a full disk."""
        try:
            yield
        except Exception as error:
            raise OSError(
                f"no checkpoint could be written to {self._folder}: "
                f"{str(error).rpartition(': ')[2].partition(' [')[0]}"
            ) from error

    def latest_step(self) -> int | None:
        """The newest committed step, or None."""
        latest = self._checkpointer.latest
        return None if latest is None else latest.step

    def save(self, train_state: state.TrainState, extra: dict[str, Any]) -> None:
        """Starts a save; the state may be donated as soon as this returns.

        Waits for the save before it: Orbax skips, in silence, one that begins while
        another is under way.

        Args:
          train_state: saved under its own step; a step already saved is left as it is.
          extra: JSON values that belong to the run: position, config, normalisation.

        Raises:
          OSError: the save before this one failed.
        """
        step = int(train_state.step)
        with self._errors_told():
            self._wait()
            if step != self.latest_step():
                self._under_way = self._checkpointer.save_checkpointables_async(
                    step, {"state": train_state, "extra": extra}
                )

    def restore(
        self, abstract: state.TrainState, step: int | None = None
    ) -> state.TrainState:
        """A saved state in the shapes and shardings of `abstract`.

        Args:
          abstract: of `state.abstract`.
          step: None takes the newest.

        Raises:
          ValueError: the checkpoint is damaged or holds other arrays.
        """
        return self._load("state", abstract, step)

    def extra(self, step: int | None = None) -> dict[str, Any]:
        """The JSON values saved with a state.

        Raises:
          ValueError: the checkpoint is damaged.
        """
        return self._load("extra", None, step)

    def _load(self, name: str, abstract: Any, step: int | None) -> Any:
        step = self.latest_step() if step is None else step
        try:
            return self._checkpointer.load_checkpointables(step, {name: abstract})[name]
        except Exception as error:  # orbax wraps every cause in one of many types
            cause = error.__cause__ or error
            raise ValueError(
                f"checkpoint {step} in {self._folder} cannot be read: "
                f"{str(cause).splitlines()[0]}"
            ) from error


def is_checkpoint_folder(workdir: pathlib.Path) -> bool:
    """Whether a run has saved at least one committed step in `workdir`."""
    folder = pathlib.Path(workdir) / FOLDER
    return folder.is_dir() and any(path.name.isdigit() for path in folder.iterdir())
