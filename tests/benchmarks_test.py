"""The scripts in benchmarks/ run and say what the contract asks for."""

import numpy as np
import PIL.Image
import pytest
import tiny_runs

from benchmarks import assignment, shared_corpus, step


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
