"""Checkpoints: whole, on other devices, the best kept, damage known and passed over."""

import dataclasses
import errno
import gc
import resource

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs
from orbax.checkpoint import v1 as ocp

from lvmmed_jax.train import checkpoint, saving, sharding, state

# a load that fails leaves tasks of Orbax's to an event loop that is closed
pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning",
    "ignore::pytest.PytestUnhandledThreadExceptionWarning",
)


@pytest.fixture(autouse=True)
def _ended():
    """Collects such tasks here, not in whatever test is next."""
    yield
    gc.collect()


def _init(key):
    model_state = {
        "batch_stats": {"m": jnp.ones(3)},
        "queue": jax.random.normal(key, (8, 4)).astype(jnp.bfloat16),
        "pointer": jnp.int32(5),
        "teacher": {"w": jnp.zeros((10, 4))},
    }
    return {"w": jax.random.normal(key, (1000, 100))}, model_state


def _start(num_devices=8, fsdp=1):
    mesh = sharding.make_mesh(num_devices, fsdp)
    tx, _ = tiny_runs.adam(1e-3)
    key = jax.random.key(0)
    return (
        state.create(_init, tx, key, mesh, averages=True),
        state.abstract(_init, tx, key, mesh, averages=True),
    )


def _save(folder, saved, steps=(0,), **keywords):
    with saving.Saver(folder, **keywords) as saver:
        for number in steps:
            saver.save(number, saved, {"next_batch": number})
    return folder / "checkpoints"


def _assert_equal(found, saved):
    def numbers(tree):
        return dataclasses.replace(tree, key=jax.random.key_data(tree.key))

    jax.tree.map(np.testing.assert_array_equal, numbers(found), numbers(saved))


def _damage(path, how, part="model"):
    """Cuts or flips the largest file of arrays of a checkpoint."""
    files = [file for file in (path / part).rglob("*") if file.is_file()]
    largest = max(files, key=lambda file: file.stat().st_size)
    raw = bytearray(largest.read_bytes())
    if how == "flipped":
        raw[len(raw) // 2] ^= 16
    largest.write_bytes(raw if how == "flipped" else raw[: len(raw) // 2])


def test_all_of_a_state_comes_back_on_eight_four_and_one_devices(tmp_path):
    saved, _ = _start(8)
    folder = _save(tmp_path, saved)
    for num_devices in (8, 4, 1):
        _, abstract = _start(num_devices)
        restored, extra = checkpoint.restore(folder / "0", abstract)
        _assert_equal(restored, saved)
        assert extra["next_batch"] == 0
        assert len(restored.params["w"].sharding.device_set) == num_devices
        assert jax.tree.structure(restored) == jax.tree.structure(saved)


def test_a_state_that_was_cut_comes_back_whole_and_cut_otherwise(tmp_path):
    saved, _ = _start(8, fsdp=4)
    assert saved.params["w"].addressable_data(0).shape == (250, 100)
    assert saved.averaged["params"]["w"].addressable_data(0).shape == (250, 100)
    folder = _save(tmp_path, saved)
    for num_devices, fsdp in ((8, 4), (8, 2), (1, 1)):
        _, abstract = _start(num_devices, fsdp)
        restored, _ = checkpoint.restore(folder / "0", abstract)
        _assert_equal(restored, saved)
        assert restored.params["w"].addressable_data(0).shape == (1000 // fsdp, 100)


def test_json_values_come_back(tmp_path):
    extra = {"config": {"a": {"b": [1, None, "x", 0.1]}}, "next_batch": 0}
    with saving.Saver(tmp_path) as saver:
        saver.save(3, _start(1)[0], extra, {"loss_no_noise": 2.5})
    found = checkpoint.read_extra(tmp_path / "checkpoints" / "3")
    assert {name: found[name] for name in extra} == extra
    assert found["metrics"] == {"loss_no_noise": 2.5}


@pytest.mark.parametrize("averages", [False, True])
def test_model_alone(tmp_path, averages):
    saved, abstract = _start(1)
    doubled = jax.tree.map(lambda x: 2 * x, saved.params)
    model = {"params": doubled, "model_state": saved.model_state}
    saved = dataclasses.replace(saved, averaged=model)
    folder = _save(tmp_path, saved)
    wanted = {"params": abstract.params, "model_state": abstract.model_state}
    extra = checkpoint.read_extra(folder / "0")
    found = checkpoint.restore_model(folder / "0", extra, wanted, averages)
    factor = 2 if averages else 1
    np.testing.assert_array_equal(found["params"]["w"], factor * saved.params["w"])
    assert jax.tree.structure(found) == jax.tree.structure(wanted)


def test_donating_the_state_right_after_a_save_does_not_reach_the_file(tmp_path):
    saved, abstract = _start()
    expected = np.array(saved.params["w"])
    spoil = jax.jit(lambda s: jax.tree.map(lambda x: x * 0, s.params), donate_argnums=0)
    with saving.Saver(tmp_path) as saver:
        saver.save(0, saved, {})
        jax.block_until_ready(spoil(saved))
    found, _ = checkpoint.restore(tmp_path / "checkpoints" / "0", abstract)
    np.testing.assert_array_equal(found.params["w"], expected)


def test_folder_without_a_committed_step_is_none(tmp_path):
    assert not checkpoint.is_checkpoint_folder(tmp_path)
    unfinished = tmp_path / "checkpoints" / "5.orbax-checkpoint-tmp"
    unfinished.mkdir(parents=True)
    assert not checkpoint.is_checkpoint_folder(tmp_path)
    with saving.Saver(tmp_path):
        assert not unfinished.exists()


@pytest.mark.parametrize("keep_last", [1, 2])
def test_only_the_last_are_kept(tmp_path, keep_last):
    folder = _save(tmp_path, _start(1)[0], range(4), keep_last=keep_last)
    assert checkpoint.committed_steps(folder) == list(range(4))[-keep_last:]


@pytest.mark.parametrize(
    ("metric", "best"), [("loss_no_noise", 1), ("matching_accuracy", 3)]
)
def test_the_best_is_kept_too(tmp_path, metric, best):
    values = [5.0, 1.0, 2.0, 7.0, 3.0, 4.0]
    with saving.Saver(tmp_path, keep_last=1, best_metric=metric) as saver:
        for number, value in enumerate(values):
            saver.save(number, _start(1)[0], {}, {metric: value})
        saver.save(6, _start(1)[0], {})  # not evaluated: cannot be the best
    folder = tmp_path / "checkpoints"
    assert checkpoint.committed_steps(folder) == [best, 6]
    assert checkpoint.best_step(folder, metric) == (best, values[best])
    assert checkpoint.best_step(folder, "embedding_rank") is None


@pytest.mark.parametrize("how", ["flipped", "cut"])
def test_damaged_newest_is_passed_over_and_said(tmp_path, how):
    saved, abstract = _start(1)
    folder = _save(tmp_path, saved, (4, 8))
    _damage(folder / "8", how)
    said = []
    number, (found, _) = checkpoint.newest_sound(
        folder, lambda path: checkpoint.restore(path, abstract), said.append
    )
    assert number == 4
    _assert_equal(found, saved)
    (line,) = said
    assert str(folder / "8") in line and "damaged" in line and "going back" in line
    checkpoint.set_aside(folder, after=4)
    assert checkpoint.committed_steps(folder) == [4]
    assert (tmp_path / "damaged" / "8").is_dir()


@pytest.mark.parametrize("part", ["model", "training", "averaged"])
def test_one_other_array_of_any_part_is_found(tmp_path, part, monkeypatch):
    """What Orbax would read without a word: here it did, and the digest differs."""
    saved, abstract = _start(1)
    folder = _save(tmp_path, saved)
    load = ocp.load_checkpointables

    def load_with_a_flipped_bit(path, wanted):
        found = load(path, wanted)
        if part in found:
            leaves, form = jax.tree.flatten(found[part])
            last = max(range(len(leaves)), key=lambda n: leaves[n].size)
            raw = np.array(leaves[last])
            raw.view(np.uint8).reshape(-1)[7] ^= 1
            leaves[last] = jax.device_put(raw, leaves[last].sharding)
            found[part] = jax.tree.unflatten(form, leaves)
        return found

    monkeypatch.setattr(ocp, "load_checkpointables", load_with_a_flipped_bit)
    with pytest.raises(checkpoint.DamagedError, match=f"1 of .* is {part}"):
        checkpoint.restore(folder / "0", abstract)


@pytest.mark.parametrize("part", ["model", "averaged"])
def test_one_flipped_bit_in_the_files_is_found(tmp_path, part):
    saved, abstract = _start(1)
    folder = _save(tmp_path, saved)
    _damage(folder / "0", "flipped", part)
    with pytest.raises(checkpoint.DamagedError, match="is damaged"):
        checkpoint.restore(folder / "0", abstract)


def test_changed_settings_are_damage(tmp_path):
    folder = _save(tmp_path, _start(1)[0])
    swapped = 0
    for file in (folder / "0" / "extra").rglob("*"):
        raw = file.read_bytes() if file.is_file() else b""
        if b"next_batch" in raw:
            file.write_bytes(raw.replace(b"next_batch", b"nexu_batch"))
            swapped += 1
    if not swapped:
        pytest.skip("the settings are compressed")
    with pytest.raises(checkpoint.DamagedError):
        checkpoint.read_extra(folder / "0")


def test_all_damaged_is_one_clear_error(tmp_path):
    folder = _save(tmp_path, _start(1)[0], (4, 8))
    for step in (4, 8):
        _damage(folder / str(step), "cut")
    _, abstract = _start(1)
    with pytest.raises(ValueError, match=r"every checkpoint in .* is damaged"):
        checkpoint.newest_sound(
            folder, lambda path: checkpoint.restore(path, abstract), print
        )


def test_nan_is_no_best_and_drops_none(tmp_path):
    values = [2.0, 1.0, 3.0, np.nan, 4.0]
    with saving.Saver(tmp_path, keep_last=1, best_metric="loss_no_noise") as saver:
        for number, value in enumerate(values):
            saver.save(number, _start(1)[0], {}, {"loss_no_noise": value})
    folder = tmp_path / "checkpoints"
    assert checkpoint.committed_steps(folder) == [1, 4]
    assert checkpoint.best_step(folder, "loss_no_noise") == (1, 1.0)


def test_another_metric_may_choose_the_best_from_now_on(tmp_path):
    with saving.Saver(tmp_path, best_metric="loss_no_noise") as saver:
        saver.save(0, _start(1)[0], {}, {"loss_no_noise": 1.0})
    with saving.Saver(tmp_path, keep_last=1, best_metric="knn_accuracy") as saver:
        for number, value in ((1, 0.9), (2, 0.5), (3, 0.4)):
            saver.save(number, _start(1)[0], {}, {"knn_accuracy": value})
    assert checkpoint.committed_steps(tmp_path / "checkpoints") == [1, 3]


def test_step_behind_newer_ones_is_refused_not_dropped(tmp_path):
    with saving.Saver(tmp_path) as saver:
        saver.save(5, _start(1)[0], {})
        with pytest.raises(OSError, match="holds newer steps than 3"):
            saver.save(3, _start(1)[0], {})


def test_reader_goes_on_where_a_run_deletes_what_it_reads(tmp_path):
    folder = _save(tmp_path, _start(1)[0], (4, 8))

    def read(path):
        if path.name == "8" and path.exists():
            path.rename(folder / "12")  # as a run does that saves and deletes
            raise checkpoint.DamagedError("gone")
        return checkpoint.read_extra(path)["next_batch"]

    assert checkpoint.newest_sound(folder, read, pytest.fail) == (12, 8)


def test_too_many_open_files_are_no_damage(tmp_path, monkeypatch):
    folder = _save(tmp_path, _start(1)[0])

    def fail(path, wanted):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(ocp, "load_checkpointables", fail)
    with pytest.raises(OSError, match="Too many open files"):
        checkpoint.newest_sound(folder, checkpoint.read_extra, pytest.fail)


def test_folder_that_cannot_be_made_is_told_at_once(tmp_path):
    """Orbax would wait for minutes."""
    (tmp_path / "checkpoints").write_text("in the way")
    with saving.Saver(tmp_path) as saver, pytest.raises(OSError):
        saver.save(0, _start(1)[0], {})
    assert (tmp_path / "checkpoints").read_text() == "in the way"


def test_full_disk_is_told_in_one_line_and_leaves_the_last_checkpoint(tmp_path):
    """A limit on the size of files stands for it."""
    saved, abstract = _start(1)
    noise = jax.random.normal(jax.random.key(1), (1000, 100))
    larger = dataclasses.replace(saved, params={"w": noise})
    folder = _save(tmp_path, saved)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
        with pytest.raises(OSError, match="no checkpoint could be written") as error:
            _save(tmp_path, larger, (1,))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(error.value)
    assert checkpoint.committed_steps(folder) == [0]
    _assert_equal(checkpoint.restore(folder / "0", abstract)[0], saved)
