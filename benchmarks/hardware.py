"""What makers state of their accelerators, and how long an all-reduce takes on them."""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Torus:
    """Chips on a grid, each linked to its neighbours; all links work at once.

    Attributes:
      num_axes: of the grid.
      link: bytes/s of one link, one way.
      cube: the grid closes to a torus where every side is a multiple of it.
      start: seconds before the first byte moves (assumed).
      hop: seconds from a chip to the next (assumed).
    """

    num_axes: int
    link: float
    cube: int
    start: float = 5e-6
    hop: float = 1e-6

    def describe(self) -> str:
        """In a few words."""
        return f"{2 * self.num_axes} x {self.link / 1e9:.0f}, {self.num_axes}-D torus"

    def all_reduce(self, num_chips: int, size: float, links_use: float = 1.0) -> float:
        """Seconds to sum `size` bytes over chips, along all axes at once."""
        if num_chips == 1:
            return 0.0
        sides = grid(num_chips, self.num_axes)
        closed = all(side % self.cube == 0 for side in sides)
        num_links = sum((2 if closed else 1) for side in sides if side > 1)
        hops = 2 * sum(side // 2 if closed else side - 1 for side in sides)
        moved = ring_bytes(num_chips, size)
        moving = moved / (num_links * self.link * links_use)
        return self.start + hops * self.hop + moving


@dataclasses.dataclass(frozen=True)
class Nodes:
    """Chips behind a switch inside a node; between nodes a network port a chip.

    The sum goes in three parts: scattered inside, summed between, gathered inside.

    Attributes:
      size: chips a node.
      inside: bytes/s of a chip to its switch, one way.
      between: bytes/s of a chip's port, one way.
      start: seconds before the first byte moves (assumed).
      hop: seconds from node to node in a tree (assumed).
    """

    size: int
    inside: float
    between: float
    start: float = 15e-6
    hop: float = 5e-6

    def describe(self) -> str:
        """In a few words."""
        inside, between = self.inside / 1e9, self.between / 1e9
        return f"{inside:.0f} in nodes of {self.size}, {between:.0f} between"

    def all_reduce(self, num_chips: int, size: float, links_use: float = 1.0) -> float:
        """Seconds to sum `size` bytes over chips; above a node: over whole nodes."""
        if num_chips == 1:
            return 0.0
        chips = min(num_chips, self.size)
        if num_chips % chips:
            raise ValueError(f"{num_chips} chips are not whole nodes of {self.size}")
        nodes = num_chips // chips
        moving = ring_bytes(chips, size) / self.inside
        moving += ring_bytes(nodes, size / chips) / self.between
        return self.start + 2 * math.log2(nodes) * self.hop + moving / links_use


@dataclasses.dataclass(frozen=True)
class Machine:
    """A system of one kind of chip.

    Attributes:
      teraflops: dense bfloat16, the peak.
      memory: bytes/s of a chip's own memory.
      gigabytes: of that memory.
      links: between the chips.
      host_chips: chips that one host feeds.
      host_threads: hardware threads (vCPUs) of that host.
      vector_teraflops: float32 outside the matrix units.
      kernel_start: seconds to start a kernel (assumed).
      source: where the figures stand.
    """

    teraflops: float
    memory: float
    gigabytes: int
    links: Torus | Nodes
    host_chips: int
    host_threads: int
    vector_teraflops: float
    kernel_start: float
    source: str


MACHINES = {
    "TPU v5e": Machine(
        teraflops=197,
        memory=819e9,
        gigabytes=16,
        links=Torus(2, 50e9, 16),  # 400 GB/s a chip in both directions, 4 ports
        host_chips=8,
        host_threads=224,
        vector_teraflops=5,  # assumed, as in matching_cost.py
        kernel_start=1e-6,
        source='Google, Cloud TPU documentation, "TPU v5e"',
    ),
    "TPU v5p": Machine(
        teraflops=459,
        memory=2765e9,
        gigabytes=95,
        links=Torus(3, 100e9, 4),  # 1,200 GB/s a chip in both directions, 6 ports
        host_chips=4,
        host_threads=208,
        vector_teraflops=12,  # assumed: v5e's by the ratio of the peaks
        kernel_start=1e-6,
        source='Google, Cloud TPU documentation, "TPU v5p"',
    ),
    "H100 SXM": Machine(
        teraflops=989,
        memory=3.35e12,
        gigabytes=80,
        links=Nodes(8, 450e9, 50e9),  # NVLink 900 GB/s both ways; 400 Gbit/s a GPU
        host_chips=8,
        host_threads=224,
        vector_teraflops=67,
        kernel_start=3e-6,
        source='NVIDIA, "H100 Tensor Core GPU" and "DGX H100" data sheets',
    ),
    "A100 SXM": Machine(  # the paper's
        teraflops=312,
        memory=2039e9,
        gigabytes=80,
        links=Nodes(8, 300e9, 25e9),  # NVLink 600 GB/s both ways; 200 Gbit/s a GPU
        host_chips=8,
        host_threads=256,
        vector_teraflops=19.5,
        kernel_start=3e-6,
        source='NVIDIA, "A100 80GB" and "DGX A100 80GB" data sheets',
    ),
}


def ring_bytes(num_chips: int, size: float) -> float:
    """What each chip sends in an all-reduce of `size` bytes: 2 (n - 1) / n of them.

    >>> ring_bytes(4, 100)
    150.0
    """
    return 2 * (num_chips - 1) / num_chips * size


def grid(num_chips: int, num_axes: int) -> list[int]:
    """Sides of a grid as near to a cube as the prime factors allow, longest first.

    >>> grid(128, 3), grid(8, 2)
    ([8, 4, 4], [4, 2])
    """
    sides = [1] * num_axes
    for factor in sorted(_factors(num_chips), reverse=True):
        sides[sides.index(min(sides))] *= factor
    return sorted(sides, reverse=True)


def _factors(number: int) -> list[int]:
    found, factor = [], 2
    while number > 1:
        while number % factor == 0:
            found.append(factor)
            number //= factor
        factor += 1
    return found
