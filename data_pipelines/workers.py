"""Looks at files and reads inputs in processes; no broken or endless one ends a run."""

import functools
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence

from data_pipelines import folders, pool, reading, sources

_FEW = 300  # files that are looked at before processes would have started
_BLOCK = 64  # files that a process looks at in one call


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


def look_all(
    paths: Sequence[pathlib.Path],
    *,
    num_workers: int,
    limits: pool.Limits,
    progress: Callable[[int], None],
) -> list[folders.Look]:
    """What each file is, see `folders.look_all`; few files are looked at here.

    Args:
      paths: of the files.
      num_workers, limits: as in `read_all`.
      progress: is told how many files are done.
    """
    if num_workers == 0 or len(paths) <= _FEW:
        return folders.look_all(paths)
    found: list[folders.Look] = []
    blocks = [paths[at : at + _BLOCK] for at in range(0, len(paths), _BLOCK)]
    with pool.started(num_workers, limits) as start:
        look = functools.partial(start, folders.look_all)
        for block, result in pool.in_order(
            start, folders.look_all, blocks, num_workers=num_workers
        ):
            if isinstance(result, pool.GivenUp):  # which of them was it
                alone = [look([path], 1) for path in block]
                result = [_look(each()) for each in alone]
            found += result
            progress(len(found))
    return found


def _look(result) -> folders.Look:
    if isinstance(result, pool.GivenUp):
        return folders.Look(None, result.reason)
    return result[0]


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
