"""What commands that are given files do first: say how many processes, and look."""

from collections.abc import Callable, Sequence
from typing import Any

from lvmmed_jax import progress


def num_workers(wanted: int | None) -> int:
    """Processes that read files: as wanted, else one a core."""
    from data_pipelines import pool

    return pool.usable_cores() if wanted is None else wanted


def looker(num_workers: int, limits: Any) -> Callable[[Sequence], Sequence]:
    """A function for `sources.expand` that looks at files in processes, with progress.

    Args:
      num_workers, limits: see `workers.look_all`.
    """
    from data_pipelines import workers

    def look(paths):
        with progress.counted("looking", total=len(paths), unit="files") as done:
            return workers.look_all(
                paths, num_workers=num_workers, limits=limits, progress=done
            )

    return look
