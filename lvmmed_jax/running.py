"""What every run has, whatever it trains: its folder, restart, log and checkpoints."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from lvmmed_jax import config as configs
from lvmmed_jax import files, initial, planning
from lvmmed_jax.train import (
    checkpoint,
    guard,
    loop,
    processes,
    saving,
    sinks,
    state,
    step,
    throughput,
    trace,
    writer,
)


class Job(NamedTuple):
    """A run's parts as the loop takes them.

    Attributes:
      plan: of the run.
      workdir: its folder, see `claimed`.
      extra: JSON values saved with every checkpoint.
      train_state: where it begins.
      evaluations: what is measured between steps.
      open_batches: number of the first batch -> host batches; closed at the end.
      abstract_batch: shapes of a batch on the devices.
      rhythm: intervals.
      best_metric: the checkpoint best in it is kept; None: none is.
      form: how progress is told.
      logs: where metrics go besides files, some of `sinks.REMOTE`.
      profile: whether to trace a few steps.
    """

    plan: planning.Plan
    workdir: pathlib.Path
    extra: dict[str, Any]
    train_state: state.TrainState
    evaluations: tuple[loop.Evaluation, ...]
    open_batches: Callable[[int], Iterator[dict[str, Any]]]
    abstract_batch: dict[str, Any]
    rhythm: loop.Rhythm
    best_metric: str | None
    form: writer.Form
    logs: tuple[str, ...] = ()
    profile: bool = False


@contextlib.contextmanager
def claimed(workdir: pathlib.Path) -> Iterator[None]:
    """Makes a work folder and keeps other runs out of it.

    Raises:
      OSError: another process trains there, or the folder cannot be written to.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    if not processes.is_first():  # the first has it for all
        yield
        return
    with files.locked(workdir / ".lock"):
        yield


def restore(
    workdir: pathlib.Path,
    abstract: state.TrainState,
    check: Callable[[dict[str, Any]], None],
) -> state.TrainState | None:
    """The newest sound checkpoint; None where there is none at all.

    Args:
      workdir: a folder, see `claimed`.
      abstract: shapes and shardings of the state.
      check: takes the JSON values of the checkpoint; may raise.
    """
    if not checkpoint.is_checkpoint_folder(workdir):
        return None
    folder = workdir / checkpoint.FOLDER

    def read(path: pathlib.Path) -> state.TrainState:
        return checkpoint.restore(path, abstract, check)[0]

    number, found = checkpoint.newest_sound(folder, read, processes.warn)
    processes.meet("restored")
    if processes.is_first():
        checkpoint.set_aside(folder, after=number)
    processes.meet("set aside")
    return found


def check_same(
    found: dict[str, Any],
    extra: dict[str, Any],
    where: pathlib.Path,
    data: Mapping[str, str],
    default: Any,
) -> None:
    """Refuses a checkpoint of another config, other data, or another start.

    Args:
      found: JSON values of the checkpoint.
      extra: those of this run.
      where: what messages name.
      data: flag -> the key of the digest of what it names.
      default: a config of the run's kind.

    Raises:
      ValueError: what differs, and what to do.
    """
    changed = configs.differences(extra["config"], found["config"], default)
    if changed:
        raise ValueError(
            f"{where} holds a run with another config ({'; '.join(changed)}): "
            "give another --workdir, or the config it was made with"
        )
    for flag, name in data.items():
        if found.get(name) != extra[name]:
            raise ValueError(
                f"{where} was made with other data than {flag} holds now: use another "
                "--workdir, or the data of that run"
            )
    began, asked = found.get("init"), extra.get("init")
    if (began and began["sha256"]) != (asked and asked["sha256"]):
        raise ValueError(
            f"{where} holds a run that began from {initial.text(began)}, not from "
            f"{initial.text(asked)}: leave --init out to go on, or give another "
            "--workdir"
        )


def run(job: Job, should_stop: Callable[[], bool]) -> state.TrainState:
    """The loop with its data, its log and its checkpoints, all closed at the end.

    Raises:
      guard.NonFiniteError: too many steps in a row were not finite.
      OSError: the work folder cannot be written to.
    """
    config, start = job.plan.config, int(job.train_state.step)
    processes.say("compiling the training step")
    step_fn, flops = step.compile_step(
        job.plan.step_fn, job.plan.abstract, job.abstract_batch
    )
    with contextlib.ExitStack() as stack:
        batches = job.open_batches(start)
        stack.callback(batches.close)
        metrics_writer = stack.enter_context(_open_writer(job, start))
        saver = stack.enter_context(
            saving.Saver(
                job.workdir,
                keep_last=config.train.keep_last,
                best_metric=job.best_metric,
            )
        )
        profile = trace.Trace(job.workdir, start)
        stack.callback(profile.close)
        return loop.run(
            job.train_state,
            step_fn=step_fn,
            evaluations=job.evaluations,
            batches=batches,
            mesh=job.plan.mesh,
            rhythm=job.rhythm,
            meter=throughput.Meter(flops),
            metrics_writer=metrics_writer,
            saver=saver,
            nonfinite=guard.Guard(
                job.workdir, job.extra, config.train.max_skipped, metrics_writer.say
            ),
            extra=job.extra,
            should_stop=should_stop,
            trace=profile if job.profile else lambda number, train_state: None,
        )


def latest(workdir: pathlib.Path) -> dict[str, Any]:
    """The newest value of every metric that a run has logged."""
    return writer.latest(writer.read(workdir / writer.FILE))


def best(workdir: pathlib.Path, metric: str | None) -> dict[str, float] | None:
    """The step kept that was best, and its metric; None: there is none."""
    if metric is None:
        return None
    found = checkpoint.best_step(workdir / checkpoint.FOLDER, metric)
    return found and {"step": found[0], metric: found[1]}


def _open_writer(job: Job, start: int) -> writer.Writer | writer.Silent:
    """The first process writes, the others do not."""
    if not processes.is_first():
        return writer.Silent()
    config = job.plan.config
    return writer.Writer(
        job.workdir,
        start=start,
        num_steps=job.rhythm.num_steps,
        global_batch=config.data.global_batch,
        form=job.form,
        sinks=sinks.open_all(
            job.logs,
            job.workdir,
            start=start,
            config=dataclasses.asdict(config),
        ),
    )
