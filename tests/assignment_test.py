import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec
from scipy import optimize

from lvmmed_jax.matching import assignment
from lvmmed_jax.train import sharding

KINDS = {
    "normal": lambda generator, shape: generator.normal(size=shape),
    "tied": lambda generator, shape: generator.integers(0, 3, shape),
    "constant": lambda generator, shape: np.full(shape, 2.5),
    # rank one: every 2 x 2 part ties or nearly
    "degenerate": lambda generator, shape: np.round(
        generator.normal(size=(*shape[:2], 1))
        * generator.normal(size=(shape[0], 1, shape[2])),
        1,
    ),
    "heavy": lambda generator, shape: generator.gumbel(size=shape) * 1e6,
}
COUNTS = {4: 700, 5: 500, 8: 400, 16: 300, 33: 70, 64: 30}  # x 5 kinds: 10,000


def _value(matrices, targets):
    chosen = np.take_along_axis(matrices, np.asarray(targets)[..., None], axis=2)
    return chosen.astype(np.float64).sum(axis=(1, 2))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", COUNTS)
def test_equals_scipy(size, kind):
    shape = (COUNTS[size], size, size)
    generator = np.random.default_rng(size)
    matrices = KINDS[kind](generator, shape).astype(np.float32)
    targets = assignment.assign(jnp.asarray(matrices))
    np.testing.assert_array_equal(
        np.sort(targets, axis=1), np.broadcast_to(np.arange(size), targets.shape)
    )
    best = [
        one[optimize.linear_sum_assignment(one, maximize=True)].astype(np.float64).sum()
        for one in matrices
    ]
    tolerance = 1e-6 * size * np.abs(matrices).max()
    np.testing.assert_allclose(_value(matrices, targets), best, atol=tolerance)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38, -3e38])
def test_always_ends_with_a_permutation(value):
    matrices = np.random.default_rng(0).normal(size=(3, 5, 5)).astype(np.float32)
    matrices[0, 2] = matrices[1, :, 3] = matrices[2] = value
    targets = assignment.assign(jnp.asarray(matrices))
    np.testing.assert_array_equal(
        np.sort(targets, axis=1), np.broadcast_to(np.arange(5), (3, 5))
    )


def test_forbidden_pairs_are_avoided():
    matrix = np.zeros((4, 4), np.float32)
    matrix[np.arange(4), [2, 0, 3, 1]] = 1
    matrix[matrix == 0] = -np.inf
    np.testing.assert_array_equal(assignment.assign(jnp.asarray(matrix)), [2, 0, 3, 1])


def test_runs_inside_shard_map_with_the_same_result():
    matrices = jax.random.normal(jax.random.key(0), (16, 8, 8))
    spec = PartitionSpec(sharding.AXES)
    sharded = jax.shard_map(
        assignment.assign, mesh=sharding.make_mesh(), in_specs=spec, out_specs=spec
    )
    np.testing.assert_array_equal(sharded(matrices), assignment.assign(matrices))
