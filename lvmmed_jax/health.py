"""Tells from its metrics whether training is healthy, and if not, why."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

MANY_STEPS = 100
MIN_VALUES = 3
MIN_RANK = 2.0
MIN_RANK_FRACTION, ENOUGH_RANK = 0.25, 15.0  # the first of the start's
MIN_STD = 0.1
HIGH_AFFINITY = 0.9
NEAR_CHANCE, MIN_RISE = 3.0, 0.05  # the first times chance
MAX_GROWTH = 10.0
MIN_SKIPPED, MAX_SKIPPED_SHARE = 3, 0.01

TOO_SHORT = (
    f"too short to tell: embedding rank, spread or matching accuracy must have been "
    f"measured {MIN_VALUES} times"
)

_SIGNS = ("embedding_rank", "embedding_std", "matching_accuracy")


class Verdict(NamedTuple):
    """Whether training is healthy, and if not, why; one reason a sign."""

    healthy: bool
    reasons: tuple[str, ...]


def series(metrics: Iterable[Mapping[str, Any]], key: str) -> dict[int, float]:
    """The values of one metric by step, in the order of steps.

    A resumed run writes some steps twice: the later line counts. JSON's null, which
    strict writers put for a number that is not finite, is read as nan.
    """
    values = {
        int(line["step"]): math.nan if line[key] is None else float(line[key])
        for line in metrics
        if key in line
    }
    return dict(sorted(values.items()))


def ends(metrics: Iterable[Mapping[str, Any]], key: str) -> tuple[float, float] | None:
    """The first and the last value of a metric, None where it was never logged."""
    values = list(series(metrics, key).values())
    return (values[0], values[-1]) if values else None


def judge(metrics: Sequence[Mapping[str, Any]], graph_size: int = 16) -> Verdict:
    """Tells a healthy run from one that collapses, diverges or does not learn.

    The thresholds stand between what runs that learned and runs that did not have
    measured (F = 128, graphs of N = 16, 300 to 750 steps):

    * a loss, rank, spread or accuracy that is not finite: diverged.
    * more than 1 % of the steps skipped, and 3 or more (project): one bad batch is no
      sign, a loss or gradient that is not finite time and again is.
    * embedding rank, exp of the entropy of the normalised singular values of z: below
      2 the embeddings lie on a line; runs that learned kept 0.28 of the start or more
      (55-61 fell to 28-35, and to 16 at a rate of 1e-2), runs at a learning rate of 3
      fell to 0.10-0.24, to 15 at most, within 40 steps. Above that nothing is said:
      heads of 512 channels start at 270, and the best of Barlow Twins and VICRegL ended
      at 0.18-0.21 of it, at 49-56.
    * embedding spread, that of the directions times sqrt(F), below 0.1: 1 where they
      fill the space; sqrt(1 - c) at mean cosine c of different images, so that 0.1
      is 0.99. The worst run that did not collapse drifted to 0.85.
    * mean affinity of pairs of different images above 0.9 and higher than at first:
      random encoders have 0.63 to 0.76, a run that drifted and yet learned 0.85, runs
      at a learning rate of 3 mostly 0.90 to 0.96 from step 20 on.
    * norm of the parameters above 10 times that of the evaluation before: runs that
      learned grew by under a half in all; at a learning rate of 3 one step of Adam
      makes it hundreds of times larger.
    * matching accuracy below 3 times chance that did not rise by 0.05 (one standard
      error of 128 images is 0.04) after 100 steps: runs that failed end at 0.05-0.16,
      an untrained encoder has 0.20-0.27, and one that learns about 0.4 at that step.

    Args:
      metrics: lines of `metrics.jsonl`, any keys missing in any line.
      graph_size: N, images a graph; chance is 1 / N.

    Returns:
      The verdict. A run with under three values of each sign is not called healthy:
      its one reason is `TOO_SHORT`, or that it skipped steps.
    """
    if reason := _not_finite(metrics):
        return Verdict(False, (reason,))
    if max(len(series(metrics, key)) for key in _SIGNS) < MIN_VALUES:
        return Verdict(False, (_skipping(metrics) or TOO_SHORT,))
    reasons = (
        _skipping(metrics),
        _low_rank(metrics),
        _no_spread(metrics),
        _alike(metrics),
        _swept_away(metrics),
        _not_learning(metrics, 1 / graph_size),
    )
    reasons = tuple(filter(None, reasons))
    return Verdict(not reasons, reasons)


def _not_finite(metrics: Sequence[Mapping[str, Any]]) -> str | None:
    for key in ("loss", "loss_no_noise", *_SIGNS):
        for step, value in series(metrics, key).items():
            if not math.isfinite(value):
                return f"diverged: {key} is not finite at step {step}"
    return None


def _skipping(metrics: Sequence[Mapping[str, Any]]) -> str | None:
    counts = series(metrics, "skipped_steps")
    if not counts:
        return None
    step, skipped = next(reversed(counts.items()))
    if skipped < MIN_SKIPPED or skipped <= MAX_SKIPPED_SHARE * step:
        return None
    return (
        f"diverging: {skipped:.0f} of {step} steps had a loss or gradient that is not "
        "finite and were skipped"
    )


def _low_rank(metrics: Sequence[Mapping[str, Any]]) -> str | None:
    first, last = ends(metrics, "embedding_rank") or (math.inf, math.inf)
    if last >= max(MIN_RANK, min(MIN_RANK_FRACTION * first, ENOUGH_RANK)):
        return None
    return f"collapsing: the embedding rank is {last:.1f}, at first {first:.1f}"


def _no_spread(metrics: Sequence[Mapping[str, Any]]) -> str | None:
    _, last = ends(metrics, "embedding_std") or (math.inf, math.inf)
    if last >= MIN_STD:
        return None
    return f"collapsing: the embedding spread is {last:.2f}, images look alike"


def _alike(metrics: Sequence[Mapping[str, Any]]) -> str | None:
    first, last = ends(metrics, "affinity_other") or (0.0, 0.0)
    if last <= max(HIGH_AFFINITY, first):
        return None
    return (
        f"collapsing: the affinity of different images is {last:.2f}, at first "
        f"{first:.2f}"
    )


def _swept_away(metrics: Sequence[Mapping[str, Any]]) -> str | None:
    norms = list(series(metrics, "parameter_norm").values())
    for before, after in itertools.pairwise(norms):
        if after > MAX_GROWTH * before:
            return (
                f"diverging: the norm of the parameters went from {before:.3g} to "
                f"{after:.3g} between two evaluations; try a lower learning rate"
            )
    return None


def _not_learning(metrics: Sequence[Mapping[str, Any]], chance: float) -> str | None:
    steps = max(series(metrics, "matching_accuracy"), default=0)
    first, last = ends(metrics, "matching_accuracy") or (0.0, 0.0)
    if steps < MANY_STEPS or last >= NEAR_CHANCE * chance or last - first >= MIN_RISE:
        return None
    return (
        f"not learning: the matching accuracy is {last:.2f} after {steps} steps, "
        f"at first {first:.2f}, by chance {chance:.2f}"
    )
