import jax.numpy as jnp
import numpy as np

from lvmmed_jax.methods import supervised

SCORES = np.random.default_rng(0).normal(size=(4, 2, 3)).astype(np.float32)


def test_loss_is_the_mean_over_views_that_have_a_label():
    labels = np.array([2, -1, 0, 1])
    losses, right = [], []
    for scores, label in zip(SCORES.astype(float), labels, strict=True):
        for view in scores if label >= 0 else ():
            losses.append(np.log(np.exp(view).sum()) - view[label])
            right.append(np.argmax(view) == label)
    loss, accuracy = supervised.cross_entropy(jnp.asarray(SCORES), jnp.asarray(labels))
    np.testing.assert_allclose(loss, np.mean(losses), rtol=1e-5)
    np.testing.assert_allclose(accuracy, np.mean(right), rtol=1e-6)


def test_without_labels_there_is_nothing_to_learn():
    loss, accuracy = supervised.cross_entropy(
        jnp.asarray(SCORES), jnp.full(4, -1, jnp.int32)
    )
    assert loss == 0 and accuracy == 0
