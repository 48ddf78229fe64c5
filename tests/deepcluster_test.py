import functools

import jax
import jax.numpy as jnp
import methods_test
import numpy as np
from tiny_encoders import tiny_encoders  # noqa: F401

from lvmmed_jax.methods import deepcluster, table
from lvmmed_jax.train import sharding

GENERATOR = np.random.default_rng(0)


def test_loss_is_that_of_the_paper_written_out():
    scores = GENERATOR.uniform(-1, 1, (3, 6, 4, 5)).astype(np.float32)
    targets = GENERATOR.integers(0, 5, (3, 6))
    losses = []
    for head in range(3):
        for image in range(6):
            for view in scores[head, image].astype(float):
                chances = np.exp(view / 0.1) / np.exp(view / 0.1).sum()
                losses.append(-np.log(chances[targets[head, image]]))
    found = deepcluster.cluster_loss(jnp.asarray(scores), jnp.asarray(targets), 0.1)
    np.testing.assert_allclose(found, np.mean(losses), rtol=1e-5)
    order = np.array([2, 0, 4, 1, 3])  # prototypes in another order
    renamed = np.argsort(order)[targets]
    turned = deepcluster.cluster_loss(
        jnp.asarray(scores[..., order]), jnp.asarray(renamed), 0.1
    )
    np.testing.assert_allclose(turned, found, rtol=1e-5)


@functools.cache
def _method(bank_size):
    settings = methods_test.settings_of(
        "deepcluster_v2", **{"deepcluster.bank_size": bank_size}
    )
    method = table.make(settings, sharding.make_mesh(1))
    first = jax.jit(method.init)(jax.random.key(0))
    return *first, jax.jit(method.loss_fn)


def _batch(numbers):
    batch = methods_test.make_batch(0, len(numbers))
    return {**batch, "index": np.asarray(numbers)}


def test_first_epoch_only_fills_the_bank():
    params, model_state, loss_fn = _method(48)
    for number in range(2):
        loss, (model_state, _) = loss_fn(
            params, model_state, _batch(np.arange(16) + 16 * number), jax.random.key(1)
        )
        assert loss == 0
    owners = np.asarray(model_state["owners"])
    np.testing.assert_array_equal(owners, [*range(32), *[-1] * 16])
    lengths = np.linalg.norm(model_state["bank"], axis=-1)
    np.testing.assert_allclose(lengths[:, :32], 1, rtol=1e-5)
    loss, (model_state, _) = loss_fn(
        params, model_state, _batch(np.arange(16)), jax.random.key(2)
    )
    assert loss > 0
    np.testing.assert_array_equal(model_state["clustered_owners"], owners)
    found = np.argmax(
        np.einsum("hmf,hkf->hmk", model_state["bank"], model_state["centroids"]), -1
    )
    # what a place was assigned by is what it held at the clustering
    np.testing.assert_array_equal(found[:, 16:32], model_state["assigned"][:, 16:32])


def test_an_image_whose_place_was_taken_gets_its_own_nearest_centroid():
    """Of twice as many images as places, the last has the place."""
    params, model_state, loss_fn = _method(16)
    for number in range(3):
        numbers = np.arange(16) + 16 * number
        loss, (model_state, _) = loss_fn(
            params, model_state, _batch(numbers), jax.random.key(number)
        )
        np.testing.assert_array_equal(model_state["owners"], numbers)
    np.testing.assert_array_equal(model_state["clustered_owners"], np.arange(16) + 16)
    assert np.isfinite(loss) and loss > 0


def test_an_image_that_comes_twice_leaves_its_last_embedding():
    params, model_state, loss_fn = _method(16)
    numbers = np.array([3, 5, 3, 19] * 4)  # 3 and 19 share a place
    _, (model_state, _) = loss_fn(
        params, model_state, _batch(numbers), jax.random.key(0)
    )
    owners = np.asarray(model_state["owners"])
    assert owners[3] == 19 and owners[5] == 5 and (owners != -1).sum() == 2
