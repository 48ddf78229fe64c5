"""The HTML page of a survey: tables, grey levels and a contact sheet."""

import pathlib
from collections.abc import Mapping, Sequence

from data_pipelines import slices
from lvmmed_jax import files
from lvmmed_jax.inspection import histogram, sheet, survey, tables
from lvmmed_jax.report import markup, style

# grey on grey: neither black nor white edges of an image are lost, in light and dark
CSS = """
.sheet { --cell: 120px; gap: .75rem; margin: .5rem 0 1.5rem; }
.ground { background: #7f7f7f; aspect-ratio: 1; padding: 6px; }
.ground img { width: 100%; height: 100%; display: block; object-fit: contain;
  image-rendering: pixelated; }
.sheet figcaption { text-align: center; }
.numbers td, .numbers thead th:not(:first-child) { text-align: right; }
@media print { .sheet { --cell: 80px; } }
"""


def write(
    path: pathlib.Path,
    *,
    name: str,
    said: str,
    all_tables: Sequence[tables.Table],
    taken: survey.Survey,
    thumbnails: Mapping[str, Sequence[sheet.Thumbnail]],
) -> None:
    """Writes the page, whole or not at all.

    Args:
      path: of the page.
      name: of the set, for its heading.
      said: what was read, a sentence.
      all_tables: what was counted.
      taken: whose grey levels are drawn.
      thumbnails: a list a modality.

    Raises:
      OSError: it cannot be written; names `path`.
    """
    title = f"Shards {name}"
    body = [
        markup.paragraph(said),
        _contact_sheet(thumbnails),
        _levels(taken),
        *map(_section, all_tables),
    ]
    text = markup.page(title, style.CSS + CSS, body)
    with files.replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def _section(table: tables.Table) -> str:
    told = f"{table.note[:1].upper()}{table.note[1:]}."
    note = [markup.note(told)] if table.note else []
    made = markup.table(table.head, table.rows)
    if all(tables.is_numeric(row[1:]) for row in table.rows):
        made = f'<div class="numbers">{made}</div>'
    return markup.section(table.title, *note, made)


def _contact_sheet(thumbnails: Mapping[str, Sequence[sheet.Thumbnail]]) -> str:
    note = markup.note(
        "Some images of each modality as they are stored, of as many groups as there "
        "are; below each, its stored height × width in pixels. Burnt-in text and faces "
        "are not removed by prepare: look for them before this page is passed on."
    )
    parts = [_row(name, shown) for name, shown in thumbnails.items()]
    return markup.section("Contact sheet", note, *parts)


def _row(name: str, shown: Sequence[sheet.Thumbnail]) -> str:
    head = f"<h3>{markup.text(_full_name(name))}</h3>"
    if not shown:
        return head + markup.paragraph(
            "None among the records that were looked at; --sample N looks at more."
        )
    alt = markup.text(name)
    cells = (
        markup.figure(
            f'<div class="ground"><img alt="{alt}" src="{one.uri}"></div>',
            f"{one.height} × {one.width}",
        )
        for one in shown
    )
    return head + markup.grid("sheet", cells)


def _levels(taken: survey.Survey) -> str:
    note = markup.note(
        "Mean over the images of a modality of the share of pixels at each level, in "
        "bars of two levels. Pixels at 0 and 255, background or clipped, are told and "
        "not drawn; RGB by its luminance."
    )
    cells = (
        markup.figure(
            histogram.histogram(name, shares),
            f"not drawn: {shares[0]:.1%} at 0, {shares[-1]:.1%} at 255",
            _full_name(name),
        )
        for name, shares in taken.levels.items()
    )
    return markup.section("Grey levels by modality", note, markup.grid("small", cells))


def _full_name(modality: str) -> str:
    return f"{modality}, {slices.MODALITIES.get(modality, 'other')}"
