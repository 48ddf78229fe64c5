"""LoRA: begins as the base, learns in its place, merges to a plain encoder."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs

from lvmmed_jax import config, encoders, planning
from lvmmed_jax.methods import encoding, two_views
from lvmmed_jax.models import low_rank

VIT = {"model.encoder": "vit_s16", "model.width": 32, "model.lora_rank": 2}


@pytest.fixture(scope="module")
def settings():
    return config.override(tiny_runs.CONFIG, VIT)


@pytest.fixture(scope="module")
def params(settings):
    networks = two_views.make_networks(settings.model)
    keys = jax.random.split(jax.random.key(0), 3)
    return jax.jit(lambda keys: two_views.init(networks, settings, keys)[0])(keys)


@pytest.mark.lengthy
def test_additions_begin_at_nothing(params):
    assert params["lora"].keys() == {f"Block_{number}" for number in range(12)}
    assert params["lora"]["Block_0"]["qkv"]["down"].shape == (192, 2)
    merged = encoding.encoder_params(params)
    jax.tree.map(np.testing.assert_array_equal, merged, params["encoder"])
    firsts = [block["qkv"]["down"] for block in params["lora"].values()]
    assert not np.array_equal(firsts[0], firsts[1])
    assert float(np.std(firsts[0])) == pytest.approx(192**-0.5, rel=0.2)


@pytest.mark.lengthy
def test_merging_adds_the_product_to_attentions_kernels_only(params):
    grown = jax.tree.map(lambda x: x + 0.1, params["lora"])
    merged = low_rank.merge(params["encoder"], grown)
    factors = grown["Block_3"]["projection"]
    base = params["encoder"]["Block_3"]["attention"]["projection"]["kernel"]
    np.testing.assert_allclose(
        merged["Block_3"]["attention"]["projection"]["kernel"],
        base + np.asarray(factors["down"]) @ np.asarray(factors["up"]),
        rtol=1e-5,
        atol=1e-6,
    )
    pairs = zip(*map(jax.tree.leaves, (merged, params["encoder"])), strict=True)
    assert sum(np.any(a != b) for a, b in pairs) == 2 * 12


def test_gradient_reaches_the_additions_alone(params):
    def total(params):
        encoder = encoding.encoder_params(params)
        return sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(encoder))

    gradient = jax.grad(total)({**params, "lora": params["lora"]})
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(gradient["encoder"]))
    assert np.any(gradient["lora"]["Block_0"]["qkv"]["up"])


def test_encoder_without_attention_is_refused():
    found = config.override(tiny_runs.CONFIG, {"model.lora_rank": 2})
    with pytest.raises(ValueError, match=r"lora_rank needs a vision transformer"):
        planning.make(found)


@pytest.mark.slow
def test_random_start_with_additions_is_that_without(settings):
    plain = config.override(settings, {"model.lora_rank": 0})
    first, second = encoders.random(settings), encoders.random(plain)
    jax.tree.map(np.testing.assert_array_equal, first.variables, second.variables)
