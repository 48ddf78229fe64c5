"""What the matching costs: as N and the batch grow, part by part, and elsewhere.

    python benchmarks/matching_cost.py            minutes
    python benchmarks/matching_cost.py --quick    small sizes

Times are medians on this machine; FLOPs, bytes and kernels are read off the compiled
program. The last table is an estimate for machines that were not measured.
"""

import argparse
import functools
import importlib.metadata
import json
import os
import pathlib
import re
import sys

import jax
import jax.numpy as jnp

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from benchmarks import synthetic, turns
from lvmmed_jax.matching import affinity, certificate, graphs, imle, problem, solver

_LAMBDA = 80.0
# memory bandwidth in bytes/s, float32 FLOP/s, seconds to start one kernel
MACHINES = {
    "H100 SXM": (3.35e12, 67e12, 3e-6),
    "TPU v5e": (0.82e12, 5e12, 1e-6),
}


def main(argv: list[str] | None = None) -> None:
    """Measures, prints tables, and with --json one object on the last line."""
    options = _parse(argv)
    rounds = 3 if options.quick else 7
    sizes = (8, 16) if options.quick else (8, 16, 32, 64)
    batches = (1, 4, 16) if options.quick else (1, 4, 16, 64, 256, 512)
    shapes = {"ResNet-50, 224 px": (49, 2048)}
    if not options.quick:
        shapes["ViT-B/16, 224 px"] = (196, 768)
    found = {
        "sizes": {size: by_size(size, rounds) for size in sizes},
        "batches": {count: by_batch(count, rounds) for count in batches},
        "parts": {
            name: parts(*shape, 4 if options.quick else 16, rounds)
            for name, shape in shapes.items()
        },
        "step": search_step(),
    }
    found["estimates"] = {
        name: {
            count: estimate(found["step"], count, *machine)
            for count in (16, 64, 256, 1024)
        }
        for name, machine in MACHINES.items()
    }
    _print(found)
    if options.json:
        found["devices"] = f"{jax.device_count()} x {jax.devices()[0].device_kind}"
        found["cores"] = os.cpu_count()
        found["jax"] = importlib.metadata.version("jax")
        print(json.dumps(found))


def by_size(size: int, rounds: int) -> dict:
    """Default search on graphs of N nodes: time, memory, and the proof beside it."""
    count = max(1, 2**20 // size**4)
    problems = synthetic.make(0, count, size, "early")
    targets = jnp.broadcast_to(jnp.arange(size), (count, size))
    solve = jax.jit(solver.Solver())
    prove = jax.jit(certificate.gain_bound)
    seconds = turns.medians(
        {"search": lambda: solve(problems), "proof": lambda: prove(problems, targets)},
        rounds if size < 64 else 1,
    )
    memory = solve.lower(problems).compile().memory_analysis().temp_size_in_bytes
    return {
        "effort": repr(solver.Solver().effort(size)),
        "count": count,
        "search_milliseconds": 1e3 * seconds["search"] / count,
        "proof_milliseconds": 1e3 * seconds["proof"] / count,
        "mebibytes": memory / count / 2**20,
    }


def by_batch(count: int, rounds: int) -> float:
    """Milliseconds a problem of the default search in a batch, N = 16."""
    problems = synthetic.make(0, count, 16, "early")
    solve = solver.Solver()
    seconds = turns.medians({"search": lambda: solve(problems)}, rounds)
    return 1e3 * seconds["search"] / count


def parts(num_cells: int, width: int, num_graphs: int, rounds: int) -> dict:
    """Each part from maps to loss, alone, with its gradient where it has one.

    Args:
      num_cells: P, cells of a feature map.
      width: D, its channels.
      num_graphs: G, of 16 images a view.
      rounds: how often each is timed.
    """
    keys = jax.random.split(jax.random.key(0), 3)
    nodes = jax.random.normal(keys[0], (num_graphs, 2, 16, 128))
    features = jax.random.normal(keys[1], (num_graphs, 2, 16, num_cells, width))
    places = jax.random.uniform(keys[2], (num_graphs, 2, 16, num_cells, 2))
    problems = synthetic.make(0, num_graphs, 16, "early")
    targets = jnp.broadcast_to(jnp.arange(16), (num_graphs, 16))

    def connect(nodes):
        return jax.vmap(jax.vmap(lambda z: graphs.knn_graph(z, 5)))(nodes)

    def local(features):
        total = jax.vmap(
            lambda cells, where: affinity.local_affinity(*cells, *where, 20)
        )(features, places)
        return jnp.sum(jnp.sin(total))

    def edges(nodes):
        connected = connect(nodes)
        two = (jax.tree.map(lambda x, i=i: x[:, i], connected) for i in (0, 1))
        return jnp.sum(jnp.sin(jax.vmap(affinity.edge_affinity)(*two)))

    def loss(vertex, edge):
        shifted = problems._replace(vertex_affinity=vertex, edge_affinity=edge)
        matching, _ = imle.match(solver.Solver(), shifted, _LAMBDA)
        return jnp.mean(imle.hamming_loss(matching, jnp.eye(16)[None]))

    affinities = problems.vertex_affinity, problems.edge_affinity
    programs = {
        "k-NN graphs": (connect, (nodes,)),
        "local affinity and gradient": (jax.grad(local), (features,)),
        "edge affinity and gradient": (jax.grad(edges), (nodes,)),
        "pair table": (jax.vmap(problem.pair_table), (problems,)),
        "search": (solver.Solver(), (problems,)),
        "proof": (certificate.gain_bound, (problems, targets)),
        "match and gradient": (jax.grad(loss, argnums=(0, 1)), affinities),
    }
    found = {}
    for name, (function, arguments) in programs.items():
        run = jax.jit(function).lower(*arguments).compile()
        # one after the other: in turns, the large ones would leave cold caches behind
        timed = turns.medians({name: functools.partial(run, *arguments)}, rounds)
        memory = run.memory_analysis().temp_size_in_bytes
        found[name] = {
            "milliseconds": 1e3 * timed[name] / num_graphs,
            "mebibytes": memory / num_graphs / 2**20,
        }
    return found


def search_step(num_starts: int = 16) -> dict:
    """FLOPs, bytes and kernels of one step of the search from all starts, N = 16."""
    problems = synthetic.make(0, 1, 16, "early")
    one = jax.tree.map(lambda array: array[0], problems)
    table = problem.pair_table(one)
    starts = jnp.asarray(solver._fixed_starts(16, num_starts))
    begun = jax.vmap(lambda start: solver._begin(one.vertex_affinity, table, start))(
        starts
    )

    def step(table, now, until, search):
        return jax.vmap(lambda one: solver._step(table, now, until, one))(search)

    compiled = jax.jit(step).lower(table, jnp.int32(1), jnp.int32(5), begun).compile()
    costs = compiled.cost_analysis()
    entry = compiled.as_text().split("ENTRY", 1)[1]
    return {
        "starts": num_starts,
        "flops": costs["flops"],
        "bytes": costs["bytes accessed"],
        "kernels": len(re.findall(r" (?:fusion|reduce|gather|copy)\(", entry)),
    }


def estimate(step: dict, count: int, bandwidth: float, peak: float, start: float):
    """Milliseconds a call of the default search on `count` problems, not measured.

    128 steps; each takes as long as the slowest of its kernels' starts, its bytes and
    its FLOPs.
    """
    slowest = max(
        step["kernels"] * start,
        count * step["bytes"] / bandwidth,
        count * step["flops"] / peak,
    )
    return 1e3 * solver.Solver().effort(16).num_steps * slowest


def _print(found: dict) -> None:
    print(f"{jax.devices()[0].device_kind}, {os.cpu_count()} cores\n")
    print("   N  graphs  search, ms a graph  proof, ms a graph  MiB a graph")
    for size, row in found["sizes"].items():
        print(
            f"{size:>4}{row['count']:>8}{row['search_milliseconds']:>20.2f}"
            f"{row['proof_milliseconds']:>19.3f}{row['mebibytes']:>13.1f}"
        )
    print("\ngraphs at once, N = 16   ms a graph")
    for count, milliseconds in found["batches"].items():
        print(f"{count:>22}{milliseconds:>13.2f}")
    for name, rows in found["parts"].items():
        print(f"\n{name}, N = 16{'ms a graph':>36}{'MiB a graph':>13}")
        for part, row in rows.items():
            print(f"  {part:<40}{row['milliseconds']:>12.2f}{row['mebibytes']:>13.2f}")
    step = found["step"]
    print(
        f"\none step of the search, {step['starts']} starts: {step['flops']:.0f} FLOPs,"
        f" {step['bytes']:.0f} bytes, {step['kernels']} kernels"
    )
    for name, row in found["estimates"].items():
        print(f"{name}, estimated, not measured:", end=" ")
        print(", ".join(f"{count} in {each:.1f} ms" for count, each in row.items()))


def _parse(argv) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small sizes, 3 rounds")
    parser.add_argument("--json", action="store_true", help="one object, last line")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
