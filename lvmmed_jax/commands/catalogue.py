"""`catalogue`: the paper's 55 sources: what they are, how they lie, what is taken."""

import argparse
import collections
import json
import textwrap
from collections.abc import Iterable, Sequence

_EXAMPLE = """\
examples:
  lvmmed catalogue                 one line for each of the paper's 55 sources
  lvmmed catalogue KiTS19          all about one: where to get it, layout, split
  lvmmed catalogue --json > sources.json

A source is downloaded by hand, under its own terms. Then:
  lvmmed prepare FOLDER --dataset KiTS19 --out shards/kits19
"""
_WIDTH = 100  # columns
_LABEL = 11
_UNKNOWN = "see its page"
_TAKES = {"official": "official", "fifth": "a fifth"}
_LEGEND = (
    "In a layout, {...} is the group, # digits, * any part of a name, **/ folders or "
    "none, (a|b) a or b. It may begin at any folder of FOLDER."
)


def main(argv: list[str]) -> int:
    """Prints the table of sources, or one of them.

    Args:
      argv: the arguments after `catalogue`.

    Returns:
      The exit code, 0.

    Raises:
      ValueError: there is no such source.
    """
    options = _parse(argv)
    from data_pipelines.catalogue import paper

    if options.name is None:
        sources = paper.SOURCES
        print(
            json.dumps([*map(_as_json, sources)]) if options.json else _table(sources)
        )
        return 0
    source = paper.find(options.name)
    print(json.dumps(_as_json(source)) if options.json else _entry(source))
    return 0


def _table(sources: Sequence) -> str:
    head = ("name", "modality", "organ", "", "size", "takes", "licence")
    rows = [
        (
            source.name,
            " ".join(source.modalities),
            (source.organ or "-").lower(),
            source.dimension,
            source.size or "unknown",
            _TAKES[source.split],
            source.licence or _UNKNOWN,
        )
        for source in sources
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in [head, *rows]]
    return "\n".join([*lines, "", *_summary(sources)])


def _summary(sources: Sequence) -> list[str]:
    from data_pipelines import slices

    counts = collections.Counter(code for each in sources for code in each.modalities)
    said = ", ".join(
        f"{count} {code} ({slices.MODALITIES[code]})"
        for code, count in counts.most_common()
    )
    official = sum(each.split == "official" for each in sources)
    text = (
        f"{len(sources)} sources: {said}; some hold several. takes: the official "
        f"training part of {official}, a random fifth of the other "
        f"{len(sources) - official}."
    )
    return [*textwrap.wrap(text, _WIDTH), "`catalogue NAME` tells all about one."]


def _entry(source) -> str:
    from data_pipelines import slices
    from data_pipelines.catalogue import paper

    codes = [f"{code} ({slices.MODALITIES[code]})" for code in source.modalities]
    kind = [
        *codes,
        (source.organ or "several organs or none").lower(),
        source.dimension,
    ]
    taken = "" if source.split == "official" else "a random fifth of "
    lines = [
        source.name,
        source.title,
        "",
        *_field("images", ", ".join(kind)),
        *_field("size", source.size or "unknown"),
        *_field("licence", source.licence or f"not known here: {_UNKNOWN}"),
        *_field("get it", source.where or "unknown"),
        *(
            _field("tfds", f"{source.tfds}: prepare tfds:{source.tfds}")
            if source.tfds
            else []
        ),
        *_field("takes", taken + source.part),
        *_field("guard", paper.guard(source)),
        *_listed("layout", source.images),
        *_own_list(source),
        *_not_taken(source.others),
        *_field("paper", _released(source)),
        *(_field("unsure", source.doubt) if source.doubt else []),
        "",
        *textwrap.wrap(_LEGEND, _WIDTH),
        "",
        f"lvmmed prepare FOLDER --dataset {source.name} --out SHARDS",
    ]
    return "\n".join(lines)


def _field(label: str, text: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=label.ljust(_LABEL),
        subsequent_indent=" " * _LABEL,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _listed(label: str, texts: Iterable[str]) -> list[str]:
    """One a line, as it is: a pattern is never broken."""
    labels = [label]
    return [(labels.pop() if labels else "").ljust(_LABEL) + text for text in texts]


def _own_list(source) -> list[str]:
    if source.own_list is None:
        return []
    return _listed("", [f"{source.own_list.path}: says which of them are for training"])


def _not_taken(others: Sequence[tuple[str, str]]) -> list[str]:
    width = max((len(pattern) for pattern, _ in others), default=0)
    return _listed(
        "left out", [f"{pattern:<{width}}  {reason}" for pattern, reason in others]
    )


def _released(source) -> str:
    if source.released is None:
        return "published a list that is too long to be shown"
    lines = "1 line" if source.lines == 1 else f"{source.lines:,} lines"
    return f"published a list of {lines}, {source.released}"


def _as_json(source) -> dict:
    from data_pipelines.catalogue import paper

    return {
        **source._asdict(),
        "own_list": source.own_list and source.own_list._asdict(),
        "others": [{"path": path, "reason": reason} for path, reason in source.others],
        "guard": paper.guard(source),
        "share": None if source.split == "official" else paper.SHARE,
    }


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="lvmmed catalogue",
        description="Show the sources that the paper pre-trained on.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "name", metavar="NAME", nargs="?", help="of one source, in either case"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser.parse_args(argv)
