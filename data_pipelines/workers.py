"""Reads inputs, in order, in processes whose time and memory are bounded."""

import collections
import concurrent.futures
import concurrent.futures.process
import contextlib
import functools
import itertools
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from data_pipelines import reading, sources

_AHEAD = 4  # inputs a worker that wait to be read, or to be taken


class Limits(NamedTuple):
    """What reading one file may take before it is given up.

    Attributes:
      seconds: a file; a series may take as much for each of its files.
      gigabytes: of memory that a worker asks for, where the system can bound it.
    """

    seconds: float = 300.0
    gigabytes: float = 8.0


def usable_cores() -> int:
    """CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def read_all(
    inputs: Iterable[sources.Input],
    options: reading.Options,
    *,
    num_workers: int,
    limits: Limits,
) -> Iterator[list[reading.Outcome]]:
    """The outcomes of every input, in order; no broken or endless one ends the run.

    Args:
      inputs: in the order of their numbers.
      options: see `reading.Options`.
      num_workers: processes; 0 reads in this one, where nothing is bounded.
      limits: of one file.
    """
    if num_workers == 0:
        for entry in inputs:
            yield reading.read(entry, options)
        return
    import pebble

    pool = pebble.ProcessPool(
        max_workers=num_workers,
        initializer=_begin,
        initargs=(limits.gigabytes, os.getpid()),
        context=multiprocessing.get_context("spawn"),
    )
    try:
        waiting: collections.deque = collections.deque()
        read = functools.partial(reading.read, options=options)
        rest = iter(inputs)
        while True:
            free = _AHEAD * num_workers - len(waiting)
            for entry in itertools.islice(rest, free):
                seconds = limits.seconds * len(entry.paths)
                waiting.append((entry, pool.schedule(read, [entry], timeout=seconds)))
            if not waiting:
                break
            entry, future = waiting.popleft()
            try:
                yield future.result()
            except concurrent.futures.TimeoutError:
                yield reading.failed(entry, f"not read within {limits.seconds:g} s")
            except pebble.ProcessExpired:
                yield reading.failed(entry, "its reader died")
            except concurrent.futures.process.BrokenProcessPool as error:
                raise OSError(
                    "the processes that read files end at once; see whether "
                    "--workers 0 works"
                ) from error
    finally:
        pool.stop()
        pool.join()


def _begin(gigabytes: float, parent: int) -> None:
    """Of a worker: bounds its memory, leaves Ctrl-C to the parent, ends with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(ImportError, ValueError, OSError):  # not on Windows
        import resource

        limit = int(gigabytes * 2**30)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    threading.Thread(target=_end_with, args=[parent], daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
