"""What lies in a folder: every file, its format, and why some cannot be images."""

import os
import pathlib
import stat
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from data_pipelines import names, quiet
from data_pipelines.readers import dicom_series, formats, itk, nifti, slide_files

NO_IMAGE = "not an image format"
PIXELS = "pixel data of the header beside it"
SLIDE_PART = "a part of the slide beside it"
LABEL = "a label of the images beside it"
# beside images/: the truth, no pictures
_LABEL_FOLDERS = ("labels", "annotations", "masks", "mask")


class Look(NamedTuple):
    """What a file is, by its first bytes.

    Attributes:
      format: one of `formats.EXTENSIONS`, or None.
      reason: why it is not to be read, or None.
      series: equal for DICOM files that are one volume, or None.
      parts: other files that belong to it.
    """

    format: str | None
    reason: str | None = None
    series: tuple[str, str] | None = None
    parts: tuple[pathlib.Path, ...] = ()


def files(root: pathlib.Path) -> list[pathlib.Path]:
    """All below a folder, number by number; of folders, links and closed ones only."""
    if not root.is_dir():
        return [root]
    return sorted(_walk(root), key=lambda path: names.natural(path.as_posix()))


def look_all(paths: Sequence[pathlib.Path]) -> list[Look]:
    """Looks at files; none of them is read to its end. Can be sent to a process."""
    with quiet.readers():
        return [_look(path) for path in paths]


def is_label(path: pathlib.Path, root: pathlib.Path) -> bool:
    """Whether a file lies in labels/, masks/ or annotations/ beside images/."""
    return any(
        parent.name in _LABEL_FOLDERS and (parent.parent / "images").is_dir()
        for parent in path.parents
        if parent.is_relative_to(root)
    )


def _look(path: pathlib.Path) -> Look:
    reason = _oddity(path)
    if reason:
        return Look(None, reason)
    try:
        if nifti.is_data_of_header(path) or itk.is_data_of_header(path):
            return Look(None, PIXELS)
        kind = formats.of(path)
        parts = ()
        if kind == "whole slide":
            parts = tuple(slide_files.companions(path))
        series = dicom_series.series_of(path) if kind == "DICOM" else None
    except OSError:
        return Look(None, "cannot be opened")
    return Look(kind, None if kind else NO_IMAGE, series, parts)


def _walk(root: pathlib.Path) -> Iterator[pathlib.Path]:
    closed: list[str] = []
    for name, folders, inside in os.walk(
        root, onerror=lambda error: closed.append(error.filename)
    ):
        folder = pathlib.Path(name)
        yield from (folder / each for each in inside)
        yield from (folder / each for each in folders if (folder / each).is_symlink())
    yield from map(pathlib.Path, closed)


def _oddity(path: pathlib.Path) -> str | None:
    """Why a path cannot be read, whatever its format; or None."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return "a broken link, or not to be read by this user"
    if path.is_symlink() and stat.S_ISDIR(mode):
        return "a link to a folder: name the folder itself as a SOURCE"
    if stat.S_ISDIR(mode):
        return "a folder that this user may not list"
    if not stat.S_ISREG(mode):
        return "not a file: a pipe, a socket or a device"
    return None if os.access(path, os.R_OK) else "not to be read by this user"
