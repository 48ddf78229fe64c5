"""What is logged: metrics.jsonl, the same to the sinks, and progress on stderr."""

import contextlib
import json
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from lvmmed_jax import progress
from lvmmed_jax.train import sinks as sinks_

FILE = "metrics.jsonl"


class Form(NamedTuple):
    """How a run's progress is told.

    Attributes:
      name: of the job, in a word.
      shown: metrics beside rate and time left.
      judge: the evaluations so far -> what is wrong, nothing where all is well; shown
        when something begins to be wrong.
    """

    name: str
    shown: tuple[str, ...]
    judge: Callable[[list[dict]], tuple[str, ...]]


class Writer:
    """Appends metrics to `workdir`/metrics.jsonl and shows progress.

    Use as a context manager. A line holds `step` (updates done), `images` (seen so
    far), `seconds` (since the run began, resumed parts added up) and the metrics. On
    resuming at step t, lines of later steps, written before a crash, are dropped.
    A sink that fails is left with a warning: it never ends a run.
    """

    def __init__(
        self,
        workdir: pathlib.Path,
        *,
        start: int,
        num_steps: int,
        global_batch: int,
        form: Form,
        sinks: Sequence[sinks_.Sink] = (),
    ):
        """Opens the file for a run that goes on at step `start`.

        Args:
          workdir: where metrics.jsonl is.
          start: updates already done.
          num_steps: updates of the whole run.
          global_batch: images a step.
          form: how progress is told.
          sinks: where every line goes too; closed with the writer.
        """
        self._path = pathlib.Path(workdir) / FILE
        kept = [line for line in read(self._path) if _is_before(line, start)]
        self._before = kept[-1]["seconds"] if kept else 0.0
        text = "".join(json.dumps(line) + "\n" for line in kept)
        partial = self._path.with_suffix(".partial")
        partial.write_text(text)
        partial.replace(self._path)
        self._file = self._path.open("a", buffering=1)
        self._global_batch = global_batch
        self._began = time.monotonic()
        self._start, self._num_steps = start, num_steps
        self._shown: dict[str, float] = {}
        self._form, self._wrong = form, False
        self._evaluations = [line for line in kept if "loss" not in line]
        self._sinks = list(sinks)
        self._progress = progress.Progress(
            form.name, total=num_steps, unit="steps", start=start
        )

    def __enter__(self) -> "Writer":
        """Returns itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        """Closes the file, the progress bar and the sinks."""
        self._progress.close()
        with contextlib.suppress(OSError):  # a full disk; `write` has told
            self._file.close()
        for sink in self._sinks:
            try:
                sink.close(kind is not None)
            except Exception as error:
                self.say(f"{sink.name}: {_one_line(error)}")

    def write(self, step: int, metrics: dict[str, float]) -> None:
        """Appends one line for `step`."""
        line = {
            "step": step,
            "images": step * self._global_batch,
            "seconds": round(self._before + time.monotonic() - self._began, 3),
            **metrics,
        }
        try:
            self._file.write(json.dumps(line) + "\n")
        except OSError as error:  # a full disk does not say where
            raise OSError(error.errno, error.strerror, str(self._path)) from error
        self._send(line)
        if "loss" not in metrics:
            self._evaluations.append(line)
            self._warn(step)
        elif not self._progress.on_terminal:
            self._print_line(step, metrics)

    def progress(self, step: int, metrics: dict[str, float]) -> None:
        """Moves the bar to `step` and shows the newest values."""
        self._shown |= {
            name: metrics[name] for name in self._form.shown if name in metrics
        }
        self._progress.update(step, self._shown)

    def say(self, text: str) -> None:
        """Prints a warning, above the progress bar where there is one."""
        self._progress.say(f"warning: {text}")

    def _send(self, line: dict[str, float]) -> None:
        """Gives a line to every sink, and gives up those that fail."""
        metrics = {name: value for name, value in line.items() if name != "step"}
        for sink in list(self._sinks):
            try:
                sink.write(line["step"], metrics)
            except Exception as error:
                self._sinks.remove(sink)
                self._progress.say(
                    f"warning at step {line['step']}: {sink.name}: {_one_line(error)}; "
                    "the run goes on without it"
                )
                with contextlib.suppress(Exception):
                    sink.close(True)

    def _warn(self, step: int) -> None:
        reasons = self._form.judge(self._evaluations)
        if reasons and not self._wrong:
            self._progress.say(f"warning at step {step}: {'; '.join(reasons)}")
        self._wrong = bool(reasons)

    def _print_line(self, step: int, metrics: dict[str, float]) -> None:
        """A plain line where stderr is no terminal."""
        elapsed = time.monotonic() - self._began
        left = (self._num_steps - step) * elapsed / max(step - self._start, 1)
        rate = metrics.get("images_per_second", 0.0)
        self._progress.say(
            f"step {step}/{self._num_steps}  {rate:.0f} images/s  "
            f"{progress.values_text(self._shown)}  {left:.0f} s left"
        )


class Silent:
    """The writer of processes that log nothing."""

    def __enter__(self) -> "Silent":
        """Returns itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Does nothing."""

    def write(self, step: int, metrics: dict[str, float]) -> None:
        """Does nothing."""

    def progress(self, step: int, metrics: dict[str, float]) -> None:
        """Does nothing."""

    def say(self, text: str) -> None:
        """Does nothing."""


def _one_line(error: Exception) -> str:
    """The kind and the message of an error, cut to a line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


def _is_before(line: dict[str, float], start: int) -> bool:
    """Whether a run that goes on at `start` will not write this line again."""
    trained = "loss" in line  # else it is an evaluation, done at the start of a step
    return line["step"] < start or (line["step"] == start and trained)


def latest(lines: list[dict]) -> dict[str, float]:
    """The newest value of every metric in the lines of a metrics file."""
    values: dict[str, float] = {}
    for line in lines:
        values |= line
    return values


def read(path: pathlib.Path) -> list[dict]:
    """The lines of a metrics file; a last line that was cut is left out."""
    if not path.exists():
        return []
    lines = []
    for text in path.read_text().splitlines():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            break
    return lines
