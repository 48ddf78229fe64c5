"""What is told of runs: the story and the numbers."""

import pytest
from metric_lines import make_metrics
from work_folders import make_run

from lvmmed_jax.report import summary


@pytest.mark.parametrize(
    ("seconds", "said"), [(42.4, "42 s"), (61, "1 min 1 s"), (90_000, "25 h 0 min")]
)
def test_duration_is_said_as_people_do(seconds, said):
    assert summary.duration(seconds) == said


def test_story_leaves_out_what_was_not_recorded():
    assert summary.story(make_run([])) == (
        "It trained for – steps and saw – images in an unrecorded time."
    )


def test_numbers_have_a_column_a_run_and_no_row_without_a_value():
    lines = [
        {"step": 10, "loss": 4.0, "device_memory_gb": 3.0, "flops_utilisation": 0.25},
        {"step": 20, "loss": 3.0, "device_memory_gb": 2.0, "skipped_steps": 0},
        {"step": 30, "loss": 2.0, "host_memory_gb": 1.5, "skipped_steps": 1},
        {"step": 30, "teraflops_per_second": 80.25, "knn_accuracy": 0.75},
    ]
    other = [{"step": 5, "data_wait_share": None}, {"step": 6, "data_wait_share": 0.5}]
    rows = summary.numbers([make_run(lines), make_run(other)])
    assert rows == [
        ["steps", "30", "6"],
        ["steps skipped (not finite)", "1", "–"],
        ["time spent waiting for data, median", "–", "50.0%"],
        ["teraflops per second, median", "80.25", "–"],
        ["share of the devices' peak, median", "25.0%", "–"],
        ["memory of a device, most", "3.0 GB", "–"],
        ["memory of the host, most", "1.5 GB", "–"],
        ["loss with noise", "4.00 → 2.00", "–"],
        ["k-NN accuracy while training", "0.75 → 0.75", "–"],
    ]


def test_numbers_tell_the_chance_of_every_run_where_graphs_differ():
    def rows(*sizes):
        configs = [{"matching": {"graph_size": size}} for size in sizes]
        runs = [make_run(make_metrics(), config=config) for config in configs]
        runs.append(make_run([{"step": 1}], config=configs[-1]))
        return {name: cells for name, *cells in summary.numbers(runs)}

    same = rows(16, 16)
    assert "matching accuracy (chance 0.06)" in same
    assert not any("by chance" in name for name in same)
    other = rows(16, 32)
    assert other["matching accuracy"] == ["0.22 → 0.55", "0.22 → 0.55", "–"]
    assert other["matching accuracy by chance"] == ["0.06", "0.03", "–"]
