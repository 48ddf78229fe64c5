"""`--profile`: a trace of a few steps for TensorBoard or Perfetto."""

import pathlib
from typing import Any

import jax

FOLDER = "profile"
_AFTER, _STEPS = 3, 5  # steps that warm up, steps that are traced


class Trace:
    """Traces five steps after the first three, once; call it before every step."""

    def __init__(self, workdir: pathlib.Path, start: int):
        """Begins nothing yet.

        Args:
          workdir: the work folder.
          start: the first step.
        """
        self._folder = str(pathlib.Path(workdir) / FOLDER)
        self._first = start + _AFTER
        self._running = False

    def __call__(self, step: int, train_state: Any) -> None:
        """Begins or ends the trace where `step` is the one for it.

        Args:
          step: the step about to be run.
          train_state: waited for before the trace ends.
        """
        if step == self._first:
            jax.block_until_ready(train_state)
            jax.profiler.start_trace(self._folder, create_perfetto_trace=True)
            self._running = True
        elif step == self._first + _STEPS:
            jax.block_until_ready(train_state)
            self.close()

    def close(self) -> None:
        """Ends a trace that is still running; it is written then."""
        if self._running:
            self._running = False
            jax.profiler.stop_trace()
