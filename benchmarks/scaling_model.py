"""The arithmetic of `scaling.py`: from counts and machines to seconds and hours.

Whatever is assumed has two ends, the worse first: a range, not a point.
"""

import dataclasses

from benchmarks import hardware

_ADAM_BYTES = 28  # a parameter: reads it, its gradient, two moments; writes three
# Passes over every activation, forward and backward: where normalisations, ReLU and
# sums cost nothing beside the convolutions, and where they are kernels of their own.
_PASSES = (14 / 6, 1.0)
_SEARCHES = (2, 1)  # a graph: the second one where no proof was found


@dataclasses.dataclass(frozen=True)
class Step:
    """What a training step does on a chip.

    Attributes:
      flops: an image.
      fixed_flops: a step.
      memory: bytes an image, at least: operands and results of convolutions and
        matrix products.
      parameters: how many.
      gradient: bytes that are summed over the chips.
      num_small: all-reduces beside it, of BatchNorm and metrics.
      small: their bytes together.
      search: FLOPs, bytes and kernels of one search step on one graph, and num_steps.
      graph_size: images a graph.
    """

    flops: float
    fixed_flops: float
    memory: float
    parameters: int
    gradient: float
    num_small: int
    small: float
    search: dict
    graph_size: int


@dataclasses.dataclass(frozen=True)
class Assumed:
    """What nobody measured: the lower and the upper end, worse first.

    Attributes:
      utilisation: share of the peak that convolutions reach.
      passes: over the activations, in units of `Step.memory`.
      searches: a graph.
      links_use: share of the links' stated speed.
      hidden: share of the gradient's all-reduce that runs beside the backward pass.
    """

    utilisation: tuple[float, float] = (0.3, 0.5)
    passes: tuple[float, float] = _PASSES
    searches: tuple[float, float] = _SEARCHES
    links_use: float = 0.7
    hidden: float = 0.0


def from_counts(counts: dict) -> Step:
    """The step of `step_counts`; without a compiled one, collectives are computed."""
    batches = sorted((int(each), row) for each, row in counts["by_batch"].items())
    (images, first), (more, last) = batches[0], batches[-1]
    rates = {name: first[name] / images for name in first}
    if more > images:
        rates = {n: (last[n] - first[n]) / (more - images) for n in first}
    sums = {
        "large_bytes": 4 * counts["parameters"],
        "num_small": 2 * counts["norms"],
        "small_bytes": 0,
    }
    if "compiled" in counts:
        sums = counts["compiled"]["collectives"]
    return Step(
        flops=rates["flops"],
        fixed_flops=first["flops"] - images * rates["flops"],
        memory=rates["bytes"],
        parameters=counts["parameters"],
        gradient=sums["large_bytes"],
        num_small=sums["num_small"],
        small=sums["small_bytes"],
        search=counts["search"],
        graph_size=counts["graph_size"],
    )


def parts(
    step: Step, machine: hardware.Machine, batch: int, assumed: Assumed, end: int
) -> dict[str, float]:
    """Seconds of a step's parts on one chip, without what chips say to each other.

    Args:
      step: what it does.
      machine: of the chip.
      batch: images on it.
      assumed: see there.
      end: 0 the lower, 1 the upper end of what is assumed.
    """
    flops = step.fixed_flops + step.flops * batch
    memory = step.memory * assumed.passes[end] * batch + _ADAM_BYTES * step.parameters
    search, graphs = step.search, batch / step.graph_size
    one = max(
        search["kernels"] * machine.kernel_start,
        graphs * search["bytes"] / machine.memory,
        graphs * search["flops"] / (machine.vector_teraflops * 1e12),
    )
    found = {
        "flops": flops / (machine.teraflops * 1e12 * assumed.utilisation[end]),
        "memory": memory / machine.memory,
        "search": one * search["num_steps"] * assumed.searches[end],
    }
    return found | {"chip": max(found["flops"], found["memory"]) + found["search"]}


def sums(
    step: Step, machine: hardware.Machine, num_chips: int, assumed: Assumed
) -> dict[str, float]:
    """Seconds of a step's all-reduces: the gradient's, and all small ones."""
    add, use = machine.links.all_reduce, assumed.links_use
    mean = step.small / max(step.num_small, 1)
    return {
        "gradient": add(num_chips, step.gradient, use),
        "small": step.num_small * add(num_chips, mean, use),
    }


def seconds(step, machine, num_chips: int, batch: float, assumed, end: int) -> float:
    """Of a step: one chip's work, and the sums that nothing hides."""
    waits = sums(step, machine, num_chips, assumed)
    alone = parts(step, machine, batch, assumed, end)["chip"]
    return alone + (1 - assumed.hidden) * waits["gradient"] + waits["small"]


def weak(step, machine, num_chips: int, batch: int, assumed, end: int) -> float:
    """Efficiency where every chip has `batch` images: against one chip alone."""
    alone = parts(step, machine, batch, assumed, end)["chip"]
    return alone / seconds(step, machine, num_chips, batch, assumed, end)


def strong(step, machine, num_chips: int, total: int, assumed, end: int):
    """Efficiency where all chips share `total` images; None: no whole graphs."""
    if total % (num_chips * step.graph_size):
        return None
    alone = parts(step, machine, total, assumed, end)["chip"] / num_chips
    return alone / seconds(step, machine, num_chips, total // num_chips, assumed, end)


def chip_hours(rate: float, num_images: float, num_epochs: int) -> float:
    """Hours of one chip at `rate` images a second; those of all chips together."""
    return num_images * num_epochs / rate / 3600
