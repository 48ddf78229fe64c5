"""Several processes that train one model: how they find each other, where they meet.

Without `start` there is one process, and everything here costs nothing.
"""

import atexit
import subprocess
import sys

import jax
from orbax.checkpoint import multihost

_MEETING_SECONDS = 300  # to wait for the slowest at a meeting point
_SILENCE_SECONDS = 60  # after which a process counts as lost
# jax aborts what is left of a run that has lost a process, with a page of C++; a child
# with this program outlives it and says so in a line
_LAST_WORDS = """
import sys
if sys.stdin.read() != "done":
    print(
        "lvmmed: error: this process was ended from outside, most likely because "
        "another one of the run has ended: see what that one says. The last "
        "checkpoint is kept; start all of them again with the same command",
        file=sys.stderr,
    )
"""


def start(
    coordinator: str | None = None,
    num_processes: int | None = None,
    process: int | None = None,
    seconds: int = _MEETING_SECONDS,
) -> None:
    """Joins the other processes; before anything else that touches a device.

    With no argument the cluster says who is who: SLURM, Open MPI, a TPU pod, GKE.

    Args:
      coordinator: "host:port" of the first process.
      num_processes: how many there are.
      process: the number of this one, from 0.
      seconds: how long to wait for the others.

    Raises:
      ValueError: the cluster says nothing, or the others did not come in time.
    """
    _leave_last_words()
    try:
        jax.distributed.initialize(
            coordinator,
            num_processes,
            process,
            initialization_timeout=seconds,
            heartbeat_timeout_seconds=_SILENCE_SECONDS,
            shutdown_timeout_seconds=_SILENCE_SECONDS,
        )
    except Exception as error:
        raise ValueError(
            f"the processes did not find each other ({str(error).splitlines()[0]}): "
            "start one a host with --distributed under SLURM or on a TPU pod, else "
            "with --coordinator HOST:PORT --num-processes N --process 0 to N - 1"
        ) from error


def _leave_last_words() -> None:
    """Has a line printed if this process is killed or aborted."""
    child = subprocess.Popen(
        [sys.executable, "-c", _LAST_WORDS],
        stdin=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is not for it
    )
    atexit.register(child.communicate, "done")


def is_first() -> bool:
    """Whether this process writes what is written once: logs, settings, pictures."""
    return jax.process_index() == 0


def say(text: str) -> None:
    """Prints a line to stderr, once for all processes."""
    if is_first():
        print(text, file=sys.stderr)


def warn(text: str) -> None:
    """Says that something is wrong which does not end the run."""
    say(f"warning: {text}")


def meet(name: str, seconds: int = _MEETING_SECONDS) -> None:
    """Waits until every process is here.

    Args:
      name: of the meeting point, each time another.
      seconds: how long to wait.

    Raises:
      OSError: not all came in time.
    """
    if jax.process_count() == 1:
        return
    try:
        multihost.get_barrier_sync_fn()(key=name, timeout_ms=1000 * seconds)
    except Exception as error:
        raise OSError(
            f"not every process came to {name!r} within {seconds} s: one has ended or "
            "hangs; the last checkpoint is kept"
        ) from error
