"""The loop: order, metrics one step late, saves, steps that are not finite."""

import jax
import numpy as np
import pytest
import tiny_runs
import toy_tasks

from lvmmed_jax.train import (
    checkpoint,
    guard,
    loop,
    saving,
    sharding,
    state,
    step,
    throughput,
)

TASK = toy_tasks.make_task()


class Lines:
    """A writer that keeps what it is given."""

    def __init__(self):
        self.lines, self.progressed = [], []

    def write(self, step, metrics):
        self.lines.append((step, metrics))

    def progress(self, step, metrics):
        self.progressed.append(step)


def _train(
    workdir,
    *,
    num_steps=6,
    broken=(),
    limit=3,
    log_every=1,
    save_every=100,
    evaluate_every=100,
    left_out=(),
    stop_at=None,
    source=None,
    should_stop=None,
):
    """Trains on batches 0, 1, ... but those left out; returns state, lines, words."""
    mesh = sharding.make_mesh(8)
    tx, schedule = tiny_runs.adam(0.01)
    first = state.create(TASK.init, tx, jax.random.key(0), mesh, averages=True)
    run = step.make_train_step(TASK.loss_fn, tx, schedule, mesh, 0.9)
    numbers = [n for n in range(100) if n not in left_out]
    batches = (toy_tasks.batch(n, broken=n in broken) for n in numbers)
    lines, said, stops = Lines(), [], iter(range(100))

    def measure(now):
        return {"loss_no_noise": now.params["b"], "seen": now.step}

    with saving.Saver(workdir, best_metric="loss_no_noise") as saver:
        last = loop.run(
            first,
            step_fn=run,
            evaluations=[loop.Evaluation(evaluate_every, measure)],
            batches=source or batches,
            mesh=mesh,
            rhythm=loop.Rhythm(num_steps, log_every, save_every),
            meter=throughput.Meter(0.0),
            metrics_writer=lines,
            saver=saver,
            nonfinite=guard.Guard(
                workdir, {"config": {}}, limit, said.append, "pretrain ... --replay"
            ),
            extra={"config": {}},
            should_stop=should_stop or (lambda: next(stops) == stop_at),
            trace=lambda number, now: None,
        )
    return last, lines, said


def _values(tree):
    return jax.device_get((tree.params, tree.model_state, tree.opt_state))


def test_lines_and_evaluations_come_in_order(tmp_path):
    _, lines, _ = _train(tmp_path, log_every=2, evaluate_every=3)
    kinds = [(n, "loss" if "loss" in m else "seen") for n, m in lines.lines]
    assert kinds == [
        (0, "seen"),
        (2, "loss"),
        (3, "seen"),
        (4, "loss"),
        (6, "loss"),
        (6, "seen"),
    ]
    assert all(int(m["seen"]) == n for n, m in lines.lines if "seen" in m)
    assert "images_per_second" in lines.lines[1][1]
    assert "skipped" not in lines.lines[1][1]


def test_every_save_is_evaluated_and_the_last_state_is_saved(tmp_path):
    _, lines, _ = _train(tmp_path, num_steps=7, save_every=3)
    folder = tmp_path / "checkpoints"
    saved = checkpoint.committed_steps(folder)
    assert saved[-2:] == [6, 7]
    for number in saved:
        extra = checkpoint.read_extra(folder / str(number))
        assert extra["next_batch"] == number
        assert extra["metrics"]["seen"] == number
    assert {n for n, m in lines.lines if "seen" in m} == {0, 3, 6, 7}


def test_stop_on_a_saving_step_is_evaluated_like_any_save(tmp_path):
    _train(tmp_path, stop_at=4, save_every=2)
    extra = checkpoint.read_extra(tmp_path / "checkpoints" / "4")
    assert extra["metrics"]["seen"] == 4


def test_signal_that_ends_the_workers_too_is_a_stop(tmp_path):
    """Ctrl-C in a terminal reaches every process of the group."""

    def batches():
        yield toy_tasks.batch(0)
        yield toy_tasks.batch(1)
        raise RuntimeError("Worker process was terminated")

    told = iter([False] * 3 + [True] * 9)
    last, _, _ = _train(tmp_path, source=batches(), should_stop=lambda: next(told))
    assert int(last.step) == 2
    assert checkpoint.committed_steps(tmp_path / "checkpoints") == [2]


def test_worker_that_ends_by_itself_is_told_in_one_line(tmp_path):
    def batches():
        yield toy_tasks.batch(0)
        raise RuntimeError("Worker process was terminated\nTraceback ...")

    with pytest.raises(OSError, match=r"batch 1 could not be read \(Worker") as error:
        _train(tmp_path, source=batches())
    assert "data.num_workers" in str(error.value) and "\n" not in str(error.value)


def test_stopped_run_is_saved_at_once(tmp_path):
    last, _, _ = _train(tmp_path, stop_at=2)
    assert int(last.step) == 2
    extra = checkpoint.read_extra(tmp_path / "checkpoints" / "2")
    assert extra["metrics"] is None


def test_fetches_are_one_a_step_and_one_step_late(tmp_path, monkeypatch):
    calls, stepped = [], []

    def fetch(tree):
        calls.append(len(stepped))
        return jax.device_get(tree)

    def run_step(*arguments):
        stepped.append(arguments[-1])
        return original(*arguments)

    original = loop._step
    monkeypatch.setattr(loop, "fetch", fetch)
    monkeypatch.setattr(loop, "_step", run_step)
    _train(tmp_path, num_steps=5)
    # the first step's number; evaluation 0; step k after step k + 1 was dispatched; the
    # last step and the last evaluation
    assert calls == [0, 0, 2, 3, 4, 5, 5, 5]


def test_broken_batch_is_skipped_as_if_it_had_not_been(tmp_path):
    expected, _, _ = _train(tmp_path / "a", num_steps=5, left_out=(2,))
    found, lines, said = _train(tmp_path / "b", num_steps=6, broken=(2,))
    jax.tree.map(np.testing.assert_array_equal, _values(found), _values(expected))
    assert int(found.step) == 6 and int(found.skipped) == 1 and not found.held
    trained = {n: m for n, m in lines.lines if "loss" in m}
    assert set(trained) == {1, 2, 4, 5, 6}
    assert [m["skipped_steps"] for m in trained.values()] == [0, 0, 1, 1, 1]
    (line,) = said
    assert "step 2 was skipped (loss " in line
    assert f"--replay {tmp_path / 'b' / 'skipped' / '2'}" in line


@pytest.mark.parametrize("evaluate_every", [1, 100])
def test_what_is_saved_of_a_skipped_step_repeats_it(tmp_path, evaluate_every):
    """Read with the next step dispatched, or (where it is evaluated) without."""
    _train(tmp_path, broken=(2,), evaluate_every=evaluate_every)
    at_two, _, _ = _train(tmp_path / "other", num_steps=2)
    mesh = sharding.make_mesh(8)
    tx, schedule = tiny_runs.adam(0.01)
    abstract = state.abstract(TASK.init, tx, jax.random.key(0), mesh, averages=True)
    saved, extra = checkpoint.restore(tmp_path / "skipped" / "2", abstract)
    jax.tree.map(np.testing.assert_array_equal, _values(saved), _values(at_two))
    assert int(saved.step) == 2 and int(saved.skipped) == 0
    assert extra["records"] == list(range(64, 96))
    run = step.make_train_step(TASK.loss_fn, tx, schedule, mesh, 0.9)
    batch = toy_tasks.batch(2, broken=True)
    _, metrics = run(saved, sharding.put_parts(batch, mesh, 1))
    assert extra["found"]["loss"] == repr(float(metrics["loss"]))


@pytest.mark.parametrize("broken", [(2, 3), (0,), (5,), (1, 3, 5)])
def test_skips_wherever_they_fall(tmp_path, broken):
    expected, _, _ = _train(tmp_path / "a", num_steps=6 - len(broken), left_out=broken)
    found, _, said = _train(tmp_path / "b", broken=broken, save_every=2)
    jax.tree.map(np.testing.assert_array_equal, _values(found), _values(expected))
    rows = sum(number - 1 not in broken for number in broken)
    assert len(said) == rows and int(found.skipped) == len(broken)


def test_too_many_in_a_row_end_the_run(tmp_path):
    with pytest.raises(guard.NonFiniteError, match="3 steps in a row were skipped"):
        _train(tmp_path, num_steps=9, broken=(4, 5, 6), save_every=2)
    assert checkpoint.committed_steps(tmp_path / "checkpoints") == [2, 4, 6]


def test_only_a_few_skipped_steps_are_kept(tmp_path):
    _train(tmp_path, num_steps=12, broken=(1, 3, 5, 7, 9))
    assert checkpoint.committed_steps(tmp_path / "skipped") == [5, 7, 9]
