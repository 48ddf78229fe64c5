import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs

from lvmmed_jax.methods import simclr, table
from lvmmed_jax.train import sharding, state, step

EMBEDDING = np.random.default_rng(0).normal(size=(8, 2, 5)).astype(np.float32)


def _nt_xent(embedding, temperature):
    """Eq. 1 of the paper, view by view, in NumPy."""
    views = [*embedding[:, 0].astype(float), *embedding[:, 1].astype(float)]
    views = [view / np.linalg.norm(view) for view in views]
    total, half = 0.0, len(embedding)
    for i, view in enumerate(views):
        similar = {
            k: np.exp(view @ other / temperature)
            for k, other in enumerate(views)
            if k != i
        }
        total -= np.log(similar[(i + half) % (2 * half)] / sum(similar.values()))
    return total / len(views)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_loss_is_that_of_the_paper_written_out(temperature):
    found = simclr.nt_xent(jnp.asarray(EMBEDDING), temperature)
    np.testing.assert_allclose(found, _nt_xent(EMBEDDING, temperature), rtol=1e-5)


def test_loss_sees_neither_order_nor_length_nor_which_view_is_first():
    expected = simclr.nt_xent(jnp.asarray(EMBEDDING), 0.1)
    for same in (EMBEDDING[::-1], EMBEDDING[:, ::-1], 7 * EMBEDDING):
        np.testing.assert_allclose(
            simclr.nt_xent(jnp.asarray(same), 0.1), expected, rtol=1e-5
        )


def test_equal_embeddings_are_at_chance():
    found = simclr.nt_xent(jnp.ones((8, 2, 5)), 0.1)
    np.testing.assert_allclose(found, np.log(15), rtol=1e-5)


@pytest.mark.lengthy
def test_step_is_the_same_on_eight_devices_and_lowers_the_loss():
    generator = np.random.default_rng(0)
    batch = {
        "image": generator.integers(0, 255, (32, 48, 48, 3), np.uint8),
        "size": np.full((32, 2), 48, np.int32),
    }
    found = []
    for num_devices in (1, 8):
        mesh = sharding.make_mesh(num_devices)
        method = simclr.make_task(tiny_runs.CONFIG, mesh)
        tx, schedule = tiny_runs.adam(3e-3)
        key = jax.random.key(0)
        now = state.create(method.init, tx, key, mesh)
        run = step.make_train_step(method.loss_fn, tx, schedule, mesh)
        losses = []
        for _ in range(8):
            now, metrics = run(now, sharding.put_parts(batch, mesh, 1))
            losses.append(float(metrics["loss"]))
        found.append(losses)
    np.testing.assert_allclose(*found, rtol=1e-3)
    assert found[0][-1] < found[0][0] - 0.1
    measured = jax.jit(method.evaluate)(
        now.params, now.model_state, sharding.put_batch(batch, mesh), key
    )
    assert measured["affinity_true"] > measured["affinity_other"]


def test_unknown_method_names_the_known():
    with pytest.raises(ValueError, match="'simcl'; known: graph_matching, simclr"):
        table.find("simcl")
