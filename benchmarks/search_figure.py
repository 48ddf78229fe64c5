"""Draws `docs/search.png`: how close the search comes, by its length.

    python benchmarks/search_figure.py

The share of problems on which the best known value is found, 256 problems a
regime, N = 16, noise of sigma 1, over the steps of each start.
"""

import pathlib
import sys

import matplotlib.pyplot as plt
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from benchmarks import best_known, matching, synthetic
from lvmmed_jax.matching import solver

FILE = pathlib.Path(__file__).parents[1] / "docs" / "search.png"
_STEPS = (8, 16, 32, 64, 128, 256)
_STARTS = (1, 4, 16, 64)
_COUNT = 256


def main() -> None:
    """Measures and draws."""
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.4), sharey=True)
    for axis, regime in zip(axes, synthetic.REGIMES, strict=True):
        shares = measure(regime)
        for starts, row in zip(_STARTS, shares, strict=True):
            axis.plot(_STEPS, 100 * row, marker="o", label=str(starts))
        axis.scatter([128], [100 * shares[2][4]], s=120, facecolors="none", color="k")
        axis.set(
            title=regime, xlabel="steps of each start", xscale="log", ylim=(0, 102)
        )
        axis.set_xticks(_STEPS, _STEPS, minor=False)
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("solved to the best known, %")
    axes[-1].legend(frameon=False, loc="lower right", title="starts")
    figure.savefig(FILE, dpi=110, bbox_inches="tight")
    print(FILE)


def measure(regime: str) -> np.ndarray:
    """[starts, steps], the share of problems on which the best known value is found."""
    problems = best_known.problems(16, regime, _COUNT)
    best = best_known.load(16, regime, _COUNT)
    found = np.zeros((len(_STARTS), len(_STEPS)))
    for row, starts in enumerate(_STARTS):
        for column, steps in enumerate(_STEPS):
            values = solver.Solver(starts, steps)(problems).objective
            gap = matching.gaps(np.asarray(values), best)
            found[row, column] = np.mean(gap <= matching.OPTIMAL)
    return found


if __name__ == "__main__":
    main()
