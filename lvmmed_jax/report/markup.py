"""Pieces of HTML; all that was read is escaped here."""

import html
from collections.abc import Iterable, Sequence
from typing import Any


def text(value: Any) -> str:
    """Any value as text that cannot become markup."""
    return html.escape(str(value))


def page(title: str, css: str, parts: Iterable[str]) -> str:
    """A whole page under its heading; the parts are HTML."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n<style>{css}</style>\n</head>\n"
        f"<body>\n<main>\n<h1>{text(title)}</h1>\n"
        + "\n".join(parts)
        + "\n</main>\n</body>\n</html>\n"
    )


def section(title: str, *parts: str) -> str:
    """A section under its heading; the parts are HTML."""
    return f"<section>\n<h2>{text(title)}</h2>\n" + "\n".join(parts) + "\n</section>"


def paragraph(words: str) -> str:
    """Plain text."""
    return f"<p>{text(words)}</p>"


def note(words: str) -> str:
    """Plain text, small."""
    return f'<p class="note">{text(words)}</p>'


def table(head: Sequence[Any], rows: Iterable[Sequence[Any]]) -> str:
    """A table that scrolls inside itself on a narrow screen.

    Args:
      head: cells of the first line.
      rows: name and cells of each row; a cell is plain text, or a tuple of it: what
        comes after the first stands small below it.
    """
    columns = "".join(f'<th scope="col">{_cell(cell)}</th>' for cell in head)
    lines = "".join(
        f'<tr><th scope="row">{text(name)}</th>'
        + "".join(f"<td>{_cell(cell)}</td>" for cell in cells)
        + "</tr>"
        for name, *cells in rows
    )
    return (
        f'<div class="scroll"><table><thead><tr>{columns}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div>"
    )


def grid(kind: str, cells: Iterable[str]) -> str:
    """Cells of HTML side by side, as many as there is room for."""
    return f'<div class="grid {kind}">{"".join(cells)}</div>'


def figure(picture: str, caption: str, title: str = "") -> str:
    """A picture (HTML) between its title and its caption."""
    head = f"<h3>{text(title)}</h3>" if title else ""
    return f"<figure>{head}{picture}<figcaption>{text(caption)}</figcaption></figure>"


def key(entries: Iterable[tuple[str, str]]) -> str:
    """A legend: (mark as HTML, name) one after the other."""
    listed = (
        f'<span class="entry">{mark}{text(name)}</span>' for mark, name in entries
    )
    return f'<p class="legend">{" ".join(listed)}</p>'


def square(colour: str) -> str:
    """A mark of a key."""
    return f'<span class="key" style="background:{colour}"></span>'


def details(title: str, content: str) -> str:
    """What opens on a click, and in print."""
    return f"<details><summary>{text(title)}</summary>{content}</details>"


def choice(name: str, panels: Sequence[tuple[str, str]]) -> str:
    """One panel at a time, chosen without a script; the first is shown at first.

    Args:
      name: of the choice, a word for ids.
      panels: label and content of each; at most three.
    """
    buttons = "".join(
        f'<input type="radio" name="{name}" id="{name}-{number}"'
        f"{' checked' if number == 0 else ''}>"
        f'<label for="{name}-{number}">{text(label)}</label> '
        for number, (label, _) in enumerate(panels)
    )
    shown = "".join(f'<div class="chosen">{content}</div>' for _, content in panels)
    return f'<div class="choice">{buttons}{shown}</div>'


def _cell(cell: Any) -> str:
    first, *others = cell if isinstance(cell, tuple) else (cell,)
    return text(first) + "".join(f"<small>{text(line)}</small>" for line in others)
