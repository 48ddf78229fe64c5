import jax
import jax.numpy as jnp
import numpy as np
import tiny_runs

from lvmmed_jax import config
from lvmmed_jax.methods import teacher

SETTINGS = config.override(tiny_runs.CONFIG, {"train.steps": 10})
OLD, NEW = {"w": jnp.array([1.0, 2.0])}, {"w": jnp.array([3.0, 0.0])}


def _follow(calls, settings=SETTINGS, decay=0.75):
    return teacher.follow(settings, OLD, NEW, decay, jnp.asarray(calls))["w"]


def test_teacher_is_the_student_at_first_and_follows_then():
    np.testing.assert_array_equal(_follow(0), NEW["w"])
    np.testing.assert_allclose(_follow(1), [1.5, 1.5])


def test_parts_of_a_batch_share_its_decay():
    settings = config.override(SETTINGS, {"optimizer.accumulate": 2})
    once = {"w": _follow(2, settings)}
    twice = teacher.follow(settings, once, NEW, 0.75, jnp.asarray(3))
    np.testing.assert_allclose(twice["w"], _follow(1), rtol=1e-6)


def test_no_gradient_passes_to_the_student():
    def loss(new):
        found = teacher.follow(SETTINGS, OLD, {"w": new}, 0.75, jnp.asarray(1))
        return jnp.sum(found["w"])

    np.testing.assert_array_equal(jax.grad(loss)(NEW["w"]), [0.0, 0.0])


def test_decay_rises_to_one():
    found = [float(teacher.rising(SETTINGS, 0.96, step)) for step in (0, 5, 10, 12)]
    np.testing.assert_allclose(found, [0.96, 0.98, 1.0, 1.0], rtol=1e-6)
