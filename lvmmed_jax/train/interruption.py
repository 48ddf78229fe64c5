"""Ctrl-C and SIGTERM as a flag that the loop reads between two steps, or as an end."""

import contextlib
import signal
import sys
from collections.abc import Iterator


class Interruption:
    """Which signal has arrived; `signum` is None until one has."""

    signum: int | None = None

    def __call__(self) -> bool:
        """Whether to stop after the current step."""
        return self.signum is not None

    @property
    def exit_code(self) -> int:
        """130 after Ctrl-C, 143 after SIGTERM, 0 without a signal."""
        return 0 if self.signum is None else 128 + self.signum


@contextlib.contextmanager
def watch() -> Iterator[Interruption]:
    """Catches the first SIGINT or SIGTERM; a second one acts as usual."""
    interruption = Interruption()
    previous = {}

    def handle(signum, frame):
        interruption.signum = signum
        _restore(previous)

    for signum in (signal.SIGINT, signal.SIGTERM):
        previous[signum] = signal.signal(signum, handle)
    try:
        yield interruption
    finally:
        _restore(previous)


@contextlib.contextmanager
def goes_on(kept: str) -> Iterator[None]:
    """SIGTERM ends as Ctrl-C does; both say what is kept, and that a run goes on."""

    def end(signum, frame):
        raise SystemExit(128 + signum)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        print(f"\nstopped; {kept}: the same command goes on", file=sys.stderr)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _restore(handlers: dict) -> None:
    for signum, handler in handlers.items():
        signal.signal(signum, handler)
