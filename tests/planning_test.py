"""The share of the learning rate of each layer, and what is frozen."""

import jax
import numpy as np
import pytest
import tiny_runs

from data_pipelines import mixture
from lvmmed_jax import config, planning
from lvmmed_jax.models import encoder_table
from lvmmed_jax.train import sharding

pytestmark = pytest.mark.lengthy


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return tiny_runs.make_shards(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def step_of(shards):
    """Overrides -> a run's first state, on the host, and the one two steps later."""
    batch = mixture.host_batch(
        shards, global_batch=32, seed=0, number=0, mix=mixture.Mix(graph_size=4)
    )

    def run(overrides, num_steps=2):
        plan = planning.make(config.override(tiny_runs.CONFIG, overrides))
        parts = sharding.put_parts(batch, plan.mesh, 1)
        first = planning.first_state(plan)
        before, now = jax.device_get(first.model), first
        for _ in range(num_steps):
            now, _ = plan.step_fn(now, parts)
        return before, jax.device_get(now.model), now

    return run


def _moves(before, after):
    """Name of a part of the encoder -> the largest change in it."""
    before, after = (each["params"]["encoder"] for each in (before, after))
    return {
        name: max(
            np.abs(a - b).max()
            for a, b in zip(
                *map(jax.tree.leaves, (before[name], after[name])), strict=True
            )
        )
        for name in before
    }


@pytest.mark.parametrize(
    ("encoder", "layers"),
    [
        ("resnet50", {"Conv_0": 0, "BatchNorm_0": 0, "Block_0": 1, "Block_15": 16}),
        ("vit_b16", {"patch_embedding": 0, "positions": 0, "Block_11": 12, "norm": 13}),
        ("sam_b16", {"positions": 0, "Block_0": 1}),
        ("dinov2_s14_reg", {"registers": 0, "class_token": 0}),
        (
            "convnext_t",
            {
                "stem": 0,
                "stem_norm": 0,
                "Block_0": 1,
                "downsample1": 4,
                "downsample_norm3": 16,
                "Block_17": 18,
            },
        ),
    ],
)
def test_depth_of_each_part(encoder, layers):
    sizes = encoder_table.find(encoder).stage_sizes
    found = {name: encoder_table.layer_of(name, sizes) for name in layers}
    assert found == layers


@pytest.mark.lengthy
def test_first_layers_move_less(step_of):
    # Adam's first update is the rate in each entry
    before, after, _ = step_of({"optimizer.layer_decay": 0.5}, num_steps=1)
    moves = _moves(before, after)
    expected = {"Conv_0": 4, "BatchNorm_0": 4, "Block_0": 3, "Block_1": 2, "Block_2": 1}
    for name, power in expected.items():
        assert moves[name] == pytest.approx(3e-3 * 0.5**power, rel=1e-2), name
    pair = (each["params"]["projector"] for each in (before, after))
    change = [
        np.abs(a - b).max() for a, b in zip(*map(jax.tree.leaves, pair), strict=True)
    ]
    assert max(change) == pytest.approx(3e-3, rel=1e-2)


@pytest.mark.lengthy
@pytest.mark.parametrize(
    "optimizer", ["adamw", pytest.param("lars", marks=pytest.mark.slow)]
)
def test_frozen_stages_stay_bit_for_bit(step_of, optimizer):
    before, after, now = step_of(
        {
            "optimizer.frozen_stages": 2,
            "optimizer.name": optimizer,
            "optimizer.weight_decay": 0.1,
            "optimizer.clip_norm": 1.0,
        }
    )
    moves = _moves(before, after)
    assert {name for name, move in moves.items() if move == 0} == {
        "Conv_0",
        "BatchNorm_0",
        "Block_0",
        "Block_1",
    }
    old, new = (each["model_state"]["batch_stats"] for each in (before, after))
    for name in old:
        pairs = zip(*map(jax.tree.leaves, (old[name], new[name])), strict=True)
        moved = any(np.any(a != b) for a, b in pairs)
        assert moved == (name == "Block_2"), name
    kept = [leaf.shape for leaf in jax.tree.leaves(now.opt_state)]
    assert now.params["encoder"]["Conv_0"]["kernel"].shape not in kept


def test_frozen_patches_stay_bit_for_bit(step_of):
    before, after, _ = step_of(
        {
            "model.encoder": "vit_s16",
            "train.method": "moco_v3",
            "moco_v3.hidden": 8,
            "moco_v3.width": 6,
            "optimizer.frozen_patches": True,
            "optimizer.name": "adamw",
            "optimizer.weight_decay": 0.1,
        }
    )
    moves = _moves(before, after)
    assert {name for name, move in moves.items() if move == 0} == {"patch_embedding"}


def test_frozen_stages_do_not_look_at_the_batch():
    network = encoder_table.find("resnet8").make("resnet8", 4, np.float32, False)
    images = np.random.default_rng(0).normal(size=(4, 32, 32, 3)).astype(np.float32)
    variables = network.init(jax.random.key(0), images, train=False)
    apply = jax.jit(
        network.apply, static_argnames=("train", "stages", "frozen", "mutable")
    )
    trained, _ = apply(
        variables, images, train=True, stages=(2, 3), frozen=2, mutable=("batch_stats",)
    )
    still = apply(variables, images, train=False, stages=(2, 3))
    np.testing.assert_allclose(trained[0], still[0], rtol=1e-5, atol=1e-5)
    assert np.abs(trained[1] - still[1]).max() > 0.1


@pytest.mark.lengthy
@pytest.mark.slow
@pytest.mark.parametrize("encoder", ["vit_s16", "convnext_t"])
def test_gradient_of_frozen_stages_is_nothing(encoder):
    row = encoder_table.find(encoder)
    network = row.make(encoder, 2 if encoder == "convnext_t" else 32, np.float32, False)
    images = np.random.default_rng(0).normal(size=(1, 32, 32, 3)).astype(np.float32)
    variables = network.init(jax.random.key(0), images, train=False)

    def total(params):
        return network.apply({"params": params}, images, train=True, frozen=2).sum()

    gradient = jax.jit(jax.grad(total))(variables["params"])
    for name, part in gradient.items():
        moves = any(np.any(leaf) for leaf in jax.tree.leaves(part))
        frozen = encoder_table.layer_of(name, row.stage_sizes) <= sum(
            row.stage_sizes[:2]
        )
        assert moves != frozen, name


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("optimizer.frozen_stages", 4, "must be at most 3: resnet8 has no more"),
        ("optimizer.frozen_stages", -1, "must be at least 0"),
        ("optimizer.frozen_patches", True, "a vision transformer, which resnet8 is"),
        ("optimizer.layer_decay", 0.0, "must be above 0"),
        ("optimizer.layer_decay", 1.5, "must be between 0 and 1"),
        ("model.lora_rank", -1, "must be at least 0"),
    ],
)
def test_values_outside_their_range_are_told(name, value, message):
    with pytest.raises(ValueError, match=message):
        planning.make(config.override(tiny_runs.CONFIG, {name: value}))


def test_nothing_changes_where_nothing_is_asked_for():
    plan = planning.make(tiny_runs.CONFIG)
    tx, _ = tiny_runs.adam(3e-3)
    assert jax.tree.structure(plan.abstract.opt_state) == jax.tree.structure(
        jax.eval_shape(tx.init, plan.abstract.params)
    )
