"""One update: parts of a batch, averages, what is carried, what is not finite."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs
import toy_tasks

from lvmmed_jax.train import sharding, state, step

TASK = toy_tasks.make_task()


def _start(num_devices=8, ema_decay=None, task=TASK):
    mesh = sharding.make_mesh(num_devices)
    tx, schedule = tiny_runs.adam(0.01)
    now = state.create(
        task.init,
        tx,
        jax.random.key(0),
        mesh,
        averages=ema_decay is not None,
    )
    return mesh, now, step.make_train_step(task.loss_fn, tx, schedule, mesh, ema_decay)


def _train(num_steps=4, num_parts=1, num_devices=8, broken=(), ema_decay=None):
    mesh, now, run = _start(num_devices, ema_decay)
    seen = [jax.device_get((now.params, now.model_state))]
    for number in range(num_steps):
        batch = toy_tasks.batch(number, broken=number in broken)
        now, metrics = run(now, sharding.put_parts(batch, mesh, num_parts))
        if metrics["skipped"]:
            now = state.release(now)
        seen.append(jax.device_get((now.params, now.model_state)))
    return now, metrics, seen


def _close(a, b, rtol=2e-5):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol, atol=1e-6), a, b)


@pytest.mark.parametrize(("num_parts", "num_devices"), [(4, 8), (2, 4), (8, 1)])
def test_parts_of_a_batch_are_the_batch(num_parts, num_devices):
    whole, metrics, _ = _train(num_devices=1)
    parts, found, _ = _train(num_parts=num_parts, num_devices=num_devices)
    _close(parts.params, whole.params)
    _close(found["loss"], metrics["loss"])
    _close(found["accuracy"], metrics["accuracy"])
    assert int(parts.model_state["pointer"]) == 4 * num_parts % toy_tasks.QUEUE


def test_parts_need_no_exchange_of_images():
    mesh, now, run = _start(8)
    batch = sharding.put_parts(toy_tasks.batch(0), mesh, 4)
    text = run.lower(now, batch).compile().as_text()
    for name in ("all-gather", "all-to-all", "collective-permute"):
        assert f" {name}(" not in text and f" {name}-start(" not in text


def test_parts_differ_in_their_keys():
    def loss_fn(params, model_state, batch, key):
        return jax.random.uniform(key) + 0 * params["w"].sum(), (model_state, {})

    task = TASK._replace(loss_fn=loss_fn)
    mesh, now, run = _start(1, task=task)
    key = jax.random.fold_in(now.key, 0)
    expected = np.mean(
        [jax.random.uniform(jax.random.fold_in(key, part)) for part in range(4)]
    )
    _, metrics = run(now, sharding.put_parts(toy_tasks.batch(0), mesh, 4))
    np.testing.assert_allclose(metrics["loss"], expected, rtol=1e-5)


def test_queue_teacher_and_labels_are_carried():
    now, _, seen = _train(num_steps=3)
    queue = np.zeros((toy_tasks.QUEUE, toy_tasks.WIDTH))
    teacher = seen[0][0]["w"]
    for number in range(3):
        queue[number] = toy_tasks.batch(number)["image"].mean(axis=0)
        teacher = 0.9 * teacher + 0.1 * seen[number][0]["w"]
    _close(now.model_state["queue"], queue)
    _close(now.model_state["teacher"]["w"], teacher)
    assert np.any(seen[3][0]["w"] != seen[0][0]["w"])


def test_averages_follow_the_formula():
    now, _, seen = _train(num_steps=5, ema_decay=0.3)
    expected = seen[0]
    for number, model in enumerate(seen[1:]):
        kept = min(0.3, (1 + number) / (10 + number))
        expected = jax.tree.map(
            lambda a, b, kept=kept: kept * a + (1 - kept) * b, expected, model
        )
    _close(now.averaged["params"], expected[0])
    _close(now.averaged["model_state"]["queue"], expected[1]["queue"])
    assert int(now.averaged["model_state"]["pointer"]) == 5  # not averaged
    assert now.model is now.averaged
    assert _train(num_steps=1)[0].averaged is None


def test_step_that_is_not_finite_changes_nothing_and_is_counted():
    now, metrics, seen = _train(num_steps=3, broken=(1,), ema_decay=0.5)
    jax.tree.map(np.testing.assert_array_equal, seen[1], seen[2])
    assert int(now.step) == 3 and int(now.skipped) == 1
    assert float(metrics["skipped_steps"]) == 1 and not metrics["skipped"]
    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(now.averaged))
    # the optimiser too goes on as if the step had not been
    mesh, expected, run = _start(ema_decay=0.5)
    for number in (0, 2):
        batch = sharding.put_parts(toy_tasks.batch(number), mesh, 1)
        expected, _ = run(expected, batch)
    jax.tree.map(
        np.testing.assert_array_equal,
        (now.params, now.model_state, now.opt_state, now.averaged),
        (expected.params, expected.model_state, expected.opt_state, expected.averaged),
    )


def test_gradient_that_is_not_finite_counts_too():
    def loss_fn(params, model_state, batch, key):
        # sqrt has an infinite slope at 0
        return jnp.sum(jnp.sqrt(0 * params["w"])), (model_state, {})

    mesh, now, run = _start(1, task=TASK._replace(loss_fn=loss_fn))
    _, metrics = run(now, sharding.put_parts(toy_tasks.batch(0), mesh, 1))
    assert np.isfinite(metrics["loss"]) and metrics["skipped"]


def test_model_state_that_is_not_finite_counts_too():
    def loss_fn(params, model_state, batch, key):
        loss, (_, metrics) = TASK.loss_fn(params, model_state, batch, key)
        spoilt = {**model_state, "queue": model_state["queue"] * jnp.inf}
        return loss, (spoilt, metrics)

    mesh, now, run = _start(1, task=TASK._replace(loss_fn=loss_fn))
    _, metrics = run(now, sharding.put_parts(toy_tasks.batch(0), mesh, 1))
    assert np.isfinite(metrics["loss"]) and metrics["skipped"]


def test_held_state_stays_until_released():
    mesh, now, run = _start(ema_decay=0.5)
    broken, good = (
        sharding.put_parts(toy_tasks.batch(number, broken=number == 0), mesh, 1)
        for number in (0, 1)
    )
    begin = jax.device_get((now.params, now.averaged, now.opt_state))
    now, metrics = run(now, broken)
    assert metrics["skipped"] and now.held
    now, metrics = run(now, good)
    assert not metrics["skipped"] and int(now.step) == 1 and int(now.skipped) == 1
    jax.tree.map(
        np.testing.assert_array_equal, (now.params, now.averaged, now.opt_state), begin
    )
    before = state.before_skipped(now)
    assert int(before.step) == 0 and int(before.skipped) == 0 and not before.held
    now, _ = run(state.release(now), good)
    assert int(now.step) == 2 and np.any(now.params["w"] != begin[0]["w"])


def test_learning_rate_is_that_of_the_update():
    mesh, now, run = _start()
    for broken in (True, False):
        batch = sharding.put_parts(toy_tasks.batch(0, broken=broken), mesh, 1)
        now, metrics = run(state.release(now), batch)
    _, schedule = tiny_runs.adam(0.01)
    np.testing.assert_allclose(metrics["learning_rate"], schedule(0))


def test_a_cut_state_trains_alike_and_stays_cut():
    """Toy arrays are too small to be cut: here all that can be are."""
    found = []
    for fsdp in (1, 4):
        mesh = sharding.make_mesh(8, fsdp)
        tx, schedule = tiny_runs.adam(0.01)
        init = _wide_task().init
        now = state.create(init, tx, jax.random.key(0), mesh, averages=True)
        run = step.make_train_step(_wide_task().loss_fn, tx, schedule, mesh, 0.9)
        losses = []
        for number in range(20):
            batch = sharding.put_parts(toy_tasks.batch(number), mesh, 1)
            now, metrics = run(now, batch)
            losses.append(float(metrics["loss"]))
        found.append(losses)
        for tree in (now.params, now.opt_state[0].mu, now.averaged["params"]):
            assert tree["v"].addressable_data(0).shape == (4096 // fsdp,)
    np.testing.assert_allclose(*found, rtol=1e-4)
    assert found[0][-1] < 0.9 * found[0][0]
    text = run.lower(now, batch).compile().as_text()
    # parameters are gathered for the loss; what else moves is a gradient
    assert " all-gather(" in text or " all-gather-start(" in text
    assert " all-to-all(" not in text


def _wide_task():
    """The toy's regression with a hidden layer of 4096 scales."""

    def init(key):
        params, model_state = TASK.init(key)
        return {**params, "v": jnp.ones(4096)}, model_state

    def loss_fn(params, model_state, batch, key):
        scaled = {"w": params["w"] * jnp.mean(params["v"]), "b": params["b"]}
        loss, (_, metrics) = TASK.loss_fn(scaled, model_state, batch, key)
        return loss, (model_state, metrics)

    return TASK._replace(init=init, loss_fn=loss_fn)


def test_the_old_state_is_given_away():
    mesh, now, run = _start(ema_decay=0.9)
    run(now, sharding.put_parts(toy_tasks.batch(0), mesh, 1))
    assert all(
        leaf.is_deleted() for leaf in jax.tree.leaves((now.params, now.averaged))
    )


def test_operations_are_counted_for_all_parts():
    """Of a matrix product: 2 n^3, forward and for one gradient backward."""

    def loss_fn(params, model_state, batch, key):
        wide = batch["image"] @ jnp.outer(params["w"], params["w"])
        return jnp.sum(wide), (model_state, {})

    task = TASK._replace(loss_fn=loss_fn)
    found = []
    for num_parts in (1, 2):
        mesh, now, run = _start(1, task=task)
        batch = sharding.put_parts(toy_tasks.batch(0, 4096), mesh, num_parts)
        compiled, flops = step.compile_step(run, now, batch)
        compiled(now, batch)
        found.append(flops)
    product = 2 * 4096 * toy_tasks.WIDTH**2
    assert 1.9 * product < found[0] < 3 * product
    assert found[1] == pytest.approx(found[0], rel=0.1)
