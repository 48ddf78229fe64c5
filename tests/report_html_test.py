"""Pieces of HTML: escaped, and without a script."""

import re

from lvmmed_jax import report_html


def test_everything_that_was_read_is_escaped():
    evil = '<b>&"'
    pieces = [
        report_html.section(evil),
        report_html.paragraph(evil),
        report_html.note(evil),
        report_html.table([evil, (evil, evil)], [[evil, (evil, evil), evil]]),
        report_html.figure("", evil, evil),
        report_html.key([("", evil)]),
        report_html.details(evil, ""),
        report_html.choice("axis", [(evil, "")]),
    ]
    for piece in pieces:
        assert "&lt;b&gt;&amp;" in piece and "<b>" not in piece


def test_further_lines_of_a_cell_stand_small_below_it():
    text = report_html.table(["", "a"], [["row", ("one", "two")], ["next", None]])
    assert "<td>one<small>two</small></td>" in text and "<td>None</td>" in text


def test_choice_shows_its_first_panel_and_labels_its_buttons():
    text = report_html.choice("axis", [("images", "A"), ("steps", "B")])
    assert re.findall(
        r'<input type="radio" name="axis" id="([^"]+)"( checked)?>', text
    ) == [
        ("axis-0", " checked"),
        ("axis-1", ""),
    ]
    assert re.findall(r'<label for="([^"]+)">(\w+)<', text) == [
        ("axis-0", "images"),
        ("axis-1", "steps"),
    ]
    assert re.findall(r'<div class="chosen">(.)</div>', text) == ["A", "B"]
