import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lvmmed_jax.train import checkpoint, sharding, state, step

EXTRA = {"next_batch": 0}


def _init(key):
    return {"w": jax.random.normal(key, (1000, 100))}, {
        "batch_stats": {"m": jnp.ones(3)}
    }


def _start(num_devices=8):
    same = sharding.replicated(sharding.make_mesh(num_devices))
    tx, _ = step.make_optimizer(1e-3, (0.5,), 10)
    key = jax.random.key(0)
    return (
        state.create(_init, tx, key, same),
        state.abstract(_init, tx, key, same),
    )


def test_state_and_extras_come_back_on_another_number_of_devices(tmp_path):
    saved, _ = _start(8)
    extra = {"config": {"a": {"b": [1, None, "x"]}}, "next_batch": 0}
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(saved, extra)
    _, abstract = _start(1)
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.extra() == extra
        restored = checkpoints.restore(abstract)
    np.testing.assert_array_equal(restored.params["w"], saved.params["w"])
    np.testing.assert_array_equal(
        jax.random.key_data(restored.key), jax.random.key_data(saved.key)
    )
    assert len(restored.params["w"].sharding.device_set) == 1
    assert jax.tree.structure(restored) == jax.tree.structure(saved)


def test_donating_the_state_right_after_a_save_does_not_reach_the_file(tmp_path):
    saved, abstract = _start()
    expected = np.array(saved.params["w"])
    spoil = jax.jit(lambda s: jax.tree.map(lambda x: x * 0, s.params), donate_argnums=0)
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(saved, EXTRA)
        jax.block_until_ready(spoil(saved))
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        np.testing.assert_array_equal(
            checkpoints.restore(abstract).params["w"], expected
        )


def test_folder_without_a_committed_step_is_none(tmp_path):
    assert not checkpoint.is_checkpoint_folder(tmp_path)
    (tmp_path / "checkpoints" / "5.orbax-checkpoint-tmp").mkdir(parents=True)
    assert not checkpoint.is_checkpoint_folder(tmp_path)


@pytest.mark.parametrize("num_saves", [3])
def test_only_the_last_are_kept(tmp_path, num_saves):
    saved, _ = _start(1)
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        for number in range(num_saves):
            checkpoints.save(
                state.TrainState(**{**vars(saved), "step": jnp.int32(number)}), EXTRA
            )
    kept = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert kept == {str(number) for number in range(num_saves)[-checkpoint.KEEP_LAST :]}
