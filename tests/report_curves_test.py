"""Curves: one run's, and those of several runs on one axis."""

import re

import numpy as np
import pytest
from work_folders import make_run

from lvmmed_jax.report import curves, figures, panels

LOSS, MATCHING = panels.PANELS[:2]
AXES = {axis.key: axis for axis in curves.AXES}


def make_lines(batch, num_steps, seconds_a_step=1.0):
    return [
        {"step": n, "images": batch * n, "seconds": seconds_a_step * n, "loss": 9.0 - n}
        for n in range(1, num_steps + 1)
    ]


def alone(runs):
    """Groups of one run each."""
    return [[run] for run in runs]


def drawn(svg, colour):
    """The curve of a colour: its points, [n, 2], and its style.

    It is longer than its line in the legend.
    """
    paths = re.findall(r'<path d="([^"]+)"[^>]*style="(fill: none;[^"]+)"', svg)
    found = [pair for pair in paths if f"var(--series-{colour})" in pair[1]]
    path, style = max(found, key=lambda pair: len(pair[0]))
    return np.array(re.findall(r"[ML] (\S+) (\S+)", path), float), style


def test_long_curves_are_thinned():
    values = np.random.default_rng(0).random(20_000)
    lines = [{"step": step, "loss": value} for step, value in enumerate(values)]
    assert len(curves.curves(make_run(lines), LOSS)) < 40_000
    svg = curves.compared([[make_run(lines)]] * 4, LOSS, "loss", AXES["step"])
    assert len(svg) < 60_000


def test_metrics_of_one_run_differ_in_colour_and_dashes():
    lines = [{"step": n, "loss": n, "loss_no_noise": n + 1} for n in range(30)]
    svg = curves.curves(make_run(lines), LOSS)
    (_, first), (_, second) = drawn(svg, 0), drawn(svg, 1)
    assert "stroke-dasharray" not in first and "stroke-dasharray" in second
    assert curves.curves(make_run(lines), MATCHING) is None


def test_axis_of_images_compares_runs_of_other_batches():
    runs = [make_run(make_lines(32, 8)), make_run(make_lines(128, 2))]
    ends = {}
    for key, axis in AXES.items():
        svg = curves.compared(alone(runs), LOSS, "loss", axis)
        assert f'aria-label="Loss, with noise over {axis.name}"' in svg
        ends[key] = [drawn(svg, number)[0][-1, 0] for number in (0, 1)]
    assert ends["images"][0] == pytest.approx(ends["images"][1], abs=0.01)
    assert ends["step"][0] > ends["step"][1] + 100
    assert ends["seconds"] == pytest.approx(ends["step"], abs=0.01)


def test_runs_are_told_apart_without_colour():
    looks = [figures.run_look(index) for index in range(20)]
    assert len({(look.dashes, look.marker) for look in looks}) == 20
    runs = [make_run(make_lines(32, 30))] * 2
    svg = curves.compared(alone(runs), LOSS, "loss", AXES["step"])
    (_, first), (_, second) = drawn(svg, 0), drawn(svg, 1)
    assert "stroke-dasharray" not in first and "stroke-dasharray" in second
    (_, key) = drawn(curves.key_line(1), 1)
    assert key == second


def test_numbers_of_images_and_steps_are_short_and_whole():
    runs = [make_run(make_lines(2_000_000, 3, 0.1))] * 2
    ticks = {}
    for key, axis in AXES.items():
        svg = curves.compared(alone(runs), LOSS, "loss", axis)
        ticks[key] = set(re.findall(r">([\d.]+[a-zA-Z]*)</text>", svg))
    assert ticks["images"] > {"2M", "4M", "6M"}
    assert ticks["step"] > {"1", "2", "3"} and "1.5" not in ticks["step"]
    assert not any(tick.endswith("m") for tick in ticks["seconds"])


def test_run_that_did_not_log_a_metric_is_left_out_of_its_chart():
    runs = [make_run(make_lines(32, 4)), make_run([{"step": 1, "gradient_norm": 1.0}])]
    svg = curves.compared(alone(runs), LOSS, "loss", AXES["step"])
    assert "var(--series-0)" in svg and "var(--series-1)" not in svg
    axis = AXES["step"]
    assert curves.compared(alone(runs), LOSS, "loss_no_noise", axis) is None


def test_axis_must_have_been_logged_by_every_run():
    whole, empty = make_run(make_lines(32, 4)), make_run([])
    assert curves.shared_axes([whole, empty]) == list(curves.AXES)
    old = make_run([{"step": 1, "images": 32, "loss": 1.0}])
    keys = [axis.key for axis in curves.shared_axes([whole, old])]
    assert keys == ["images", "step"]
    assert curves.shared_axes([empty]) == []


@pytest.mark.parametrize(
    ("seconds_a_step", "name"), [(1, "s"), (60, "min"), (5000, "h")]
)
def test_time_has_a_unit_that_suits_it(seconds_a_step, name):
    runs = [make_run(make_lines(32, 8, seconds_a_step))]
    svg = curves.compared(alone(runs), LOSS, "loss", AXES["seconds"])
    assert f">time ({name})<" in svg


def test_each_graph_size_has_its_line_of_chance():
    lines = [{"step": n, "matching_accuracy": 0.5} for n in range(3)]
    runs = [
        make_run(lines, config={"matching": {"graph_size": size}}) for size in (16, 8)
    ]
    axis = AXES["step"]
    svg = curves.compared(alone(runs), MATCHING, "matching_accuracy", axis)
    assert re.findall(r">(chance[^<]*)<", svg) == ["chance, 1 / 16", "chance, 1 / 8"]
    svg = curves.compared(alone(runs[:1] * 2), MATCHING, "matching_accuracy", axis)
    assert re.findall(r">(chance[^<]*)<", svg) == ["chance"]


def test_titles_name_the_metric_where_a_panel_has_several():
    titles = {
        panels.title(panel, key) for panel in panels.PANELS for key in panel.labels
    }
    assert {"Loss, with noise", "Loss, without noise", "k-NN accuracy"} <= titles
    assert len(titles) == sum(len(panel.labels) for panel in panels.PANELS)
