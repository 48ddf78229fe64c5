"""Times programs in turns, so that a slow moment of the machine hits all of them."""

import time
from collections.abc import Callable, Mapping

import jax
import numpy as np


def medians(programs: Mapping[str, Callable[[], object]], rounds: int) -> dict:
    """Median seconds of each program over `rounds`, after one that compiles.

    Args:
      programs: functions without arguments that return arrays, which are waited for.
      rounds: how often each is timed.
    """
    seconds = {name: [] for name in programs}
    for index in range(rounds + 1):
        for name, program in programs.items():
            began = time.perf_counter()
            jax.block_until_ready(program())
            if index:
                seconds[name].append(time.perf_counter() - began)
    return {name: float(np.median(each)) for name, each in seconds.items()}
