"""Pieces of HTML: escaped, and without a script."""

import re

from lvmmed_jax.report import markup


def test_everything_that_was_read_is_escaped():
    evil = '<b>&"'
    pieces = [
        markup.section(evil),
        markup.paragraph(evil),
        markup.note(evil),
        markup.table([evil, (evil, evil)], [[evil, (evil, evil), evil]]),
        markup.figure("", evil, evil),
        markup.key([("", evil)]),
        markup.details(evil, ""),
        markup.choice("axis", [(evil, "")]),
    ]
    for piece in pieces:
        assert "&lt;b&gt;&amp;" in piece and "<b>" not in piece


def test_further_lines_of_a_cell_stand_small_below_it():
    text = markup.table(["", "a"], [["row", ("one", "two")], ["next", None]])
    assert "<td>one<small>two</small></td>" in text and "<td>None</td>" in text


def test_choice_shows_its_first_panel_and_labels_its_buttons():
    text = markup.choice("axis", [("images", "A"), ("steps", "B")])
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
