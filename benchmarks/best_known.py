"""Makes `best_known.json`: the best known values of the problems of `matching.py`.

    python benchmarks/best_known.py

takes half an hour on two cores. Problems are those of `synthetic.make` with the seeds
below, so that the file holds values only. Each is searched several times from other
random starts, every time with a multiple of the default's work; the best of all is
stored, and the share of problems on which all searches agree.
"""

import dataclasses
import json
import pathlib
import sys
import time

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from benchmarks import synthetic
from lvmmed_jax.matching import solver

FILE = pathlib.Path(__file__).with_name("best_known.json")


@dataclasses.dataclass(frozen=True)
class Search:
    """How the best known values of a size are found: `num_searches` searches each."""

    num_problems: int  # a regime
    num_starts: int
    num_steps: int
    num_searches: int


SEARCHES = {
    16: Search(1024, 64, 512, 4),
    32: Search(16, 128, 1024, 4),
    64: Search(4, 64, 4096, 3),
}
_BATCH = 64  # problems between two lines of progress


def problems(size: int, regime: str, count: int):
    """The first `count` problems of a size and regime, with noise of sigma 1."""
    seed = 100 * size + list(synthetic.REGIMES).index(regime)
    return synthetic.make(seed, count, size, regime)


def load(size: int, regime: str, count: int) -> np.ndarray:
    """The stored values of the same problems."""
    return np.array(json.loads(FILE.read_text())[_name(size, regime)]["values"][:count])


def main() -> None:
    """Searches what the file does not have, and writes it after every cell."""
    found = json.loads(FILE.read_text()) if FILE.exists() else {}
    for size, search in SEARCHES.items():
        for regime in synthetic.REGIMES:
            if _name(size, regime) in found:
                continue
            began = time.monotonic()
            values = _search(problems(size, regime, search.num_problems), search)
            best = values.max(axis=0)
            agree = (values >= best - 1e-5 * np.abs(best)).all(axis=0)
            found[_name(size, regime)] = {
                "all_searches_agree": float(agree.mean()),
                "values": [round(float(value), 4) for value in best],
            }
            FILE.write_text(json.dumps(found, indent=0) + "\n")
            seconds = time.monotonic() - began
            print(f"{size} {regime}: {seconds:.0f} s, all agree on {agree.mean():.1%}")


def _name(size: int, regime: str) -> str:
    return f"{size} {regime}"


def _search(batch, search: Search) -> np.ndarray:
    """[searches, problems], the value that each search finds."""
    size = batch.vertex_affinity.shape[-1]
    one = solver.Solver(num_starts=1, num_steps=search.num_steps)
    found = []
    for seed in range(search.num_searches):
        generator = np.random.default_rng(seed)
        values = []
        for first in range(0, len(batch.vertex_affinity), _BATCH):
            part = batch._replace(
                **{
                    name: array[first : first + _BATCH]
                    for name, array in batch._asdict().items()
                }
            )
            shape = len(part.vertex_affinity), search.num_starts - 1, size
            ordered = np.broadcast_to(np.arange(size), shape)
            starts = generator.permuted(ordered, axis=-1)
            values.append(np.asarray(one(part, starts).objective, np.float64))
        found.append(np.concatenate(values))
    return np.stack(found)


if __name__ == "__main__":
    main()
