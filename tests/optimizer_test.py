import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lvmmed_jax.train import optimizer

PARAMS = {"kernel": jnp.full((4, 3), 2.0), "bias": jnp.full(3, 2.0)}


def _schedule(name, **keywords):
    schedule = optimizer.make_schedule(name, peak=0.8, num_steps=100, **keywords)
    return [float(schedule(number)) for number in range(101)]


def test_rate_is_halved_four_times():
    rates = _schedule("halved", halve_at=(0.2, 0.4, 0.6, 0.8))
    assert [rates[n] for n in (0, 19, 20, 39, 40, 59, 60, 79, 80, 100)] == [
        pytest.approx(0.8 / 2**halvings) for halvings in (0, 0, 1, 1, 2, 2, 3, 3, 4, 4)
    ]


def test_cosine_falls_to_zero():
    rates = _schedule("cosine")
    assert rates[0] == pytest.approx(0.8) and rates[100] == pytest.approx(0, abs=1e-6)
    assert rates[50] == pytest.approx(0.4) and np.all(np.diff(rates) < 0)


@pytest.mark.parametrize("name", optimizer.SCHEDULES)
def test_warm_up_rises_to_the_peak_and_joins(name):
    rates = _schedule(name, halve_at=(0.5,), warmup=0.1)
    np.testing.assert_allclose(np.diff(rates[:11]), 0.8 / 11, rtol=1e-4)
    assert rates[0] > 0 and rates[10] == pytest.approx(0.8)
    assert max(rates) == pytest.approx(0.8)
    if name == "halved":  # at a share of the whole run
        assert rates[49] == pytest.approx(0.8) and rates[50] == pytest.approx(0.4)
    if name == "cosine":
        assert rates[55] == pytest.approx(0.4) and rates[100] < 1e-6


def _updates(name, gradient, **keywords):
    tx = optimizer.make_optimizer(name, optax.constant_schedule(0.1), **keywords)
    updates, _ = tx.update(gradient, tx.init(PARAMS), PARAMS)
    return updates


@pytest.mark.parametrize("name", optimizer.OPTIMIZERS)
def test_each_goes_downhill(name):
    tx = optimizer.make_optimizer(name, optax.constant_schedule(0.05))
    params, opt_state = PARAMS, tx.init(PARAMS)
    for _ in range(20):
        updates, opt_state = tx.update(params, opt_state, params)  # of |x|^2 / 2
        params = optax.apply_updates(params, updates)
    assert optax.tree.norm(params) < 0.999 * optax.tree.norm(PARAMS)


@pytest.mark.parametrize("name", ["adamw", "sgd", "lars", "lamb"])
def test_kernels_decay_and_biases_do_not(name):
    nothing = optax.tree.zeros_like(PARAMS)
    updates = _updates(name, nothing, weight_decay=0.1)
    assert np.all(np.asarray(updates["kernel"]) < 0)
    np.testing.assert_array_equal(updates["bias"], 0)


def test_gradients_of_a_large_norm_are_scaled_down():
    gradient = {"kernel": jnp.full((4, 3), 10.0), "bias": jnp.zeros(3)}
    clipped = _updates("sgd", gradient, clip_norm=1.0)
    assert float(optax.tree.norm(clipped)) == pytest.approx(0.1, rel=1e-4)
    small = optax.tree.scale(1e-3, gradient)
    np.testing.assert_array_equal(
        _updates("sgd", small, clip_norm=1.0)["kernel"],
        _updates("sgd", small)["kernel"],
    )


def test_what_there_is_not_is_told():
    constant = optax.constant_schedule(0.1)
    with pytest.raises(ValueError, match="'adm'; known: adam, adamw"):
        optimizer.make_optimizer("adm", constant)
    with pytest.raises(ValueError, match="use adamw"):
        optimizer.make_optimizer("adam", constant, weight_decay=0.1)
    with pytest.raises(ValueError, match="'linear'; known: halved"):
        optimizer.make_schedule("linear", peak=1.0, num_steps=3)
