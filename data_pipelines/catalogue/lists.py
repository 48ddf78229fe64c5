"""Lists of training images: a data set's own, and those that LVM-Med published."""

import pathlib
from collections.abc import Iterable, Sequence

from data_pipelines import names
from data_pipelines.catalogue import patterns, rows


def own(
    source: rows.Source, root: pathlib.Path, paths: Sequence[pathlib.Path]
) -> frozenset[str] | None:
    """The names in the list that a data set comes with, or None where it has none.

    Raises:
      ValueError: it has one, but not below `root`.
    """
    if source.own_list is None:
        return None
    pattern, entry = source.own_list
    files = [path for path in paths if patterns.match(pattern, path.as_posix())]
    if not files:
        raise ValueError(
            f"{root}: the list of training images that {source.name} comes with is "
            f"missing: {pattern}"
        )
    try:
        lines = "\n".join(_text(path) for path in files)
    except OSError:
        raise ValueError(f"{root}: {pattern} cannot be read") from None
    found = (patterns.search(entry, line) for line in lines.splitlines())
    return frozenset(name.lower() for name in found if name)


def _text(path: pathlib.Path) -> str:
    if not path.is_file():  # to open a pipe may wait for ever
        raise OSError("not a file")
    return path.read_text("utf-8", errors="replace")


def given(source: rows.Source, lines: Iterable[str]) -> frozenset[str]:
    """The names in a list whose lines are files, cases, patients or UIDs.

    A line that is a folder of other lines is a heading and says nothing.
    """
    found = {names.stem(line.strip()).replace("\\", "/") for line in lines} - {""}
    folders = {
        parent.as_posix()
        for name in found
        for parent in pathlib.PurePosixPath(name).parents
    }
    found -= folders
    if source.prefixed:
        found |= {name.partition("_")[2] for name in found if "_" in name}
    return frozenset(found)


def keys(path: str, group: str) -> frozenset[str]:
    """What a list may call a file: its group, a folder of it, an end of its path.

    Args:
      path: with "/" between its parts.
    """
    parts = names.stem(path).split("/")
    ends = {"/".join(parts[start:]) for start in range(len(parts))}
    return frozenset({group.lower(), *parts[:-1], *ends})
