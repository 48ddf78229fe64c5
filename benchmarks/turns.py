"""Times programs in turns, so that a slow moment of the machine hits all of them."""

import time
from collections.abc import Callable, Mapping

import jax
import numpy as np


def medians(
    programs: Mapping[str, Callable[[], object]],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict:
    """Median seconds of each program over `rounds`, after one that compiles.

    Args:
      programs: functions without arguments that return arrays, which are waited for.
      rounds: how often each is timed.
      clock: `time.process_time` counts the work of all threads instead.
    """
    seconds = {name: [] for name in programs}
    for index in range(rounds + 1):
        for name, program in programs.items():
            began = clock()
            jax.block_until_ready(program())
            if index:
                seconds[name].append(clock() - began)
    return {name: float(np.median(each)) for name, each in seconds.items()}
