"""Writes checkpoints: a whole run in one asynchronous Orbax save."""

import contextlib
import itertools
import json
import math
import pathlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

from orbax.checkpoint import v1 as ocp

from lvmmed_jax.train import checkpoint, digest, processes, state

_OPENED = itertools.count()  # a name for each meeting


class Saver:
    """Writes the checkpoints of one work folder; use as a context manager.

    Leaving the context waits for a save under way. One process at a time: what another
    one left unfinished is swept away.
    """

    def __init__(
        self,
        workdir: pathlib.Path,
        *,
        folder: str = checkpoint.FOLDER,
        keep_last: int = 2,
        best_metric: str | None = None,
    ):
        """Opens `workdir`/`folder`, which is made with the first save.

        Args:
          workdir: the work folder.
          folder: its name in there.
          keep_last: how many of the newest steps are kept.
          best_metric: the step that was best in this metric is kept too.
        """
        policies = ocp.training.preservation_policies
        kept = [policies.LatestN(keep_last)]
        if best_metric is not None:
            more = checkpoint.MORE_IS_BETTER[best_metric]
            worst = -math.inf if more else math.inf  # of runs that had another one
            best = policies.BestN(
                get_metric_fn=lambda metrics: metrics.get(best_metric, worst),
                reverse=not more,
                n=1,
                keep_checkpoints_without_metrics=False,
            )
            kept.append(best)
        self._best_metric = best_metric
        self._folder = pathlib.Path(workdir).absolute() / folder
        self._sweep()
        processes.meet(f"swept {folder} {next(_OPENED)}")
        self._checkpointer = ocp.training.Checkpointer(
            self._folder, preservation_policy=policies.AnyPreservationPolicy(kept)
        )
        self._under_way = None

    def __enter__(self) -> "Saver":
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
            self._sweep()

    def save(
        self,
        step: int,
        train_state: state.TrainState,
        extra: dict[str, Any],
        metrics: dict[str, float] | None = None,
    ) -> None:
        """Starts a save; the state may be donated as soon as this returns.

        Waits for the save before it: Orbax skips, in silence, one that begins while
        another is under way.

        Args:
          step: the number of the checkpoint; one already saved is left as it is.
          train_state: saved whole.
          extra: JSON values that belong to the run: position, config, normalisation.
          metrics: of an evaluation of just this state; without them the step cannot be
            the best.

        Raises:
          OSError: the save before this one failed, or the folder cannot be written to.
        """
        with self._errors_told():
            self._wait()
            if step in checkpoint.committed_steps(self._folder):
                return
        self._check_writable()
        with self._errors_told():
            items = checkpoint.parts(train_state)
            about = {
                **extra,
                "metrics": metrics,
                "digests": {name: digest.of_arrays(x) for name, x in items.items()},
            }
            about = {"json": json.dumps(about), "sha256": digest.of_json(about)}
            value = (metrics or {}).get(self._best_metric, math.nan)
            self._under_way = self._checkpointer.save_checkpointables_async(
                step,
                {**items, "extra": about},
                metrics=metrics if math.isfinite(value) else None,  # nan has no rank
            )
        if self._under_way is None:  # Orbax's silence
            raise OSError(
                f"{self._folder} holds newer steps than {step}: move them away"
            )

    def _wait(self) -> None:
        """Waits for a save under way."""
        under_way, self._under_way = self._under_way, None
        if under_way is not None:
            under_way.result()

    def _check_writable(self) -> None:
        """Orbax waits five minutes for a folder that it cannot make."""
        if not processes.is_first():
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=self._folder):
            pass

    def _sweep(self) -> None:
        """Removes saves that were cut off."""
        if not processes.is_first():
            return
        for unfinished in self._folder.glob("*.orbax-checkpoint-tmp"):
            shutil.rmtree(unfinished, ignore_errors=True)

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
