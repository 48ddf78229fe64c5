"""The paper's 55 sources: which files of each are images that may be trained on.

The paper counts 55 and its authors published 49 folders of lists: the Medical
Segmentation Decathlon is one of them with seven tasks, which makes 55.

What may be taken (section 3.1): the training part where a set has an official split; of
any other a random fifth. Which of the two the authors took a set for, their lists show:
of sets with a test part without public labels they took a fifth of the rest. The fifth
is drawn here by patient, volume or video, with a hash of its name: equal on every
machine and in every order. The lists themselves, given as `lines`, win over both.
"""

import difflib
import hashlib
import pathlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from data_pipelines.catalogue import lists, microscopy, patterns, pictures, rows, scans

SHARE = 0.2  # of the groups of a source without an official split
_LEAST = 1e-12  # above a draw: takes it
OUTSIDE = "not in the layout of the data set"
NOT_DRAWN = "not in the random fifth"
NOT_LISTED = "not in the list of training images"

SOURCES = tuple(
    sorted(
        scans.ROWS + pictures.ROWS + microscopy.ROWS,
        key=lambda source: source.name.lower(),
    )
)


class Choice(NamedTuple):
    """What becomes of a file.

    Attributes:
      reason: why it is not taken; None: it is. Names no file.
      identity: of its patient, volume or video, in clear, or None where its path names
        none. Better than a DICOM header's where both are there.
    """

    reason: str | None
    identity: str | None = None


def find(name: str) -> rows.Source:
    """The source of a name, in either case, or of a folder of LVM-Med's lists.

    Raises:
      ValueError: there is none; the message has the nearest names.
    """
    wanted = name.strip().lower()
    if source := named(wanted):
        return source
    released = [
        each for each in SOURCES if each.released and wanted == each.released.lower()
    ]
    if len(released) == 1:
        return released[0]
    known = {each.name.lower(): each.name for each in SOURCES}
    near = [each.name for each in SOURCES if wanted and wanted in each.name.lower()]
    near += [known[each] for each in difflib.get_close_matches(wanted, known)]
    near = [each.name for each in released] or list(dict.fromkeys(near))[:5]
    hint = f"did you mean {' or '.join(near)}?" if near else "see `catalogue`"
    raise ValueError(f"no source {name!r} among the paper's {len(SOURCES)}; {hint}")


def near(name: str) -> str | None:
    """The source that a name is nearly that of, or None."""
    known = {each.name.lower(): each.name for each in SOURCES}
    found = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.8)
    return known[found[0]] if found else None


def named(name: str | None) -> rows.Source | None:
    """The source of exactly this name, in either case, or None."""
    wanted = (name or "").lower()
    return next((each for each in SOURCES if each.name.lower() == wanted), None)


def choose(
    source: rows.Source,
    path: pathlib.PurePath | str,
    *,
    share: float = SHARE,
    names: frozenset[str] | None = None,
) -> Choice:
    """Whether a file is taken, and of whom it is; looks at its path only.

    Args:
      path: from the data set's folder on, with that folder's own name if it is known:
        a user may name a folder inside of the layout.
      share: of the groups that a source without an official split gives; 1: all.
      names: of `lists`; they alone decide among the images.

    Raises:
      ValueError: the source has a list of its own, and there are no names.
    """
    path = pathlib.PurePath(path).as_posix()
    for pattern, reason in source.others:
        if patterns.match(pattern, path):
            return Choice(reason)
    found = _image(source, path)
    if found is None:
        return Choice(OUTSIDE)
    group = patterns.group_of(found)
    identity = _identity(source, found)
    if names is None and source.own_list is not None:
        raise ValueError(f"{source.name} needs its list of training images")
    if names is not None:
        return Choice(None if lists.keys(path, group) & names else NOT_LISTED, identity)
    if source.split == rows.FIFTH and _draw(source, group) >= share:
        return Choice(NOT_DRAWN, identity)
    return Choice(None, identity)


def select(
    source: rows.Source,
    root: pathlib.Path,
    paths: Sequence[pathlib.Path],
    *,
    share: float = SHARE,
    lines: Iterable[str] | None = None,
) -> list[Choice]:
    """The choice for each file of a folder.

    Where no group falls into the share, as may be with three patients, the nearest one
    is taken: a source gives at least one.

    Args:
      root: the folder that the user named.
      paths: all files below it; a data set's own list is among them.
      share: see `choose`.
      lines: of a list of training images that the user gave.

    Raises:
      ValueError: not one file is in the layout, the list that the data set comes with
        is missing, or `lines` name no image.
    """
    top = pathlib.PurePath(root.resolve().name)
    inner = [(top / path.relative_to(root)).as_posix() for path in paths]
    if not any(_image(source, path) for path in inner):
        raise ValueError(
            f"{root}: not one of {len(paths)} files is laid out as {source.name}; "
            f"expected {' or '.join(source.images)}; another --dataset takes all files"
        )
    if lines is None:
        names = lists.own(source, root, paths)
    else:
        names = lists.given(source, lines)
    choices = [choose(source, path, share=share, names=names) for path in inner]
    if any(choice.reason is None for choice in choices):
        return choices
    if names is not None:
        raise ValueError(
            f"{root}: the list of training images names none of {source.name}'s files"
        )
    draws = [
        _draw(source, patterns.group_of(_image(source, path)))
        for path, choice in zip(inner, choices, strict=True)
        if choice.reason == NOT_DRAWN
    ]
    share = min(draws, default=0.0) + _LEAST
    return [choose(source, path, share=share) for path in inner]


def guard(source: rows.Source) -> str:
    """What keeps test images out of the shards, in sentences."""
    words = ["Takes the official training part only."]
    if source.split == rows.FIFTH:
        words = [f"Draws {100 * SHARE:.0f} % by {source.unit} with a hash of its name."]
        if any(reason == rows.TEST for _, reason in source.others):
            words.append("Leaves out the official test part.")
    kept = {
        "image": "Each image is a group of its own.",
        "file": "The reader of the file says what is a group.",
    }
    words.append(kept.get(source.unit, f"Images of one {source.unit} are one group."))
    if source.overlaps:
        others = " and ".join(source.overlaps)
        words.append(f"Shares images or patients with {others}: run `leakage` on both.")
    return " ".join(words)


def _image(source, path):
    """The match of the first pattern that fits."""
    found = (patterns.match(pattern, path) for pattern in source.images)
    return next(filter(None, found), None)


def _identity(source, found) -> str | None:
    """One of TCGA's patients is the same in every source."""
    if not found.groupdict().get("group"):
        return None
    group = found["group"]
    if group.upper().startswith("TCGA-"):
        return f"patient {group.upper()}"  # as a DICOM header's, see `dicom_header`
    return f"{source.name} {group}"


def _draw(source, group) -> float:
    """In [0, 1), evenly spread over groups, and the same for ever."""
    text = f"lvmmed fifth {source.name} {group}".lower()
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64
