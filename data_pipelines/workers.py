"""Reads inputs, in order, in processes; no broken or endless file ends the run."""

import functools
from collections.abc import Callable, Iterable, Iterator

from data_pipelines import pool, reading, sources


def read_all(
    inputs: Iterable[sources.Input],
    options: reading.Options,
    *,
    num_workers: int,
    limits: pool.Limits,
) -> Iterator[list[reading.Outcome]]:
    """The outcomes of every input, in order.

    Args:
      inputs: in the order of their numbers.
      options: see `reading.Options`.
      num_workers: processes; 0 reads in this one, where nothing is bounded.
      limits: of one file.
    """
    read = functools.partial(reading.read, options=options)
    with pool.started(num_workers, limits) as start:
        for entry, result in pool.in_order(
            start, read, inputs, num_workers=num_workers, num_files=_num_files
        ):
            if isinstance(result, pool.GivenUp) and len(entry.paths) > 1:
                yield _without_culprits(entry, functools.partial(start, read))
            else:
                yield _outcomes(entry, result)


def _num_files(entry: sources.Input) -> int:
    return len(entry.paths)


def _outcomes(entry, result) -> list[reading.Outcome]:
    if isinstance(result, pool.GivenUp):
        return reading.failed(entry, result.reason)
    return result


def _without_culprits(
    entry: sources.Input, start: Callable[[sources.Input, int], Callable]
) -> list[reading.Outcome]:
    """A series that could not be read together: each file alone says whether it can.

    The others are read together once more, since they share a scale.
    """
    alone = [entry.only([place]) for place in range(len(entry.paths))]
    results = [start(each, 1) for each in alone]
    found = [
        _outcomes(each, result())[0]
        for each, result in zip(alone, results, strict=True)
    ]
    good = [place for place, outcome in enumerate(found) if outcome.pieces]
    if good:
        rest = entry.only(good)
        outcomes = _outcomes(rest, start(rest, len(good))())
        for place, outcome in zip(good, outcomes, strict=True):
            found[place] = outcome
    return found
