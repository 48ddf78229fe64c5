"""Makes the runs of a study, one after the other; what is done is not done again."""

import pathlib
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from lvmmed_jax.report import summary
from lvmmed_jax.study import finished, grid, jobs, results, tuning

# of one run: the others go on
_MISTAKES = (ValueError, OSError, ImportError, RuntimeError)


class Actions(NamedTuple):
    """What is done with a run.

    Attributes:
      train: makes or resumes it; returns an exit code, 0 where it came to its end.
      evaluate: measures it and writes evaluation.json.
      one_line: an error in a line.
    """

    train: Callable[[jobs.Job], int]
    evaluate: Callable[[jobs.Job], None]
    one_line: Callable[[BaseException], str]


class Outcome(NamedTuple):
    """How a study ended.

    Attributes:
      failed: a line a run that could not be made.
      exit_code: of the run that was stopped by a signal, else 0.
    """

    failed: list[str]
    exit_code: int


def run(
    study: grid.Study,
    workdir: pathlib.Path,
    part: jobs.Part,
    actions: Actions,
    whole: grid.Study | None = None,
) -> Outcome:
    """Trains and measures what is missing of a part, and writes results.csv.

    A run that fails is told of and left; the same command tries it again.

    Args:
      study: to make.
      workdir: of it.
      part: of its runs.
      actions: that make one.
      whole: whose runs results.csv has, see `record.write`; None: this study's.

    Raises:
      ValueError: a run in the folder has other settings.
    """
    failed, whole = [], whole or study
    for job in known(whole, workdir):
        finished.is_trained(job)  # refuses other settings before anything is made
    for job in _in_turn(study, workdir, part, failed):
        try:
            if code := _finish(whole, workdir, job, actions):
                return Outcome(failed, code)
        except _MISTAKES as error:
            failed.append(f"{job.name}: {actions.one_line(error)}")
            print(f"failed: {failed[-1]}", file=sys.stderr)
    return Outcome(failed, 0)


def known(study: grid.Study, workdir: pathlib.Path) -> Iterator[jobs.Job]:
    """All runs of all parts whose settings are known by now."""
    for variant in study.variants:
        if study.tuning:
            yield from jobs.trials(study, workdir, variant).values()
    for seed in study.seeds:
        for variant in study.variants:
            taken = tuning.chosen(study, workdir, variant)
            if taken is not None:
                yield jobs.full(study, workdir, variant, seed, taken)


def _in_turn(study, workdir, part: jobs.Part, failed: list[str]) -> Iterator[jobs.Job]:
    """The jobs of a part that are not done, each told of."""
    tried = {name: jobs.trials(study, workdir, name).values() for name in part.tuned}
    every = [job for some in tried.values() for job in some]
    # a setting that is not chosen yet changes no time
    every += [jobs.full(study, workdir, *pair, {}) for pair in part.runs]
    for variant, some in tried.items():
        yield from _missing(every, some)
        taken = tuning.chosen(study, workdir, variant)
        path = tuning.write(study, workdir, variant)
        if taken is None:
            failed.append(f"{variant}: its tuning has no result, see {path}")
            continue
        words = ", ".join(f"{key}={value:g}" for key, value in taken.items())
        print(f"{variant}: {words}, see {path}", file=sys.stderr)
    for variant, seed in part.runs:
        taken = tuning.chosen(study, workdir, variant)
        if taken is not None:
            job = jobs.full(study, workdir, variant, seed, taken)
            yield from _missing(every, [job])


def _finish(study, workdir, job: jobs.Job, actions: Actions) -> int:
    """Brings a run to its end; the exit code of one that was stopped."""
    if not finished.is_trained(job):
        try:
            if code := actions.train(job):
                return code
        except ValueError as error:
            if not finished.is_diverged(job):
                raise
            print(f"{job.name}: {actions.one_line(error)}", file=sys.stderr)
            results.write(workdir, known(study, workdir))
            return 0
        results.write(workdir, known(study, workdir))
    if not finished.is_evaluated(job):
        actions.evaluate(job)
        results.write(workdir, known(study, workdir))
    return 0


def _missing(every: Sequence[jobs.Job], some: Iterable[jobs.Job]) -> Iterator[jobs.Job]:
    """Those of `some` that are not done; says how long they and the others may take.

    Args:
      every: job of the part, in whatever settings.
      some: that come now.
    """
    steps = {each.folder: each.config.train.steps for each in every}
    for job in some:
        if finished.is_done(job):
            continue
        taken = {each.folder: finished.seconds(each) for each in every}
        rates = [taken[folder] / steps[folder] for folder in steps if taken[folder]]
        to_do = [folder for folder in steps if taken[folder] is None]
        words = ""
        if rates:
            left = statistics.median(rates) * sum(steps[folder] for folder in to_do)
            words = f", about {summary.duration(left)} left"
        number = len(steps) - len(to_do) + 1
        print(f"[{number}/{len(steps)}] {job.name}{words}", file=sys.stderr)
        yield job
