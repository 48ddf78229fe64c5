"""The arithmetic of benchmarks/scaling.py, against numbers worked out by hand."""

import itertools
import json

import jax
import jax.numpy as jnp
import pytest

from benchmarks import hardware, scaling, scaling_model, step_counts

CHIPS = (8, 16, 32, 64, 128, 256)
COUNTS = {
    "config": "small",
    "network": "none",
    "view_size": 224,
    "graph_size": 16,
    "by_batch": {
        "16": {"flops": 16e9 + 5e6, "bytes": 16e8},
        "32": {"flops": 32e9 + 5e6, "bytes": 32e8},
    },
    "parameters": 10**6,
    "norms": 10,
    "search": {"flops": 1e5, "bytes": 1e6, "kernels": 20, "num_steps": 100},
}
STEP = scaling_model.from_counts(COUNTS)
MACHINES = hardware.MACHINES.values()
ASSUMED = scaling_model.Assumed()


def test_counts_are_cut_into_what_is_linear_and_what_is_not():
    assert STEP.flops == pytest.approx(1e9)
    assert STEP.fixed_flops == pytest.approx(5e6)
    assert STEP.memory == pytest.approx(1e8)
    assert (STEP.gradient, STEP.num_small) == (4e6, 20)


def test_all_reduce_on_a_torus():
    links = hardware.Torus(2, link=1e9, cube=4, start=0, hop=0)
    # 4 x 4, closed: four links; each chip sends 2 * 15/16 of the bytes
    assert links.all_reduce(16, 32e9) == pytest.approx(60 / 4)
    # 4 x 2, open: one link an axis
    assert links.all_reduce(8, 8e9) == pytest.approx(14 / 2)
    assert links.all_reduce(8, 8e9, 0.5) == pytest.approx(14)
    # farthest and back: 3 + 1 hops on the open grid, 2 + 2 on the torus
    late = hardware.Torus(2, link=1e9, cube=4, start=10, hop=1)
    assert [late.all_reduce(n, 0) for n in (8, 16)] == [18, 18]
    assert late.all_reduce(1, 1e9) == 0


def test_all_reduce_over_nodes():
    links = hardware.Nodes(8, inside=4e9, between=1e9, start=0, hop=0)
    assert links.all_reduce(8, 16e9) == pytest.approx(28 / 4)
    # between two nodes, each chip sums an eighth
    assert links.all_reduce(16, 16e9) == pytest.approx(28 / 4 + 2)
    late = hardware.Nodes(8, inside=4e9, between=1e9, start=10, hop=1)
    assert [late.all_reduce(n, 0) for n in (8, 16, 64)] == [10, 12, 16]
    with pytest.raises(ValueError, match="12 chips are not whole nodes of 8"):
        links.all_reduce(12, 1)


def test_a_step_on_one_chip():
    machine = hardware.Machine(
        teraflops=1,
        memory=1e12,
        gigabytes=1,
        links=hardware.Nodes(8, 1e9, 1e9),
        host_chips=8,
        host_threads=8,
        vector_teraflops=1,
        kernel_start=1e-5,
        source="",
    )
    found = scaling_model.parts(STEP, machine, 32, ASSUMED, 1)
    assert found["flops"] == pytest.approx((32e9 + 5e6) / 0.5e12)
    assert found["memory"] == pytest.approx((32e8 + 28e6) / 1e12)
    assert found["search"] == pytest.approx(100 * 20 * 1e-5)  # kernels' starts
    assert found["chip"] == pytest.approx(found["flops"] + found["search"])
    worse = scaling_model.parts(STEP, machine, 32, ASSUMED, 0)
    assert worse["chip"] > found["chip"]
    assert worse["memory"] == pytest.approx((32e8 * 14 / 6 + 28e6) / 1e12)


def test_a_step_waits_for_what_nothing_hides():
    machine, half = hardware.MACHINES["H100 SXM"], scaling_model.Assumed(hidden=0.5)
    alone = scaling_model.parts(STEP, machine, 32, half, 0)["chip"]
    waits = scaling_model.sums(STEP, machine, 64, half)
    found = scaling_model.seconds(STEP, machine, 64, 32, half, 0)
    assert found == pytest.approx(alone + waits["gradient"] / 2 + waits["small"])
    # 20 of them; 8 nodes are 3 levels, up and down, of 5 us each
    assert waits["small"] == pytest.approx(20 * (15e-6 + 30e-6))


@pytest.mark.parametrize("end", (0, 1))
def test_efficiency_is_at_most_one_and_falls(end):
    for machine in MACHINES:
        for efficiency, images in (
            (scaling_model.weak, 32),
            (scaling_model.strong, 4096),
        ):
            found = [efficiency(STEP, machine, n, images, ASSUMED, end) for n in CHIPS]
            assert all(0 < each <= 1 for each in found)
            # a slice of a TPU may rise where it closes to a torus
            if isinstance(machine.links, hardware.Nodes):
                assert all(a > b for a, b in itertools.pairwise(found))
    assert scaling_model.strong(STEP, machine, 128, 3072, ASSUMED, end) is None
    assert scaling_model.weak(STEP, machine, 1, 32, ASSUMED, end) == 1


def test_chip_hours_of_the_paper():
    """1.3 million images, 100 epochs, 18.8 images/s a GPU: its 1,920 hours."""
    assert scaling_model.chip_hours(18.8, 1.3e6, 100) == pytest.approx(1920, rel=2e-3)


def test_collectives_are_read_off_the_program():
    text = """
  %a = f32[8,4]{1,0} all-reduce(%x), channel_id=1
  %b = (f32[65536]{0}, bf16[2]{0}) all-reduce-start(%y, %z), channel_id=2
  %c = f32[] add(%p, %q)
  %d = f32[64]{0} all-gather(%x), channel_id=3
"""
    found = step_counts.collectives(text)
    assert found == [
        ("all-reduce", {"f32": 128}),
        ("all-reduce", {"f32": 2**18, "bf16": 4}),
        ("all-gather", {"f32": 256}),
    ]
    summed = step_counts.summary(found)
    assert summed["kinds"] == {"all-reduce": 2, "all-gather": 1}
    assert (summed["num_small"], summed["small_bytes"]) == (2, 128 + 256)
    assert summed["large_bytes"] == 2**18 + 4


def test_products_count_operands_and_results():
    @jax.jit
    def product(a, b):
        return jnp.sum(jnp.sin(a @ b))

    shapes = jax.ShapeDtypeStruct((2, 3), jnp.float32), jnp.ones((3, 5), jnp.bfloat16)
    traced = jax.make_jaxpr(lambda a, b: product(a, b.astype(jnp.float32)))(*shapes)
    assert step_counts.product_bytes(traced.jaxpr) == 4 * (6 + 15 + 10)


def test_the_script_prints_tables_from_counts(tmp_path, capsys):
    path = tmp_path / "counts.txt"
    path.write_text("a table\n" + json.dumps({"counts": COUNTS}))
    scaling.main(["--counts", str(path), "--epochs", "1", "--chips", "8", "--json"])
    printed = capsys.readouterr().out
    found = json.loads(printed.splitlines()[-1])
    assert found["machines"].keys() == hardware.MACHINES.keys()
    row = found["machines"]["A100 SXM"]
    assert row["hours"][0] == pytest.approx(row["chip_hours"][0] / 8)
    assert row["chip_hours"][0] > row["chip_hours"][1] > 0
    assert "1 epochs of 1,300,000 images on 8 chips" in printed
    with pytest.raises(SystemExit, match="multiple of the 16"):
        scaling.main(["--counts", str(path), "--batch-per-chip", "24"])
