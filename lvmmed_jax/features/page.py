"""The page of features, and which images it shows."""

import pathlib
from collections.abc import Sequence

from data_pipelines import unlabelled
from lvmmed_jax import files
from lvmmed_jax.features import scatter, stored
from lvmmed_jax.inspection import page as inspection_page
from lvmmed_jax.inspection import sheet
from lvmmed_jax.inspection import stored as shards
from lvmmed_jax.report import markup, style

_CSS = """
.near { display: grid; grid-template-columns: repeat(var(--columns), minmax(0, 1fr));
  gap: .5rem; margin-bottom: .9rem; break-inside: avoid; }
.near.asked figure:first-child .ground { outline: 3px solid var(--series-0); }
.near figcaption { text-align: center; font-size: .75rem; line-height: 1.3;
  margin-top: .35rem; }
.ground.smooth { padding: 0; } .ground.smooth img { image-rendering: auto; }
@media (max-width: 640px) { .near { grid-template-columns: repeat(3, 1fr); } }
"""


def chosen(rows: Sequence[unlabelled.Row], count: int) -> list[int]:
    """Some images, ascending: of each modality and of many groups, evenly spread."""
    by_modality: dict[str, list[tuple[int, str]]] = {}
    for place, row in enumerate(rows):
        by_modality.setdefault(row.modality, []).append((place, row.group))
    found: list[int] = []
    ordered = sorted(by_modality.values(), key=len)
    for number, some in enumerate(ordered):
        share = (count - len(found)) // (len(ordered) - number)
        found += sheet.varied(some, min(share, len(some)))
    return sorted(found)


def sampled(found: stored.Features, most: int) -> list[int]:
    """The rows of the map: all, or so many, evenly spread."""
    return shards.spread(len(found.rows), most).tolist()


def write(
    path: pathlib.Path, title: str, said: str, sections: Sequence[str], *, named: bool
) -> None:
    """Writes the page, whole or not at all.

    Args:
      path: of the page.
      title, said: its heading, and what was embedded.
      sections: HTML, see `sections`.
      named: whether names of files or folders are shown.

    Raises:
      OSError: it cannot be written; names `path`.
    """
    who = "shows names of files or folders" if named else "names no file"
    warning = markup.note(
        f"This page {who}, and it shows images: burnt-in text and faces are not "
        "removed. Look for them before it is passed on."
    )
    css = style.CSS + inspection_page.CSS + scatter.CSS + _CSS
    parts = [markup.paragraph(said), warning, *sections]
    with files.replacing(path) as partial:
        partial.write_text(markup.page(title, css, parts), encoding="utf-8")
