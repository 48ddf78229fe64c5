"""What methods carry from step to step: what enters queues, when prototypes move."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from methods_test import make_batch, settings_of
from tiny_encoders import tiny_encoders  # noqa: F401

from lvmmed_jax.methods import table
from lvmmed_jax.train import sharding

COUNT = 32  # images of a batch


class Loss:
    """A method's loss on the first batch, with its state changed."""

    def __init__(self, name, **overrides):
        mesh = sharding.make_mesh(1)
        method = table.make(settings_of(name, **overrides), mesh)
        self.params, self.state = jax.jit(method.init)(jax.random.key(0))
        self._batch = sharding.put_batch(make_batch(0), mesh)
        self._run = jax.jit(jax.value_and_grad(method.loss_fn, has_aux=True))

    def __call__(self, **changes):
        """The loss, the state after the step, the gradient."""
        state = {**self.state, **changes}
        (loss, (after, _)), gradient = self._run(
            self.params, state, self._batch, jax.random.key(1)
        )
        return float(loss), jax.device_get(after), gradient


def _rows(generator, *shape):
    rows = generator.normal(size=shape).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def test_mocos_queue_takes_the_teachers_keys_and_loses_the_oldest():
    loss = Loss("moco_v2", **{"moco.queue_size": 100})
    old = _rows(np.random.default_rng(0), 100, 6)
    _, after, _ = loss(queue=old)
    queue = after["queue"]
    np.testing.assert_array_equal(queue[2 * COUNT :], old[: 100 - 2 * COUNT])
    new = queue[: 2 * COUNT]
    np.testing.assert_allclose(np.linalg.norm(new, axis=1), 1, rtol=1e-5)
    # views of one image are alike, and the second views come behind the first
    own = np.sum(new[:COUNT] * new[COUNT:], axis=1).mean()
    assert own > np.sum(new[:COUNT] * np.roll(new[COUNT:], 1, axis=0), axis=1).mean()
    # keys are the teacher's, wherever the student is (but at the first step)
    teacher = jax.tree.map(lambda x: x + 0.1, loss.state["teacher"])
    other = loss(queue=old, teacher=teacher, calls=jnp.int32(1))[1]["queue"]
    assert not np.allclose(other[: 2 * COUNT], new, atol=1e-3)
    loss.params["head"] = jax.tree.map(lambda x: x + 0.1, loss.params["head"])
    settled = {"queue": old, "teacher": teacher, "calls": jnp.int32(1)}
    moved = loss(**settled)[1]["queue"][: 2 * COUNT]
    assert np.abs(moved - other[: 2 * COUNT]).max() < 0.05  # as far as it follows


def test_swavs_queue_counts_from_its_share_of_the_run_on_and_when_it_is_full():
    # 20 steps, the queue from a tenth on, 40 places
    loss = Loss("swav", **{"swav.hidden": 32})
    generator = np.random.default_rng(0)
    first, second = (_rows(generator, 2, 40, 6) for _ in range(2))

    def differ(calls, queued):
        given = {"calls": jnp.int32(calls), "queued": jnp.int32(queued)}
        return loss(queue=first, **given)[0] != loss(queue=second, **given)[0]

    assert differ(2, 40)
    assert not differ(1, 40) and not differ(2, 39)
    _, after, _ = loss(queue=first, queued=jnp.int32(3))
    np.testing.assert_array_equal(after["queue"][:, COUNT:], first[:, : 40 - COUNT])
    new = after["queue"][:, :COUNT]
    np.testing.assert_allclose(np.linalg.norm(new, axis=-1), 1, rtol=1e-5)
    own = np.sum(new[0] * new[1], axis=1).mean()
    assert own > np.sum(new[0] * np.roll(new[1], 1, axis=0), axis=1).mean()
    assert after["queued"] == 35 and after["calls"] == 1


@pytest.mark.parametrize("name", ["swav", "dino"])
def test_prototypes_stay_for_a_share_of_the_run(name):
    loss = Loss(name)  # a tenth of 20 steps
    norms = [
        optax.tree.norm(loss(calls=jnp.int32(calls))[2]["prototypes"])
        for calls in (0, 1, 2)
    ]
    assert norms[0] == norms[1] == 0 < norms[2]
    lengths = np.linalg.norm(loss.params["prototypes"], axis=1)
    np.testing.assert_allclose(lengths, 1, rtol=1e-5)


def test_dinos_centre_follows_the_teachers_mean():
    loss = Loss("dino")
    old = np.random.default_rng(0).normal(size=12).astype(np.float32)
    from_zero, from_old = (
        loss(centre=jnp.asarray(each))[1]["centre"] for each in (0 * old, old)
    )
    assert np.abs(from_zero).max() > 0
    np.testing.assert_allclose(from_old - from_zero, 0.9 * old, atol=1e-6)
    # what is told is what the teacher says less the centre before the step
    assert loss(centre=jnp.asarray(old))[0] != loss()[0]
