import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lvmmed_jax.models import classifier


def test_the_head_is_layers_on_the_mean_over_cells():
    head = classifier.Classifier(3, (5, 4))
    maps = jax.random.normal(jax.random.key(0), (2, 3, 3, 6))
    variables = head.init(jax.random.key(1), maps)
    x = np.asarray(maps).mean(axis=(1, 2))
    for index in range(3):
        layer = variables["params"][f"Dense_{index}"]
        x = x @ np.asarray(layer["kernel"]) + np.asarray(layer["bias"])
        x = np.maximum(x, 0) if index < 2 else x
    np.testing.assert_allclose(head.apply(variables, maps), x, rtol=1e-5, atol=1e-6)


def test_chances_of_grades_are_those_between_thresholds():
    score = jnp.array([[-3.0], [0.2], [40.0]])
    limits = np.array([-1.0, 0.5, 2.0])
    found = np.exp(classifier.grade_log_probabilities(score, jnp.asarray(limits)))
    below = 1 / (1 + np.exp(-(limits[None] - np.asarray(score))))
    below = np.concatenate([np.zeros((3, 1)), below, np.ones((3, 1))], axis=1)
    np.testing.assert_allclose(found, np.diff(below, axis=1), rtol=1e-4, atol=1e-12)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, rtol=1e-5)


def test_thresholds_rise_whatever_is_learned():
    limits = classifier.thresholds(jnp.array([2.0]), jnp.array([-30.0, 0.0, 5.0]))
    assert (np.diff(limits) >= 0).all() and limits[0] == 2.0


@pytest.mark.parametrize("num_classes", [2, 3])
def test_a_head_of_grades_learns_their_order(num_classes):
    head = classifier.Classifier(num_classes, ordinal=True)
    maps = jnp.linspace(-1, 1, 12).reshape(12, 1, 1, 1)
    grades = jnp.arange(12) * num_classes // 12
    params = head.init(jax.random.key(0), maps)

    @jax.jit
    def update(params):
        def loss(params):
            chances = head.apply(params, maps)
            return -jnp.mean(jnp.take_along_axis(chances, grades[:, None], axis=1))

        gradient = jax.grad(loss)(params)
        return jax.tree.map(lambda p, g: p - 2.0 * g, params, gradient)

    for _ in range(300):
        params = update(params)
    np.testing.assert_array_equal(jnp.argmax(head.apply(params, maps), axis=1), grades)
