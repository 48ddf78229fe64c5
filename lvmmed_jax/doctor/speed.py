"""Checks of `doctor` that compute: a matrix product, and matchings that are known."""

import time
from typing import Any

import numpy as np

from lvmmed_jax.doctor import findings

_SECONDS = 0.2  # of each type, after compilation
_SIZES = {"cpu": 1024}
_ACCELERATOR_SIZE = 8192
_NUM_GRAPHS, _NUM_NODES, _NUM_NEIGHBOURS = 64, 16, 5
_TIES = 0.3  # share of the other assignments that are worth as much as the true ones


def matmul() -> findings.Finding:
    """Rate of square matrix products on the default device."""
    import jax

    size = _SIZES.get(jax.default_backend(), _ACCELERATOR_SIZE)
    rates = {dtype: _teraflops(size, dtype) for dtype in ("float32", "bfloat16")}
    shown = ", ".join(f"{dtype} {rate:.3g}" for dtype, rate in rates.items())
    value = f"{shown} TFLOP/s ({size} x {size}, default precision)"
    facts = {f"{dtype}_teraflops": rate for dtype, rate in rates.items()}
    return findings.Finding("matmul", value, facts={"size": size, **facts})


def _teraflops(size: int, dtype: str) -> float:
    """The best of the products done within a moment."""
    import jax
    import jax.numpy as jnp

    def make():
        entries = jnp.arange(size * size, dtype=jnp.float32)
        return jnp.sin(entries).reshape(size, size).astype(dtype)

    matrix = jax.jit(make)()
    multiply = jax.jit(jnp.matmul)
    multiply(matrix, matrix).block_until_ready()
    best, end = np.inf, time.perf_counter() + _SECONDS
    while time.perf_counter() < end:
        began = time.perf_counter()
        multiply(matrix, matrix).block_until_ready()
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best / 1e12


def matching() -> findings.Finding:
    """Solves problems of 16 nodes whose only best matching is known."""
    import jax
    import jax.numpy as jnp

    from lvmmed_jax.matching import problem, solver

    arrays, target_matching = planted(np.random.default_rng(0))
    problems = problem.MatchingProblem(*map(jnp.asarray, arrays))
    solve = solver.Solver()
    jax.block_until_ready(solve(problems))
    began = time.perf_counter()
    solution = jax.block_until_ready(solve(problems))
    milliseconds = 1e3 * (time.perf_counter() - began) / _NUM_GRAPHS
    equal = np.asarray(solution.matching) == target_matching
    found = int(np.sum(np.all(equal, axis=(1, 2))))
    value = (
        f"{milliseconds:.2g} ms a problem of {_NUM_NODES} nodes, "
        f"{found} of {_NUM_GRAPHS} planted matchings found"
    )
    facts = {"milliseconds": milliseconds, "found": found, "problems": _NUM_GRAPHS}
    if found == _NUM_GRAPHS:
        return findings.Finding("matching", value, facts=facts)
    advice = "jax computes wrongly here: try JAX_PLATFORMS=cpu, report the versions"
    return findings.Finding("matching", value, findings.PROBLEM, advice, facts)


def planted(generator: np.random.Generator) -> tuple[tuple[Any, ...], np.ndarray]:
    """Problems whose best matching is certain.

    A true assignment and a true pair of edges are worth 1, all others at most 1 and
    less than 1: the planted matching alone reaches the bound N + E, as every node has
    edges. Ties among the assignments leave the decision to the edges.

    Args:
      generator: of the random numbers.

    Returns:
      The four arrays of a `MatchingProblem`, and the target matching, [G, N, N].
    """
    shape, edges = (_NUM_GRAPHS, _NUM_NODES), _NUM_NODES * _NUM_NEIGHBOURS
    targets = np.argsort(generator.random(shape), axis=1)
    target_matching = np.eye(_NUM_NODES, dtype=np.float32)[targets]  # G N N
    tied = generator.random(target_matching.shape) < _TIES
    vertex_affinity = np.maximum(target_matching, tied)
    distances = generator.random(target_matching.shape) + 2 * np.eye(_NUM_NODES)
    senders = np.argsort(distances, axis=2)[..., :_NUM_NEIGHBOURS]
    receivers = np.broadcast_to(np.arange(_NUM_NODES)[:, None], senders.shape)
    edges_s = np.stack([receivers, senders], axis=-1).reshape(_NUM_GRAPHS, edges, 2)
    flat = edges_s.reshape(_NUM_GRAPHS, -1)
    edges_t = np.take_along_axis(targets, flat, axis=1).reshape(edges_s.shape)
    other = generator.random((_NUM_GRAPHS, edges, edges), np.float32)
    edge_affinity = np.maximum(other, np.eye(edges, dtype=np.float32))
    arrays = (
        vertex_affinity.astype(np.float32),
        edge_affinity,
        edges_s.astype(np.int32),
        edges_t.astype(np.int32),
    )
    return arrays, target_matching
