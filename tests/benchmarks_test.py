"""The scripts in benchmarks/ run and say what the contract asks for."""

import json

import numpy as np
import PIL.Image
import pytest
import tiny_runs

from benchmarks import (
    assignment,
    best_known,
    matching,
    matching_cost,
    peers,
    shared_corpus,
    step,
    synthetic,
)
from lvmmed_jax.matching import solver


@pytest.mark.lengthy
def test_step_tells_the_share_of_the_matching():
    found = step.measure(tiny_runs.CONFIG, rounds=1)
    # one round of each on a busy machine: no order of them is sure
    share = found["matching_seconds"] / found["step_seconds"]
    assert found["matching_share"] == pytest.approx(share)
    assert min(share, found["encoder_only_seconds"]) > 0


def test_assignment_times_all_three_where_they_agree():
    found = assignment.measure(4, rounds=1)
    assert found.keys() == {"ours", "optax", "scipy"}
    assert all(each > 0 for each in found.values())


@pytest.mark.lengthy
def test_matching_compares_and_sums_up():
    """Few problems and one round: keys, and what holds for any numbers."""
    names = {"ours", "ours, quality", "2-swap descent, 32 starts", "SciPy faq"}
    found = {
        regime: matching.measure_regime(regime, 4, 2, rounds=1)
        for regime in synthetic.REGIMES
    }
    for rows in found.values():
        assert rows.keys() >= names
        ours = rows["ours, quality"]["mean_objective"]
        assert all(row["mean_objective"] <= ours + 1e-3 for row in rows.values())
    summary = matching.summary(found, 4)
    contract = "optimal_share mean_gap optimal_share_default certified_share"
    contract += " problems_per_second throughput_ratio"
    assert summary.keys() >= set(contract.split())
    assert summary["optimal_share"] == summary["certified_share"] == 1
    assert json.loads(json.dumps(summary)) == summary


def test_a_value_above_the_best_known_is_an_error():
    with pytest.raises(RuntimeError, match="above the best known"):
        matching.gaps(np.array([2.0]), np.array([1.0]))


def test_best_known_values_are_those_of_the_problems():
    for size, search in best_known.SEARCHES.items():
        for regime in synthetic.REGIMES:
            assert len(best_known.load(size, regime, 10**6)) == search.num_problems
    problems = best_known.problems(16, "late", 4)
    values = solver.Solver()(problems).objective
    np.testing.assert_allclose(values, best_known.load(16, "late", 4), rtol=1e-5)


def test_peers_take_our_problems_as_they_are():
    """What a peer maximises is our objective, but for what its form leaves out."""
    case = peers.make_case(synthetic.make(0, 2, 6, "middle"))
    targets = np.array([[1, 0, 3, 2, 5, 4], [5, 4, 3, 2, 1, 0]])
    value = matching._values(case.problem, targets)
    columns = np.eye(6)[targets].transpose(0, 2, 1).reshape(2, -1)
    lawler = 0.5 * np.einsum("gx,gxy,gy->g", columns, case.lawler, columns)
    np.testing.assert_allclose(lawler, value, rtol=1e-4)
    products = synthetic.make_products(0, 2, 6)
    case = peers.make_case(products)
    pairs = zip(case.distance, targets, strict=True)
    moved = np.stack([distance[np.ix_(order, order)] for distance, order in pairs])
    product = np.sum(case.flow * moved, axis=(1, 2))
    np.testing.assert_allclose(product, matching._values(products, targets), rtol=1e-4)


def test_cost_of_the_search_is_read_off_the_program():
    step = matching_cost.search_step(num_starts=2)
    assert step["flops"] > 2 * 16 * 16 and step["kernels"] > 5
    few, many = (matching_cost.estimate(step, n, 1e12, 1e13, 1e-6) for n in (1, 10**6))
    assert few == pytest.approx(1e3 * 128 * step["kernels"] * 1e-6)
    assert many > 10 * few


def test_near_duplicates_stand_on_one_side(tmp_path):
    generator = np.random.default_rng(0)
    paths = []
    for number in range(40):
        pixels = generator.integers(0, 255, (40, 40), np.uint8)
        for copy, change in enumerate((0, 3)):
            paths.append(tmp_path / f"{number}_{copy}.png")
            PIL.Image.fromarray(np.clip(pixels, 3, None) - change).save(paths[-1])
    groups = shared_corpus._duplicates(paths)
    assert len(set(groups)) == 40
    assert (groups[::2] == groups[1::2]).all()
    sides = shared_corpus._sides(groups, None)
    assert sides[::2] == sides[1::2]
    assert {side: sides.count(side) for side in sides} == {
        "train": 48,
        "val": 12,
        "test": 20,
    }
