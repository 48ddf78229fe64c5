"""Charts of intervals."""

from lvmmed_jax.report import figures

ONE = {"value": 0.5, "low": 0.4, "high": 0.6}


def test_label_and_name_are_no_formulas():
    dots = figures.Dots("$b_{$", figures.INK, "o", [ONE])
    svg = figures.intervals("title", ["$a_{$"], [dots])
    assert "$a_{$" in svg and "$b_{$" in svg


def test_row_without_an_estimate_has_no_dot():
    def count(estimates):
        dots = figures.Dots("name", figures.SERIES[0], "o", estimates)
        svg = figures.intervals("title", ["a", "b"], [dots])
        return svg.count("<use") + svg.count("<path")

    both, one = count([ONE, ONE]), count([ONE, None])
    assert both - one == 2  # a dot and its interval
