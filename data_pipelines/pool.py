"""Calls functions in processes whose time and memory are bounded."""

import collections
import concurrent.futures
import concurrent.futures.process
import contextlib
import ctypes
import functools
import itertools
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

_AHEAD = 4  # calls a process that wait to be made, or their results to be taken
_SECONDS_MORE = 2.0  # for each further file of a series
_PR_SET_PDEATHSIG = 1  # of prctl(2): the signal that comes when the parent ends


class Limits(NamedTuple):
    """What one file may take before it is given up.

    Attributes:
      seconds: a file; a series may take 2 more for each of its files.
      gigabytes: of memory that a process asks for, where the system can bound it.
    """

    seconds: float = 300.0
    gigabytes: float = 8.0


class GivenUp(NamedTuple):
    """In place of a result: why a call did not come to its end."""

    reason: str


# (function, item, files that it is of) -> a function that waits for the result
Start = Callable[[Callable[[Any], Any], Any, int], Callable[[], Any]]


def usable_cores() -> int:
    """CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextlib.contextmanager
def started(num_workers: int, limits: Limits) -> Iterator[Start]:
    """Yields a function that starts calls; the processes end with the block.

    Args:
      num_workers: processes; 0 calls in this one, where nothing is bounded.
      limits: of a file.
    """
    if num_workers == 0:
        yield lambda function, item, _: functools.partial(function, item)
        return
    import pebble

    processes = pebble.ProcessPool(
        max_workers=num_workers,
        initializer=_begin,
        initargs=(limits.gigabytes, os.getpid()),
        context=multiprocessing.get_context("spawn"),
    )

    def start(function, item, num_files):
        more = min(limits.seconds, _SECONDS_MORE) * (num_files - 1)
        seconds = limits.seconds + more
        future = processes.schedule(function, [item], timeout=seconds)
        return functools.partial(_result, future, limits)

    try:
        yield start
    finally:
        processes.stop()
        processes.join()


def in_order(
    start: Start,
    function: Callable[[Any], Any],
    items: Iterable[Any],
    *,
    num_workers: int,
    num_files: Callable[[Any], int] = lambda item: 1,
) -> Iterator[tuple[Any, Any]]:
    """Each item and its result, or `GivenUp`, in their order; a few calls ahead.

    Args:
      start: see `started`.
      function: can be sent to another process.
      items: its arguments.
      num_workers: that `start` was made with.
      num_files: how many files an item is of.
    """
    waiting: collections.deque = collections.deque()
    rest = iter(items)
    while True:
        free = max(1, _AHEAD * num_workers) - len(waiting)
        for item in itertools.islice(rest, free):
            waiting.append((item, start(function, item, num_files(item))))
        if not waiting:
            return
        item, result = waiting.popleft()
        yield item, result()


def _result(future, limits) -> Any:
    import pebble

    try:
        return future.result()
    except concurrent.futures.TimeoutError:
        return GivenUp(f"not read within {limits.seconds:g} s (--seconds-per-file)")
    except pebble.ProcessExpired:
        return GivenUp("its reader died")
    except concurrent.futures.process.BrokenProcessPool as error:
        raise OSError(
            "the processes that read files end at once; see whether --workers 0 works"
        ) from error


def _begin(gigabytes: float, parent: int) -> None:
    """Of a process: bounds its memory, leaves Ctrl-C to the parent, ends with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(ImportError, ValueError, OSError):  # not on Windows
        import resource

        limit = int(gigabytes * 2**30)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    if sys.platform == "linux":  # a decoder that loops may hold the lock of Python
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    threading.Thread(target=_end_with, args=[parent], daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
