"""The training loop: evaluate, save, next batch, step, read the step before."""

import math
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh

from lvmmed_jax.train import checkpoint, sharding, state, step, task, writer


class Rhythm(NamedTuple):
    """When what happens, in steps."""

    num_steps: int
    log_every_steps: int
    evaluate_every_steps: int
    checkpoint_every_steps: int


class NonFiniteError(ValueError):
    """The loss or its gradient is no longer a number."""


def run(
    train_state: state.TrainState,
    *,
    step_fn: step.StepFn,
    evaluate: Callable[[state.TrainState], task.Metrics],
    batches: Iterator[dict[str, Any]],
    mesh: Mesh,
    rhythm: Rhythm,
    metrics_writer: writer.Writer,
    checkpoints: checkpoint.Checkpoints,
    extra: dict[str, Any],
    should_stop: Callable[[], bool],
) -> state.TrainState:
    """Trains until `rhythm.num_steps` updates are done or `should_stop()`.

    A step's metrics are read only after the next step is dispatched, so the devices
    never wait for the host. Stopped or finished, the last state is saved.

    Args:
      train_state: where to begin; donated to the first step.
      step_fn: of `step.make_train_step`.
      evaluate: state -> metrics, at its own interval and at the end.
      batches: host batches, beginning with number `train_state.step`.
      mesh: the devices.
      rhythm: intervals.
      metrics_writer: takes the metrics.
      checkpoints: takes the state.
      extra: JSON values saved with it.
      should_stop: read before every step.

    Returns:
      The last state.

    Raises:
      NonFiniteError: loss or gradient is not finite; the last good checkpoint stays.
    """
    log = _Log(metrics_writer, rhythm)
    start = now = int(train_state.step)
    while now < rhythm.num_steps and not should_stop():
        if now % rhythm.evaluate_every_steps == 0:
            log.evaluation(now, evaluate, train_state)
        if now and now % rhythm.checkpoint_every_steps == 0:
            log.finish()
            _save(checkpoints, train_state, extra)
        batch = log.next_batch(batches)
        train_state, metrics = step_fn(train_state, sharding.put_batch(batch, mesh))
        now += 1
        log.step(now, batch["size"].shape[0], metrics)
    log.finish()
    if now == rhythm.num_steps and now > start:
        log.evaluation(now, evaluate, train_state)
    _save(checkpoints, train_state, extra)
    return train_state


def _save(checkpoints, train_state, extra):
    checkpoints.save(train_state, {**extra, "next_batch": int(train_state.step)})


class _Log:
    """Metrics one step late, and the rates between two lines."""

    def __init__(self, metrics_writer: writer.Writer, rhythm: Rhythm):
        self._writer = metrics_writer
        self._rhythm = rhythm
        self._pending: tuple[int, task.Metrics] | None = None
        self._images = 0
        self._waited = 0.0
        self._since = time.monotonic()

    def next_batch(self, batches: Iterator[dict[str, Any]]) -> dict[str, Any]:
        began = time.monotonic()
        batch = next(batches)
        self._waited += time.monotonic() - began
        return batch

    def step(self, now: int, num_images: int, metrics: task.Metrics) -> None:
        """Takes the metrics of a step just dispatched; reads those before it."""
        self.finish()
        self._images += num_images
        self._pending = now, metrics

    def finish(self) -> None:
        """Reads the step that is still under way."""
        if self._pending is None:
            return
        now, metrics = self._pending
        self._pending = None
        values = {name: float(x) for name, x in jax.device_get(metrics).items()}
        for name in ("loss", "gradient_norm"):
            if not math.isfinite(values[name]):
                raise NonFiniteError(
                    f"{name} of step {now} is {values[name]}; the last checkpoint is "
                    "kept: try a lower optimizer.learning_rate"
                )
        self._writer.progress(now, values)
        if now % self._rhythm.log_every_steps == 0 or now == self._rhythm.num_steps:
            self._writer.write(now, values | self._rates())

    def evaluation(
        self,
        now: int,
        evaluate: Callable[[state.TrainState], task.Metrics],
        train_state: state.TrainState,
    ) -> None:
        """Evaluates and writes; the time it takes counts in no rate."""
        self.finish()
        began = time.monotonic()
        metrics = jax.device_get(evaluate(train_state))
        values = {name: float(x) for name, x in metrics.items()}
        self._writer.progress(now, values)
        self._writer.write(now, values)
        self._since += time.monotonic() - began

    def _rates(self) -> dict[str, float]:
        elapsed = max(time.monotonic() - self._since, 1e-9)
        rates = {
            "images_per_second": round(self._images / elapsed, 2),
            "data_wait_share": round(self._waited / elapsed, 4),
        }
        self._images, self._waited, self._since = 0, 0.0, time.monotonic()
        return rates
