"""Our training step beside the same step in PyTorch: equal, and how fast.

    pip install -r requirements-torch.txt
    python benchmarks/torch_step.py                            ResNet-50, 224 pixels
    python benchmarks/torch_step.py --encoder resnet18
    python benchmarks/torch_step.py --quick          70 s       ResNet-18, 96 pixels

First both are compared on the same weights; `torch_agreement.py` says what the errors
are relative to. Then they take turns, medians over rounds, with the same number of
threads: our whole step, which makes the views and searches for the matching, and three
forms of the twin's, eager NCHW, eager channels_last and compiled (channels_last;
--quick leaves it out, which would compile for a minute). PyTorch has no solver of these
problems: the twin is given views, noise and both solutions, which costs it nothing.
"""

import argparse
import importlib.metadata
import json
import os
import pathlib
import sys
from collections.abc import Callable

import jax

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

# threads that spin while they wait take the core of those that they wait for
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
try:
    import torch
except ModuleNotFoundError:
    sys.exit("PyTorch is not installed: pip install -r requirements-torch.txt")

from benchmarks import step, torch_agreement, torch_given, torch_twin, turns
from lvmmed_jax import config_files

_NUM_STEPS = 10
_FORMS = ("eager", "channels_last", "compiled")


def main(argv: list[str] | None = None) -> None:
    """Measures, prints a table, and with --json one object on the last line."""
    options = _parse(argv)
    if hasattr(os, "sched_getaffinity"):  # XLA's threads: the cores it may use
        torch.set_num_threads(len(os.sched_getaffinity(0)))
    config = config_files.load(
        "lvmmed_resnet50",
        {
            "model.encoder": "resnet18" if options.quick else options.encoder,
            "model.dtype": "float32",
            "views.size": 96 if options.quick else options.size,
            "data.global_batch": options.batch,
        },
    )
    forms = _FORMS[:2] if options.quick else _FORMS
    network = f"{config.model.encoder}, width {config.model.width}, float32"
    print(f"{network}, {config.views.size} px, {options.batch} images a step", end=", ")
    print(f"{torch.get_num_threads()} threads")
    images = step._images(config)
    ours = torch_given.Ours(config, images, torch_agreement.LEARNING_RATE)
    found = {**agree(ours), **race(ours, 2 if options.quick else 7, forms)}
    print(f"  largest gradient error     {found['max_gradient_error']:.1e}")
    print(f"    PyTorch's from float32   {found['torch_float32_gradient_error']:.1e}")
    print(f"  loss error after 10 steps  {found['loss_error_after_10']:.1e}")
    for name, seconds in found["seconds"].items():
        print(f"  {name:<22} {seconds * 1e3:9.1f} ms")
    print(f"  speed, best of PyTorch's over ours: {found['speed_ratio']:.2f}")
    if options.json:
        print(json.dumps({"network": network, **found}))


def agree(ours: torch_given.Ours) -> dict:
    """Loss and gradients of one step, and the losses over ten."""
    first = torch_agreement.first_step(ours)
    errors = torch_agreement.over_steps(ours, _NUM_STEPS)
    return {
        "max_gradient_error": first.gradient_error,
        "loss_error": max(first.loss_error, first.surplus_error),
        "same_graphs": first.same_edges,
        "torch_float32_gradient_error": first.float32_error,
        "loss_error_after_10": errors[-1],
        "largest_loss_error": max(errors),
    }


def race(ours: torch_given.Ours, rounds: int, forms: tuple[str, ...]) -> dict:
    """Median seconds of our step and of each form of the twin's."""
    load = os.getloadavg()[0]
    given, _ = ours.give()
    given = given._replace(edges_s=None, edges_t=None)
    programs, failed = {"ours": ours.step}, {}
    for form in forms:
        program = _program(form, torch_agreement.make_twin(ours), given)
        try:
            program()  # a compiled program compiles here
        except Exception as error:  # no C++ compiler, say: the others still race
            failed[form] = f"{type(error).__name__}: {error}".splitlines()[0]
            print(f"  left out: {form}, {failed[form]}")
        else:
            programs[f"torch {form}"] = program
    seconds = turns.medians(programs, rounds)
    best = min(each for name, each in seconds.items() if name != "ours")
    return {
        "seconds": seconds,
        "speed_ratio": best / seconds["ours"],
        "failed": failed,
        "batch": ours.config.data.global_batch,
        "view_size": ours.config.views.size,
        "rounds": rounds,
        "threads": torch.get_num_threads(),
        "load_before": load,  # of the machine: 0 is idle
        "devices": jax.devices()[0].device_kind,
        **{name: importlib.metadata.version(name) for name in ("jax", "torch")},
    }


def _program(
    form: str, twin: torch_twin.Twin, given: torch_twin.Given
) -> Callable[[], torch.Tensor]:
    """One training step of the twin, which keeps its weights between calls."""
    if form != "eager":
        twin = twin.to(memory_format=torch.channels_last)
        images = given.images.contiguous(memory_format=torch.channels_last)
        given = given._replace(images=images)
    adam = torch.optim.Adam(
        twin.parameters(), lr=torch_agreement.LEARNING_RATE, fused=True
    )
    forward = torch.compile(twin) if form == "compiled" else twin

    def program():
        adam.zero_grad()
        loss, _ = forward(given)
        loss.backward()
        adam.step()
        return loss.detach()

    return program


def _parse(argv) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--encoder", default="resnet50", help="a row of lvmmed_jax/models/resnet.py"
    )
    parser.add_argument("--size", type=int, default=224, help="pixels of a view")
    parser.add_argument("--batch", type=int, default=16, help="images a step")
    parser.add_argument(
        "--quick", action="store_true", help="ResNet-18, 96 px, 2 rounds, not compiled"
    )
    parser.add_argument("--json", action="store_true", help="one object, last line")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
