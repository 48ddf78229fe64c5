"""How far a long job is: a bar on a terminal, nothing of its own elsewhere."""

import contextlib
import datetime
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import TextIO

_SECONDS_BETWEEN = 0.1  # at least, from one drawing of the bar to the next
_SECONDS_BETWEEN_LINES = 10.0  # where stderr is no terminal
_SECONDS_OF_RATE = 600.0  # a step may take a minute


class Progress:
    """Draws a bar on stderr where that is a terminal; use as a context manager.

    The bar shows what is done, of how much, the rate, the time left and the newest
    values. It is drawn within `update`, by no thread of its own, and leaves the cursor
    visible: a job that is killed leaves a terminal that works. What else is written to
    `sys.stderr` meanwhile appears above it.

    Attributes:
      on_terminal: whether there is a bar; else the caller prints lines of its own.
    """

    def __init__(self, description: str, *, total: int, unit: str, start: int = 0):
        """Draws the bar.

        Args:
          description: the job, in a word.
          total: how much there is to do.
          unit: of what, in the plural.
          start: how much was done before; counts in no rate.
        """
        self.on_terminal = _can_draw(sys.stderr)
        if not self.on_terminal:
            return
        self._bar = _bar(unit)
        self._task = self._bar.add_task(
            description, total=total, completed=start, values=""
        )
        self._bar.start()
        self._bar.console.show_cursor(True)  # rich hides it
        self._drawn = time.monotonic()

    def __enter__(self) -> "Progress":
        """Returns itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Closes the bar."""
        self.close()

    def update(self, done: int, values: dict[str, float] | None = None) -> None:
        """Moves the bar to `done` and shows the newest values.

        Args:
          done: how much is done by now, `start` included.
          values: what to show beside it; None leaves it as it is.
        """
        if not self.on_terminal:
            return
        fields = {} if values is None else {"values": values_text(values)}
        now = time.monotonic()
        due = now - self._drawn >= _SECONDS_BETWEEN
        if due:
            self._drawn = now
        self._bar.update(self._task, completed=done, refresh=due, **fields)

    def say(self, text: str) -> None:
        """Prints a line to stderr, above the bar."""
        if self.on_terminal:
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, file=sys.stderr)

    def close(self) -> None:
        """Leaves the bar as it is, with a new line after it; twice does no harm."""
        if self.on_terminal:
            self._bar.stop()


@contextlib.contextmanager
def counted(description: str, *, total: int, unit: str) -> Iterator[Callable]:
    """Yields a function that is told how much is done, again and again.

    On a terminal it moves a bar; in a log it says rate and time left now and then. What
    it is told first was done before, and counts in no rate.

    Args:
      description: the job, in a word.
      total: how much there is to do.
      unit: of what, in the plural.
    """
    began = said = time.monotonic()
    first = None
    with Progress(description, total=total, unit=unit) as bar:

        def show(done: int) -> None:
            nonlocal first, said
            first = done if first is None else first
            bar.update(done)
            now = time.monotonic()
            if bar.on_terminal or now - said < _SECONDS_BETWEEN_LINES or done == first:
                return
            said, rate = now, (done - first) / (now - began)
            bar.say(
                f"{description}: {done}/{total}  {rate_text(rate, unit)}  "
                f"{(total - done) / rate:.0f} s left"
            )

        yield show


def values_text(values: dict[str, float]) -> str:
    """Names and values in a line, three digits each."""
    return "  ".join(f"{name} {value:.3g}" for name, value in values.items())


def rate_text(rate: float, unit: str) -> str:
    """A rate in a few digits, e.g. "0.0512 steps/s" or "1234 files/s"."""
    return f"{rate:.3g} {unit}/s" if rate < 100 else f"{rate:.0f} {unit}/s"


def _can_draw(stream: TextIO) -> bool:
    """Whether it is a terminal with room for a bar; some containers' have none."""
    if not stream.isatty() or os.environ.get("TERM") in ("dumb", "unknown"):
        return False
    return os.get_terminal_size(stream.fileno()).columns > 0


def _bar(unit):
    """A bar of `rich`, which is imported only where one is drawn."""
    import rich.console
    import rich.progress
    import rich.text

    class Facts(rich.progress.ProgressColumn):
        """All numbers in one column: a narrow terminal cuts the last ones off."""

        def render(self, task):
            shown = [f"{task.completed:.0f}/{task.total:.0f}"]
            if task.speed:
                left = datetime.timedelta(seconds=round(task.time_remaining or 0))
                shown += [rate_text(task.speed, unit), f"{left} left"]
            text = "  ".join([*shown, task.fields["values"]])
            return rich.text.Text(text, no_wrap=True, overflow="ellipsis")

    console = rich.console.Console(
        stderr=True, force_terminal=True, force_interactive=True
    )
    return rich.progress.Progress(
        rich.progress.TextColumn("{task.description}", markup=False),
        rich.progress.BarColumn(bar_width=min(20, console.width // 8)),
        Facts(),
        console=console,
        auto_refresh=False,
        redirect_stdout=False,
        speed_estimate_period=_SECONDS_OF_RATE,
    )
