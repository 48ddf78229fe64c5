"""Makes `references.json`: the best known values of stored matching problems.

    PYTHONPATH=. python tests/references.py

takes minutes. The problems are those of `synthetic.make` with the seeds below, so that
the file holds values only. N = 8: every one of the 40,320 permutations. N = 16: the
best of a search 16 times the default's; where HiGHS proves the optimum of the integer
program within its limit (SciPy's `milp`), the proof is counted and must agree.
"""

import itertools
import json
import pathlib

import instances
import numpy as np
from scipy import optimize, sparse

from benchmarks import synthetic
from lvmmed_jax.matching import solver

FILE = pathlib.Path(__file__).with_name("references.json")
SIGMAS = (0.0, 0.1, 1.0)
COUNTS = {8: 340, 16: 32}
SEEDS = {8: 800, 16: 1600}
_LONG = solver.Solver(num_starts=64, num_steps=512)
_SECONDS = 20.0  # of HiGHS, a problem
_PROVED = 4  # problems of a cell that HiGHS is asked to prove


def cells():
    """(size, regime, sigma) of every cell."""
    for regime in synthetic.REGIMES:
        yield 8, regime, 1.0
    for regime, sigma in itertools.product(synthetic.REGIMES, SIGMAS):
        yield 16, regime, sigma


def name(size, regime, sigma):
    """The key of a cell in the file."""
    return f"{size} {regime} {sigma}"


def problems(size, regime, sigma):
    """The problems of a cell."""
    return synthetic.make(SEEDS[size], COUNTS[size], size, regime, sigma)


def main():
    """Writes the file."""
    found = {}
    for cell in cells():
        size, regime, sigma = cell
        batch = problems(*cell)
        proved = 0
        if size == 8:
            values = [
                instances.best_by_brute_force(instances.one(batch, index))
                for index in range(COUNTS[size])
            ]
            proved = len(values)
        else:
            values = np.asarray(_LONG(batch).objective, np.float64)
            hopeless = sigma == 1.0 or regime == "early"  # its bounds stay far off
            for index in range(0 if hopeless else _PROVED):
                best = _prove(instances.one(batch, index))
                if best is not None:
                    proved += 1
                    assert abs(best - values[index]) < 1e-4 * abs(best), cell
        found[name(*cell)] = {
            "proved": proved,
            "values": [round(float(value), 4) for value in values],
        }
        print(name(*cell), "proved", proved, "of", len(values))
    FILE.write_text(json.dumps(found, indent=0) + "\n")


def _prove(one):
    """The proved optimum by integer programming, None where time ran out.

    x_ia = 1 where i goes to a, y_ef <= sum of the x that edge f's ends allow edge e.
    """
    vertex, edge, edges_s, edges_t = (np.asarray(x) for x in one)
    size, count = len(vertex), len(edges_s)
    x_of = np.arange(size * size).reshape(size, size)
    y_of = size * size + np.arange(count * count).reshape(count, count)
    rows, columns, entries, low, high = [], [], [], [], []

    def constrain(terms, least, most):
        for column, entry in terms:
            rows.append(len(low))
            columns.append(column)
            entries.append(entry)
        low.append(least)
        high.append(most)

    for line in (*x_of, *x_of.T):
        constrain([(x, 1) for x in line], 1, 1)
    for e, ends in enumerate(edges_s):
        for side in (0, 1):
            for target in range(size):
                leaving = y_of[e, edges_t[:, side] == target]
                terms = [(y, 1) for y in leaving]
                constrain([*terms, (x_of[ends[side], target], -1)], -np.inf, 0)
        for f in np.flatnonzero(edge[e] < 0):
            (i, j), (a, b) = ends, edges_t[f]
            constrain([(x_of[i, a], 1), (x_of[j, b], 1), (y_of[e, f], -1)], -np.inf, 1)
    shape = (len(low), size * size + count * count)
    matrix = sparse.csr_array((entries, (rows, columns)), shape=shape)
    result = optimize.milp(
        -np.concatenate([vertex.ravel(), edge.ravel()]).astype(np.float64),
        constraints=optimize.LinearConstraint(matrix, low, high),
        bounds=optimize.Bounds(0, 1),
        integrality=np.arange(shape[1]) < size * size,
        options={"time_limit": _SECONDS, "mip_rel_gap": 1e-9},
    )
    return -result.fun if result.status == 0 else None


if __name__ == "__main__":
    main()
