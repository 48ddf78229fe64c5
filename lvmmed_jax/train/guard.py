"""Steps whose loss or gradient is not finite: skipped, counted, kept to be repeated."""

import pathlib
import shutil
from collections.abc import Callable
from typing import Any

from lvmmed_jax.train import checkpoint, processes, saving, state

FOLDER = "skipped"
_KEPT = 3  # the newest; each is as large as a checkpoint


class NonFiniteError(ValueError):
    """Step after step had a loss or a gradient that is not finite."""


class Guard:
    """Counts skipped steps and saves the first of each row of them."""

    def __init__(
        self,
        workdir: pathlib.Path,
        extra: dict[str, Any],
        limit: int,
        say: Callable[[str], None],
        repeat: str = "",
    ):
        """Makes a guard that has seen nothing yet.

        Args:
          workdir: skipped steps are saved in its folder `FOLDER`, each a checkpoint
            which may be repeated.
          extra: JSON values of the run, saved with them.
          limit: so many skipped steps in a row end the run.
          say: takes a line for each row of skipped steps.
          repeat: the command that repeats such a step; "": none does.
        """
        self._workdir, self._extra = pathlib.Path(workdir), extra
        self._limit, self._say, self._repeat = limit, say, repeat
        self._in_a_row = 0

    def passed(self) -> None:
        """Takes note of a step that was finite."""
        self._in_a_row = 0

    def skipped(
        self,
        step: int,
        values: dict[str, float],
        records: list[int],
        held: state.TrainState,
    ) -> state.TrainState:
        """Takes note of one that was not.

        Args:
          step: its number, from 0.
          values: its metrics.
          records: indices of its images.
          held: the state after it, which is the one before it.

        Returns:
          The state that goes on.

        Raises:
          NonFiniteError: it was one too many.
          OSError: it could not be saved.
        """
        self._in_a_row += 1
        where = self._workdir / FOLDER / str(step)
        told = ", ".join(f"{name} {values[name]}" for name in ("loss", "gradient_norm"))
        if self._in_a_row == 1:
            self._save(step, values, records, held)
            kept = f"it is kept in {where}"
            if self._repeat:
                kept = f"`{self._repeat} {where}` repeats it"
            self._say(f"step {step} was skipped ({told}); {kept}")
        if self._in_a_row >= self._limit:
            raise NonFiniteError(
                f"{self._in_a_row} steps in a row were skipped, the last is {step} "
                f"({told}); the last checkpoint is kept: try a lower "
                "optimizer.learning_rate or optimizer.clip_norm=1, with another "
                "--workdir"
            )
        return state.release(held)

    def _save(self, step, values, records, held) -> None:
        told = {name: repr(values[name]) for name in ("loss", "gradient_norm")}
        extra = {**self._extra, "next_batch": step, "records": records, "found": told}
        if processes.is_first():  # steps of a run that was here before
            for later in checkpoint.committed_steps(self._workdir / FOLDER):
                if later >= step:
                    shutil.rmtree(self._workdir / FOLDER / str(later))
        with saving.Saver(self._workdir, folder=FOLDER, keep_last=_KEPT) as saver:
            saver.save(step, state.before_skipped(held), extra)
