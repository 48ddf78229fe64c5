"""Reads inputs, in order, in processes whose time and memory are bounded."""

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
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from data_pipelines import reading, sources

_AHEAD = 4  # inputs a worker that wait to be read, or to be taken
_PR_SET_PDEATHSIG = 1  # of prctl(2): the signal that comes when the parent ends


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

        def start(entry):
            seconds = limits.seconds * len(entry.paths)
            return pool.schedule(read, [entry], timeout=seconds)

        while True:
            free = _AHEAD * num_workers - len(waiting)
            waiting.extend(
                (entry, start(entry)) for entry in itertools.islice(rest, free)
            )
            if not waiting:
                break
            entry, future = waiting.popleft()
            outcomes, is_read = _taken(entry, future, limits)
            if not is_read and len(entry.paths) > 1:
                outcomes = _without_culprits(entry, start, limits)
            yield outcomes
    finally:
        pool.stop()
        pool.join()


def _taken(entry, future, limits) -> tuple[list[reading.Outcome], bool]:
    """What became of an input, and whether it was read to the end."""
    import pebble

    try:
        return future.result(), True
    except concurrent.futures.TimeoutError:
        return reading.failed(entry, f"not read within {limits.seconds:g} s"), False
    except pebble.ProcessExpired:
        return reading.failed(entry, "its reader died"), False
    except concurrent.futures.process.BrokenProcessPool as error:
        raise OSError(
            "the processes that read files end at once; see whether --workers 0 works"
        ) from error


def _without_culprits(entry, start, limits) -> list[reading.Outcome]:
    """A series that could not be read together: each file alone says whether it can.

    The others are read together once more, since they share a scale.
    """
    alone = [entry.only([place]) for place in range(len(entry.paths))]
    futures = [start(each) for each in alone]
    found, good = {}, []
    for place, (each, future) in enumerate(zip(alone, futures, strict=True)):
        (found[place],), _ = _taken(each, future, limits)
        if found[place].pieces:
            good.append(place)
    if good:
        rest = entry.only(good)
        outcomes, _ = _taken(rest, start(rest), limits)
        found.update(zip(good, outcomes, strict=True))
    return [found[place] for place in range(len(entry.paths))]


def _begin(gigabytes: float, parent: int) -> None:
    """Of a worker: bounds its memory, leaves Ctrl-C to the parent, ends with it."""
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
