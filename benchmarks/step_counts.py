"""Counts a training step without running it: operations, bytes, collectives.

    python benchmarks/step_counts.py --config lvmmed_resnet50

Prints JSON. `scaling.py` calls `run`, which makes a process of fake CPU devices and
has the step compiled too.
"""

import argparse
import importlib.metadata
import json
import math
import os
import pathlib
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

_DEVICES = 8
_BYTES = {"f32": 4, "bf16": 2, "f16": 2, "s32": 4, "u32": 4, "pred": 1}
_COLLECTIVE = re.compile(
    r"= (\(.*?\)|\S+) "
    r"(all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)(?:-start)?\("
)
_ARRAY = re.compile(r"\b([a-z]+\d*)\[([\d,]*)\]")
LARGE = 2**18  # bytes; smaller all-reduces wait for latency, not for links


def run(config: str, compile_it: bool) -> dict:
    """Counts in another process, whose CPU stands for several devices."""
    words = [sys.executable, __file__, "--config", config]
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "JAX_PLATFORMS": "cpu",
            "XLA_FLAGS": f"--xla_force_host_platform_device_count={_DEVICES}"
            f" --xla_dump_to={folder} --xla_dump_hlo_pass_re=spmd-partitioning",
        }
        words += ["--compile", folder] if compile_it else []
        found = subprocess.run(
            words, env=environment, stdout=subprocess.PIPE, check=True, text=True
        )
    return json.loads(found.stdout.splitlines()[-1])


def collectives(text: str) -> list[tuple[str, dict[str, int]]]:
    """The collectives of a compiled program: (kind, bytes by type) of each."""
    found = []
    for line in _COLLECTIVE.finditer(text):
        size: dict[str, int] = {}
        for kind, shape in _ARRAY.findall(line[1]):
            count = math.prod(int(side) for side in shape.split(",") if side)
            size[kind] = size.get(kind, 0) + count * _BYTES[kind]
        found.append((line[2], size))
    return found


def summary(found: list[tuple[str, dict[str, int]]]) -> dict:
    """Numbers and bytes of large and small collectives, and their kinds."""
    sizes = [sum(size.values()) for _, size in found]
    small = [size for size in sizes if size < LARGE]
    return {
        "kinds": {name: sum(kind == name for kind, _ in found) for name, _ in found},
        "num_small": len(small),
        "small_bytes": sum(small),
        "large_bytes": sum(sizes) - sum(small),
        "bytes": sum(sizes),
    }


def product_bytes(jaxpr) -> int:
    """Bytes that convolutions and matrix products read and write; loops count once.

    What a program moves at least, if all that lies between them costs nothing. Of a
    function's forms for several platforms it is the last, that of accelerators.
    """
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name in ("conv_general_dilated", "dot_general"):
            arrays = [each.aval for each in (*equation.invars, *equation.outvars)]
            total += sum(array.size * array.dtype.itemsize for array in arrays)
        values = dict(equation.params)
        if equation.primitive.name == "cond":
            values["branches"] = values["branches"][-1:]
        for value in values.values():
            for inner in value if isinstance(value, tuple | list) else (value,):
                inner = getattr(inner, "jaxpr", inner)
                if hasattr(inner, "eqns"):
                    total += product_bytes(inner)
    return total


def trace_step(name: str, num_devices: int, batch_per_chip: int):
    """The real step of a config, traced from shapes; its config and state's shapes."""
    from lvmmed_jax import config as configs
    from lvmmed_jax import config_files, planning
    from lvmmed_jax.train import sharding

    count = num_devices * batch_per_chip
    settings = {"data.global_batch": count, "optimizer.accumulate": 1}
    config = configs.override(config_files.load(name, {}), settings)
    plan = planning.make(config, sharding.make_mesh(num_devices))
    side = config.views.size * 8 // 7  # 256 for 224
    batch = planning.abstract_batch(plan, {"size": side, "channels": 3})
    return config, plan.abstract, plan.step_fn.trace(plan.abstract, batch)


def count(name: str, dump: str | None) -> dict:
    """All counts of a config; `dump`: where XLA writes when it may compile."""
    import jax

    from benchmarks import matching_cost
    from lvmmed_jax import config_files
    from lvmmed_jax.matching import solver

    unit, by_batch = config_files.load(name, {}).matching.graph_size, {}
    for images in (unit, 2 * unit, 4 * unit) if dump else (unit,):
        config, shapes, traced = trace_step(name, 1, images)
        by_batch[images] = {
            "flops": traced.lower(lowering_platforms=("tpu",)).cost_analysis()["flops"],
            "bytes": product_bytes(traced.jaxpr.jaxpr),
        }
    statistics = jax.tree.leaves_with_path(shapes.model_state)
    settings = config.matching
    effort = solver.Solver(settings.num_starts, settings.num_steps).effort(unit)
    searches = config.train.method == "graph_matching"
    search = {  # of graphs of 16
        **matching_cost.search_step(effort.num_starts),
        "num_steps": effort.num_steps if searches else 0,
    }
    found = {
        "config": name,
        "network": f"{config.model.encoder}, {config.model.dtype}",
        "view_size": config.views.size,
        "graph_size": unit,
        "by_batch": by_batch,
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(shapes.params)),
        "norms": sum("mean" in jax.tree_util.keystr(path) for path, _ in statistics),
        "search": search,
        "jax": importlib.metadata.version("jax"),
    }
    if dump:
        traced = trace_step(name, _DEVICES, unit)[2]
        compiled = traced.lower().compile()
        costs, memory = compiled.cost_analysis(), compiled.memory_analysis()
        pattern = "*jit_step*after_spmd-partitioning*"
        texts = [path.read_text() for path in pathlib.Path(dump).glob(pattern)]
        found["compiled"] = {
            "devices": _DEVICES,
            "batch_per_chip": unit,
            "flops": costs["flops"],
            "bytes": costs["bytes accessed"],
            "temporary_bytes": memory.temp_size_in_bytes,
            "collectives": summary(collectives(compiled.as_text())),
            # as cut for devices, before this CPU's passes widen bfloat16
            "partitioned": summary(collectives(texts[0])) if texts else None,
        }
    return found


def main(argv: list[str] | None = None) -> None:
    """Prints the counts as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="lvmmed_resnet50", help="name or file")
    parser.add_argument("--compile", metavar="FOLDER", help="where XLA dumps")
    options = parser.parse_args(argv)
    print(json.dumps(count(options.config, options.compile)))


if __name__ == "__main__":
    main()
