"""The variants of a study beside each other: what its tables and its page say."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from lvmmed_jax import probes
from lvmmed_jax.report import measures, runs
from lvmmed_jax.study import finished, grid, intervals, jobs, record

_SIDES = ("pretrained", grid.RANDOM)  # of a result


class Cell(NamedTuple):
    """One variant in one measure.

    Attributes:
      spread: over the seeds.
      paired: less the baseline, over the seeds of both; None for the baseline.
      by_image: the same over the test images; None where they are not stored.
    """

    spread: intervals.Spread
    paired: intervals.Paired | None
    by_image: probes.Interval | None

    @property
    def is_clear(self) -> bool:
        """Whether it differs from the baseline whichever way one asks."""
        return self.paired is not None and intervals.is_clear(
            self.paired, self.by_image
        )


class Comparison(NamedTuple):
    """A study as far as it has come.

    Attributes:
      workdir: of the study.
      about: the content of study.json.
      baseline: the variant that others are compared with.
      variants: name -> its finished runs by seed; random starts are none.
      rows: what was measured.
      labels: of the rows.
      cells: name -> a cell a row, None where it was not measured; random starts first.
      missing: names of runs that are not finished, and which of them diverged.
    """

    workdir: pathlib.Path
    about: dict[str, Any]
    baseline: str
    variants: dict[str, dict[int, runs.Run]]
    rows: list[measures.Measure]
    labels: list[str]
    cells: dict[str, list[Cell | None]]
    missing: list[str]


class _Values(NamedTuple):
    """Of one variant in one measure: seed -> value, values and groups of the images."""

    by_seed: dict[int, float]
    by_image: dict[int, np.ndarray]
    groups: dict[int, np.ndarray | None]


def read(workdir: pathlib.Path, baseline: str | None = None) -> Comparison:
    """Compares what is finished.

    Args:
      workdir: of a study.
      baseline: another than the study's own, which is `grid.RANDOM` as long as the
        study's has no finished run.

    Raises:
      ValueError: nothing is finished, or there is no such baseline.
    """
    about = finished.read_json(workdir / record.FILE)
    keys = [(each, seed) for each in about["variants"] for seed in about["seeds"]]
    found = _finished(workdir, keys)
    rows = measures.measures(list(found.values()))
    own, random = (_values(list(found), rows, side) for side in _SIDES)
    if baseline is None:
        baseline = about["baseline"] if about["baseline"] in own else grid.RANDOM
    if baseline not in (grid.RANDOM, *own):
        known = ", ".join((grid.RANDOM, *own))
        raise ValueError(f"{workdir}: no run of baseline {baseline!r}; has {known}")
    # each variant's own start, or one variant for all
    bases = random if baseline == grid.RANDOM else dict.fromkeys(own, own[baseline])
    cells = {
        name: _cells(values, own.get(baseline))
        for name, values in _starts(_values(list(found), rows, grid.RANDOM)).items()
    }
    for name, values in own.items():
        cells[name] = _cells(values, None if name == baseline else bases[name])
    variants: dict[str, dict[int, runs.Run]] = {name: {} for name in own}
    for (name, seed), run in found.items():
        variants[name][seed] = run
    missing = [_missing(workdir, *key) for key in keys if key not in found]
    return Comparison(
        workdir, about, baseline, variants, rows, measures.labels(rows), cells, missing
    )


def _finished(
    workdir: pathlib.Path, keys: Sequence[tuple[str, int]]
) -> dict[tuple[str, int], runs.Run]:
    """The runs that have been measured, by variant and seed."""
    folders = {key: workdir / jobs.RUNS / "{}-{}".format(*key) for key in keys}
    there = {
        key: folder
        for key, folder in folders.items()
        if (folder / "evaluation.json").is_file()
    }
    if not there:
        raise ValueError(f"{workdir}: no run of this study is finished")
    return dict(zip(there, runs.read(list(there.values())), strict=True))


def _missing(workdir: pathlib.Path, name: str, seed: int) -> str:
    folder = workdir / jobs.RUNS / f"{name}-{seed}"
    diverged = (folder / finished.DIVERGED).is_file()
    return f"{folder.name}{' (diverged)' if diverged else ''}"


def _values(
    keys: Sequence[tuple[str, int]], rows: Sequence[measures.Measure], side: str
) -> dict[str, list[_Values]]:
    """Variant -> values in every row, of one side of the results."""
    found: dict[str, list[_Values]] = {}
    for column, (variant, seed) in enumerate(keys):
        kept = found.setdefault(variant, [_Values({}, {}, {}) for _ in rows])
        for row, one in zip(rows, kept, strict=True):
            result = row.results[column]
            if result is not None:
                one.by_seed[seed] = result[side]["value"]
                if "by_image" in result:
                    one.by_image[seed] = result["by_image"][side]
                    one.groups[seed] = result["groups"]
    return found


def _starts(of_variants: Mapping[str, list[_Values]]) -> dict[str, list[_Values]]:
    """Random starts by name, those that are equal together.

    Variants of one encoder begin from the same weights, seed by seed.
    """
    groups: list[tuple[list[str], list[_Values]]] = []
    for variant, values in of_variants.items():
        for names, known in groups:
            if all(map(_agree, known, values)):
                names.append(variant)
                for mine, other in zip(known, values, strict=True):
                    mine.by_seed.update(other.by_seed)
                    mine.by_image.update(other.by_image)
                    mine.groups.update(other.groups)
                break
        else:
            groups.append(([variant], values))
    if len(groups) == 1:
        return {grid.RANDOM: groups[0][1]}
    return {f"{grid.RANDOM} ({', '.join(names)})": known for names, known in groups}


def _agree(one: _Values, other: _Values) -> bool:
    both = one.by_seed.keys() & other.by_seed.keys()
    return bool(both) and all(one.by_seed[seed] == other.by_seed[seed] for seed in both)


def _cells(own: Sequence[_Values], base: Sequence[_Values] | None) -> list[Cell | None]:
    """A variant's cells, compared with those of its base."""
    others = base or [None] * len(own)
    return [_cell(*pair) for pair in zip(own, others, strict=True)]


def _cell(one: _Values, other: _Values | None) -> Cell | None:
    if not one.by_seed:
        return None
    spread = intervals.spread(list(one.by_seed.values()))
    if other is None:
        return Cell(spread, None, None)
    return Cell(
        spread,
        intervals.paired(one.by_seed, other.by_seed),
        intervals.over_images(one.by_image, other.by_image, one.groups),
    )
