"""Encoders beside the same in PyTorch: ResNet-50 and ViT-B/16 at 224 pixels.

    pip install -r requirements-torch.txt torchvision timm
    python benchmarks/encoders.py                forward, batches of 1, 8 and 32
    python benchmarks/encoders.py --train        forward and backward
    python benchmarks/encoders.py --quick        batches of 1 and 8, nothing compiled

Medians over rounds in which all take turns, in float32 and with as many threads.
PyTorch has three forms, eager NCHW, eager channels_last and compiled (channels_last;
--quick leaves it out, which would compile for minutes); the ratio of speeds is that to
the best of them. ResNet-50 is torchvision's, ViT-B/16 timm's; weights are random.

--processor counts the work of all threads instead of the time that passes: the same
whatever else the machine does.
"""

import argparse
import functools
import importlib.metadata
import json
import os
import pathlib
import sys
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

# threads that spin while they wait take the core of those that they wait for
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
try:
    import timm
    import torch
    import torchvision
except ModuleNotFoundError:
    sys.exit(
        "PyTorch's encoders are not installed: "
        "pip install -r requirements-torch.txt torchvision timm"
    )

from benchmarks import turns
from lvmmed_jax.models import encoder_table

_SIZE = 224
_FORMS = ("eager", "channels_last", "compiled")
NETWORKS = {
    "resnet50": lambda: torch.nn.Sequential(
        *list(torchvision.models.resnet50(weights=None).children())[:-2]
    ),
    "vit_b16": lambda: timm.create_model(
        "vit_base_patch16_224", num_classes=0, global_pool=""
    ),
}


def main(argv: list[str] | None = None) -> None:
    """Measures, prints a table, and with --json one object on the last line."""
    options = _parse(argv)
    if hasattr(os, "sched_getaffinity"):  # XLA's threads: the cores it may use
        torch.set_num_threads(len(os.sched_getaffinity(0)))
    batches = (1, 8) if options.quick else (1, 8, 32)
    if options.batch:
        batches = (options.batch,)
    rows = []
    for network in options.network or NETWORKS:
        for batch in batches:
            rows.append(measure(network, batch, options))
            _show(rows[-1])
    ratios = {
        network: min(row["speed_ratio"] for row in rows if row["network"] == network)
        for network in {row["network"]: None for row in rows}
    }
    print("least ratio of speeds:", ratios)
    if options.json:
        packages = ("jax", "torch", "torchvision", "timm")
        about = {
            "speed_ratio": ratios,
            "rows": rows,
            "train": options.train,
            "clock": "processor" if options.processor else "wall",
            "size": _SIZE,
            "threads": torch.get_num_threads(),
            "devices": jax.devices()[0].device_kind,
        }
        versions = {name: importlib.metadata.version(name) for name in packages}
        print(json.dumps(about | versions))


def measure(network: str, batch: int, options: argparse.Namespace) -> dict:
    """Median seconds of ours and of each form of PyTorch's."""
    load = os.getloadavg()[0]
    programs, failed = {"ours": _ours(network, batch, options.train)}, {}
    for form in _FORMS[:2] if options.quick else _FORMS:
        program = _torchs(network, form, batch, options.train)
        try:
            program()  # a compiled program compiles here
        except Exception as error:  # no C++ compiler, say: the others still race
            failed[form] = f"{type(error).__name__}: {error}".splitlines()[0]
        else:
            programs[f"torch {form}"] = program
    rounds = options.rounds or (3 if options.quick else 7)
    clock = time.process_time if options.processor else time.perf_counter
    seconds = turns.medians(programs, rounds, clock)
    best = min(each for name, each in seconds.items() if name != "ours")
    return {
        "network": network,
        "batch": batch,
        "seconds": seconds,
        "speed_ratio": best / seconds["ours"],
        "failed": failed,
        "load_before": load,  # of the machine: 0 is idle
    }


def _ours(network: str, batch: int, train: bool) -> Callable[[], jax.Array]:
    """One pass, of weights that are random as far as speed can tell."""
    module = encoder_table.find(network).make(network, 64, jnp.float32, False)
    images = jnp.asarray(_images(batch))
    shapes = jax.eval_shape(
        functools.partial(module.init, train=False), jax.random.key(0), images
    )
    generator = np.random.default_rng(0)
    variables = jax.tree.map(
        lambda x: jnp.asarray(0.02 + 0.02 * generator.random(x.shape, np.float32)),
        shapes,
    )
    params = variables.pop("params")

    def loss(params, others, images):
        x, new = module.apply(
            {"params": params, **others}, images, train=True, mutable=["batch_stats"]
        )
        return jnp.mean(jnp.square(x)), new

    def forward(params, others, images):
        return module.apply({"params": params, **others}, images, train=False)

    run = jax.jit(jax.grad(loss, has_aux=True) if train else forward)
    return lambda: run(params, variables, images)


def _torchs(network: str, form: str, batch: int, train: bool) -> Callable[[], object]:
    """The same of a form of PyTorch's."""
    module = NETWORKS[network]().train(train)
    images = torch.tensor(_images(batch)).permute(0, 3, 1, 2).contiguous()
    if form != "eager":
        module = module.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
    run = torch.compile(module) if form == "compiled" else module

    def forward():
        with torch.inference_mode():
            return run(images)

    def backward():
        module.zero_grad()
        loss = run(images).square().mean()
        loss.backward()
        return loss.detach()

    return backward if train else forward


def _images(batch: int) -> np.ndarray:
    generator = np.random.default_rng(0)
    return generator.standard_normal((batch, _SIZE, _SIZE, 3), np.float32)


def _show(row: dict) -> None:
    print(f"{row['network']}, {_SIZE} px, batch {row['batch']}")
    for name, seconds in row["seconds"].items():
        print(f"  {name:<22} {seconds * 1e3:9.1f} ms")
    for form, reason in row["failed"].items():
        print(f"  left out: {form}, {reason}")
    print(f"  speed, best of PyTorch's over ours: {row['speed_ratio']:.2f}", flush=True)


def _parse(argv) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--network", action="append", choices=list(NETWORKS), help="one only")
    add("--batch", type=int, help="one only")
    add("--rounds", type=int, help="7; 3 with --quick")
    add("--train", action="store_true", help="forward and backward")
    add("--processor", action="store_true", help="seconds of all threads together")
    add("--quick", action="store_true", help="1 and 8 images, 3 rounds, not compiled")
    add("--json", action="store_true", help="one object, last line")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
