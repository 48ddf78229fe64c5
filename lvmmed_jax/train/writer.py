"""What is logged: metrics.jsonl, and progress on stderr."""

import json
import os
import pathlib
import sys
import time
from collections.abc import Callable
from typing import TextIO

import tqdm

FILE = "metrics.jsonl"
_SHOWN = ("loss", "matching_accuracy")  # beside rate and time left


class Writer:
    """Appends metrics to `workdir`/metrics.jsonl and shows progress.

    Use as a context manager. A line holds `step` (updates done), `images` (seen so
    far), `seconds` (since the run began, resumed parts added up) and the metrics. On
    resuming at step t, lines of later steps, written before a crash, are dropped.
    """

    def __init__(
        self,
        workdir: pathlib.Path,
        *,
        start: int,
        num_steps: int,
        global_batch: int,
        judge: Callable[[list[dict]], tuple[str, ...]],
    ):
        """Opens the file for a run that goes on at step `start`.

        Args:
          workdir: where metrics.jsonl is.
          start: updates already done.
          num_steps: updates of the whole run.
          global_batch: images a step.
          judge: the evaluations so far -> what is wrong, nothing where all is well;
            shown when something begins to be wrong.
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
        self._judge, self._wrong = judge, False
        self._evaluations = [line for line in kept if "loss" not in line]
        self._terminal = _has_width(sys.stderr)
        self._bar = tqdm.tqdm(
            total=num_steps,
            initial=start,
            unit=" steps",
            desc="pretrain",
            disable=not self._terminal,
            dynamic_ncols=True,
        )

    def __enter__(self) -> "Writer":
        """Returns itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Closes the file and the progress bar."""
        self._file.close()
        self._bar.close()

    def write(self, step: int, metrics: dict[str, float]) -> None:
        """Appends one line for `step`."""
        line = {
            "step": step,
            "images": step * self._global_batch,
            "seconds": round(self._before + time.monotonic() - self._began, 3),
            **metrics,
        }
        self._file.write(json.dumps(line) + "\n")
        if "loss" not in metrics:
            self._evaluations.append(line)
            self._warn(step)
        elif not self._terminal:
            self._print_line(step, metrics)

    def progress(self, step: int, metrics: dict[str, float]) -> None:
        """Moves the bar to `step` and shows the newest values."""
        self._shown |= {name: metrics[name] for name in _SHOWN if name in metrics}
        self._bar.set_postfix(
            {name: f"{value:.3g}" for name, value in self._shown.items()},
            refresh=False,
        )
        self._bar.update(step - self._bar.n)

    def _warn(self, step: int) -> None:
        reasons = self._judge(self._evaluations)
        if reasons and not self._wrong:
            text = f"warning at step {step}: {'; '.join(reasons)}"
            tqdm.tqdm.write(text, file=sys.stderr)
        self._wrong = bool(reasons)

    def _print_line(self, step: int, metrics: dict[str, float]) -> None:
        """A plain line where stderr is no terminal."""
        elapsed = time.monotonic() - self._began
        left = (self._num_steps - step) * elapsed / max(step - self._start, 1)
        shown = "  ".join(f"{name} {value:.3g}" for name, value in self._shown.items())
        rate = metrics.get("images_per_second", 0.0)
        print(
            f"step {step}/{self._num_steps}  {rate:.0f} images/s  {shown}  "
            f"{left:.0f} s left",
            file=sys.stderr,
        )


def _has_width(stream: TextIO) -> bool:
    """Whether it is a terminal with room for a bar; some containers' have none."""
    return stream.isatty() and os.get_terminal_size(stream.fileno()).columns > 0


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
