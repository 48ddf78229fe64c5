"""The training loop: evaluate, save, next batch, step, read the step before."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from lvmmed_jax.train import (
    guard,
    saving,
    sharding,
    state,
    step,
    task,
    throughput,
    writer,
)


class Rhythm(NamedTuple):
    """When what happens, in steps; into how many parts a batch is cut."""

    num_steps: int
    log_every_steps: int
    checkpoint_every_steps: int
    num_parts: int = 1


class Evaluation(NamedTuple):
    """A measurement: at its own interval, at every save, and at the end."""

    every_steps: int
    measure: Callable[[state.TrainState], task.Metrics]


def run(
    train_state: state.TrainState,
    *,
    step_fn: step.StepFn,
    evaluations: Sequence[Evaluation],
    batches: Iterator[dict[str, Any]],
    mesh: Mesh,
    rhythm: Rhythm,
    meter: throughput.Meter,
    metrics_writer: writer.Writer,
    saver: saving.Saver,
    nonfinite: guard.Guard,
    extra: dict[str, Any],
    should_stop: Callable[[], bool],
    trace: Callable[[int, state.TrainState], None],
) -> state.TrainState:
    """Trains until `rhythm.num_steps` batches are seen or `should_stop()`.

    A step's metrics are read only after the next step is dispatched, so the devices
    never wait for the host. Stopped or finished, the last state is saved.

    Args:
      train_state: where to begin; donated to the first step.
      step_fn: of `step.compile_step`.
      evaluations: what is measured between steps.
      batches: host batches, beginning with number `train_state.step`.
      mesh: the devices.
      rhythm: intervals.
      meter: takes the times.
      metrics_writer: takes the metrics.
      saver: takes the state.
      nonfinite: takes the steps whose loss or gradient is not finite.
      extra: JSON values saved with the state.
      should_stop: read before every step.
      trace: called before every step with its number and the state.

    Returns:
      The last state.

    Raises:
      guard.NonFiniteError: too many steps in a row were not finite; the last checkpoint
        stays.
    """
    log = _Log(metrics_writer, rhythm, meter, nonfinite, mesh)
    stop = _Stop(should_stop)
    start = now = int(fetch(train_state.step))
    while now < rhythm.num_steps and not stop():
        trace(now, train_state)
        saves = now > 0 and now % rhythm.checkpoint_every_steps == 0
        due = [each for each in evaluations if saves or now % each.every_steps == 0]
        if due:
            train_state, _ = log.finish(train_state)
            measured = log.evaluate(now, due, train_state)
        if saves:
            saver.save(now, train_state, {**extra, "next_batch": now}, measured)
        with meter.waiting():
            batch = _next(batches, now, should_stop)
        if batch is None:
            break
        batch = stop.ask(batch)
        placed = sharding.put_parts(batch, mesh, rhythm.num_parts)
        train_state, metrics = _step(step_fn, train_state, placed, now)
        train_state, held = log.finish(train_state, stop)
        if held:  # by the step before, which was not finite: this one did nothing
            train_state, metrics = _step(step_fn, train_state, placed, now)
        log.dispatched(now, placed["index"], metrics)
        now += 1
    train_state, _ = log.finish(train_state)
    measured = None
    due = now == rhythm.num_steps or now % rhythm.checkpoint_every_steps == 0
    if due and now > start:
        measured = log.evaluate(now, evaluations, train_state)
    saver.save(now, train_state, {**extra, "next_batch": now}, measured)
    return train_state


def _next(
    batches: Iterator[dict[str, Any]], number: int, should_stop: Callable[[], bool]
) -> dict[str, Any] | None:
    """The next batch; None where a signal has reached the workers that read it too.

    Raises:
      OSError: a worker has ended; errors in the data keep their kind.
    """
    try:
        return next(batches)
    except Exception as error:
        if should_stop():
            return None
        if isinstance(error, ValueError | OSError):
            raise
        raise OSError(
            f"batch {number} could not be read ({str(error).splitlines()[0]}): a "
            "worker may have run out of memory; try a smaller data.num_workers, or 0"
        ) from error


def fetch(tree: Any) -> Any:
    """Arrays of the devices on the host: the only place where the loop waits."""
    return jax.device_get(tree)


def _step(step_fn, train_state, placed, number):
    with (
        jax.profiler.StepTraceAnnotation("train", step_num=number),
        jax.transfer_guard("disallow"),
    ):
        return step_fn(train_state, placed)


class _Stop:
    """Whether to stop: at once, or, with several processes, after the same step.

    Each process sends what it was told along with its images (`step.STOP`), and reads
    what any was told with the metrics.
    """

    def __init__(self, should_stop: Callable[[], bool]):
        self._should_stop = should_stop
        self._alone = jax.process_count() == 1
        self.agreed = False

    def __call__(self) -> bool:
        return self._should_stop() if self._alone else self.agreed

    def ask(self, batch: dict[str, Any]) -> dict[str, Any]:
        if self._alone:
            return batch
        told = np.full(len(batch["index"]), self._should_stop())
        return {**batch, step.STOP: told}


class _Pending(NamedTuple):
    """A step that is still under way."""

    number: int
    records: Any
    metrics: task.Metrics


class _Log:
    """Metrics one step late."""

    def __init__(self, metrics_writer, rhythm, meter, nonfinite, mesh):
        self._writer, self._rhythm, self._mesh = metrics_writer, rhythm, mesh
        self._meter, self._nonfinite = meter, nonfinite
        self._pending: _Pending | None = None

    def dispatched(self, number: int, records: Any, metrics: task.Metrics) -> None:
        """Takes the metrics of a step just dispatched."""
        self._pending = _Pending(number, records, metrics)
        self._meter.step(records.size)

    def finish(
        self, train_state: state.TrainState, stop: _Stop | None = None
    ) -> tuple[state.TrainState, bool]:
        """Reads the step under way, if there is one, and whether any was to stop.

        Returns:
          The state that goes on, and whether it was held because that step was not
          finite.
        """
        if self._pending is None:
            return train_state, False
        (number, records, metrics), self._pending = self._pending, None
        values = {name: float(x) for name, x in fetch(metrics).items()}
        if values.pop(step.STOP, False) and stop is not None:
            stop.agreed = True
        if values.pop("skipped"):
            with self._meter.pause():
                records = fetch(sharding.local_copy(records, self._mesh))
                train_state = self._nonfinite.skipped(
                    number, values, records.reshape(-1).tolist(), train_state
                )
            return train_state, True
        self._nonfinite.passed()
        done = number + 1
        self._writer.progress(done, values)
        if done % self._rhythm.log_every_steps == 0 or done == self._rhythm.num_steps:
            self._writer.write(done, values | self._meter.rates())
        return train_state, False

    def evaluate(
        self, now: int, due: Sequence[Evaluation], train_state: state.TrainState
    ) -> dict[str, float]:
        """Measures and writes; the time it takes counts in no rate."""
        with self._meter.pause():
            values = {}
            for each in due:
                found = fetch(each.measure(train_state))
                values |= {name: float(x) for name, x in found.items()}
        self._writer.progress(now, values)
        self._writer.write(now, values)
        return values
