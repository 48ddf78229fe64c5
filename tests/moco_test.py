import jax.numpy as jnp
import numpy as np
import pytest

from lvmmed_jax.methods import moco, moco_v3

GENERATOR = np.random.default_rng(0)


def _unit(*shape):
    x = GENERATOR.normal(size=shape).astype(np.float32)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


QUERIES, KEYS, QUEUE = _unit(6, 5), _unit(6, 5), _unit(11, 5)
ROTATION = np.linalg.qr(GENERATOR.normal(size=(5, 5)))[0].astype(np.float32)


def test_loss_is_that_of_the_paper_written_out():
    total = 0.0
    for query, key in zip(QUERIES.astype(float), KEYS, strict=True):
        true = np.exp(query @ key / 0.2)
        total -= np.log(true / (true + sum(np.exp(QUEUE @ query / 0.2))))
    found = moco.info_nce(*map(jnp.asarray, (QUERIES, KEYS, QUEUE)), 0.2)
    np.testing.assert_allclose(found, total / 6, rtol=1e-5)


def test_third_versions_loss_is_that_of_the_paper_written_out():
    total = 0.0
    for row, query in enumerate(QUERIES.astype(float)):
        chances = np.exp(KEYS @ query / 0.2)
        total -= np.log(chances[row] / chances.sum())
    found = moco_v3.contrast(jnp.asarray(7 * QUERIES), jnp.asarray(KEYS), 0.2)
    np.testing.assert_allclose(found, 2 * 0.2 * total / 6, rtol=1e-5)


@pytest.mark.parametrize("turn", [ROTATION, -np.eye(5, dtype=np.float32)])
def test_losses_do_not_see_a_rotation_of_all_embeddings(turn):
    plain = [jnp.asarray(x) for x in (QUERIES, KEYS, QUEUE)]
    turned = [jnp.asarray(x @ turn) for x in (QUERIES, KEYS, QUEUE)]
    np.testing.assert_allclose(
        moco.info_nce(*plain, 0.2), moco.info_nce(*turned, 0.2), rtol=1e-5
    )
    np.testing.assert_allclose(
        moco_v3.contrast(*plain[:2], 0.2),
        moco_v3.contrast(*turned[:2], 0.2),
        rtol=1e-5,
    )


def test_order_of_the_queue_does_not_count_but_of_the_keys_does():
    loss = moco.info_nce(*map(jnp.asarray, (QUERIES, KEYS, QUEUE)), 0.2)
    turned = moco.info_nce(*map(jnp.asarray, (QUERIES, KEYS, QUEUE[::-1])), 0.2)
    np.testing.assert_allclose(loss, turned, rtol=1e-5)
    wrong = moco.info_nce(*map(jnp.asarray, (QUERIES, KEYS[::-1], QUEUE)), 0.2)
    assert abs(float(wrong - loss)) > 0.01
