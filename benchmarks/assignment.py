"""Our batched linear assignment beside optax's and SciPy's, in one run.

    python benchmarks/assignment.py

256 problems at once under jit and vmap (SciPy: one after the other), entries with
Gumbel noise as the matching's have. Medians over rounds; all three must agree in value.
"""

import argparse
import importlib.metadata
import json
import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy import optimize

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from benchmarks import turns
from lvmmed_jax.matching import assignment

_COUNT = 256


def main(argv: list[str] | None = None) -> None:
    """Measures, prints a table, and with --json one object on the last line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="5 rounds, not 25")
    parser.add_argument("--json", action="store_true", help="one object, last line")
    options = parser.parse_args(argv)
    found = {
        str(size): measure(size, 5 if options.quick else 25)
        for size in (4, 8, 16, 32, 64)
    }
    print(f"{_COUNT} problems, microseconds each")
    print("   N    ours   optax   scipy   ours / optax")
    for size, each in found.items():
        times = "".join(f"{each[name]:8.1f}" for name in ("ours", "optax", "scipy"))
        print(f"{size:>4}{times}{each['ours'] / each['optax']:15.2f}")
    if options.json:
        versions = {name: importlib.metadata.version(name) for name in ("jax", "optax")}
        device = f"{jax.devices()[0].device_kind}"
        print(json.dumps({"microseconds": found, "device": device, **versions}))


def measure(size: int, rounds: int) -> dict[str, float]:
    """Microseconds a problem of each implementation.

    Raises:
      RuntimeError: they do not agree in value.
    """
    noise = jax.random.gumbel(jax.random.key(size), (_COUNT, size, size))
    host = np.asarray(noise)
    theirs = jax.jit(jax.vmap(optax.assignment.hungarian_algorithm))
    best = np.array(
        [one[optimize.linear_sum_assignment(one, maximize=True)].sum() for one in host]
    )
    rows, columns = theirs(-noise)
    graphs = jnp.arange(_COUNT)[:, None]
    values = {
        "ours": jnp.take_along_axis(noise, assignment.assign(noise)[..., None], 2),
        "optax": noise[graphs, rows, columns],
    }
    for name, chosen in values.items():
        total = np.sum(np.reshape(chosen, (_COUNT, -1)), axis=1)
        if not np.allclose(total, best, rtol=1e-5):
            raise RuntimeError(f"{name} does not find SciPy's value at N = {size}")
    seconds = turns.medians(
        {
            "ours": lambda: assignment.assign(noise),
            "optax": lambda: theirs(-noise),
            "scipy": lambda: [
                optimize.linear_sum_assignment(one, maximize=True)[1] for one in host
            ],
        },
        rounds,
    )
    return {name: 1e6 * each / _COUNT for name, each in seconds.items()}


if __name__ == "__main__":
    main()
