"""What the user names, as a sorted list of input files, each with its reader."""

import functools
import os
import pathlib
import stat
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from data_pipelines import (
    dicom,
    dicom_series,
    images,
    names,
    nifti,
    packaged,
    slices,
    tfds_source,
)

PACKAGED = "packaged"
EXTENSIONS = {
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg"),
    "TIFF": (".tif", ".tiff"),
    "DICOM": (".dcm", ".dicom", ".ima"),
    "NIfTI": (".nii", ".nii.gz"),
}
_LABEL_FOLDERS = ("labels", "annotations")  # beside images/: the truth, no pictures


class Input(NamedTuple):
    """One file to read, or the files of one series, whose values have one scale.

    Attributes:
      paths: where they lie; neither stored nor printed.
      source: the data set that its records name.
      read: yields slices, and `slices.Skipped` for a file of several; raises
        `slices.SkippedError`, or whatever a library raises on a broken file. Can be
        sent to another process.
      numbers: of the files among all that are read, from 1.
      read_some: of a series, reads some of its files as `read` reads all.
    """

    paths: tuple[pathlib.Path, ...]
    source: str
    read: Callable[[], Iterator[slices.Slice | slices.Skipped]]
    numbers: tuple[int, ...]
    read_some: (
        Callable[[Sequence[pathlib.Path]], Iterator[slices.Slice | slices.Skipped]]
        | None
    ) = None

    def only(self, places: Sequence[int]) -> "Input":
        """The input without the other files of its series."""
        paths = tuple(self.paths[place] for place in places)
        return self._replace(
            paths=paths,
            read=functools.partial(self.read_some, paths),
            numbers=tuple(self.numbers[place] for place in places),
        )


def expand_all(
    given: Sequence[str],
    *,
    dataset: str | None,
    context: slices.Context,
    first: int,
) -> list[Input]:
    """The inputs of several sources, see `expand`, numbered on from `first`."""
    inputs: list[Input] = []
    for name in given:
        inputs += expand(name, dataset=dataset, context=context, first=first)
        first = 1 + max(max(entry.numbers) for entry in inputs)
    return inputs


def expand(
    source: str,
    *,
    dataset: str | None,
    context: slices.Context,
    first: int,
) -> list[Input]:
    """The files of a folder, one file, or a named set, in sorted order.

    The files of a DICOM series whose scale its slices must share come as one input, in
    the place of the first.

    Args:
      source: a path, "packaged", "packaged:NAME", or "tfds:NAME".
      dataset: name that the records carry; None takes "local" or "packaged:NAME".
      context: what the user says of the files; each gets an identity of its own.
      first: number of the first file.

    Raises:
      ValueError: there is no such modality or packaged set, or no image in the folder.
      FileNotFoundError: there is no such path.
    """
    if context.modality not in (None, *slices.MODALITIES):
        known = ", ".join(slices.MODALITIES)
        raise ValueError(f"modality {context.modality!r}: DICOM has {known}")
    if source.split(":")[0] == PACKAGED:
        return _packaged(source, dataset, first)
    if source.startswith(tfds_source.PREFIX):
        name, files = tfds_source.files(source, context)
        return _numbered([(path, dataset or name, read) for path, read in files], first)
    root = pathlib.Path(source)
    if not root.exists():
        raise FileNotFoundError(f"{root}: no such file or folder")
    paths = sorted(_files(root), key=lambda path: names.natural(path.as_posix()))
    oddities = {path: _oddity(path) for path in paths}
    formats = {path: None if oddities[path] else _format(path) for path in paths}
    if not any(formats.values()):
        known = ", ".join(
            f"{name} ({' '.join(endings)})" for name, endings in EXTENSIONS.items()
        )
        raise ValueError(
            f"{root}: no image among {len(paths)} files; looked for {known}"
        )
    name = dataset or "local"
    folder = f"{name} {root.resolve().name}"
    series = dicom_series.group(
        [path for path, kind in formats.items() if kind == "DICOM"]
    )
    inputs, taken = [], set()
    numbers = {path: number for number, path in enumerate(paths, start=first)}
    for path, kind in formats.items():
        if path in taken:
            continue
        identity = f"{folder}/{path.relative_to(root).as_posix()}"
        context = context._replace(identity=identity)
        together = series.get(path, (path,))
        taken.update(together)
        if oddities[path]:
            read = functools.partial(_skip, oddities[path])
        elif _is_label(path, root):
            read = functools.partial(_skip, "a label of the images beside it")
        elif kind is None:
            read = functools.partial(_skip, "not an image format")
        elif len(together) > 1:
            read_some = functools.partial(dicom_series.read, context=context)
            read = functools.partial(read_some, together)
        else:
            read = functools.partial(_READERS[kind], path, context)
        own = tuple(numbers[each] for each in together)
        inputs.append(
            Input(together, name, read, own, read_some if len(own) > 1 else None)
        )
    return inputs


def _packaged(source, dataset, first):
    name = source.partition(":")[2]
    if name and name not in packaged.SETS:
        known = ", ".join(f"{PACKAGED}:{each}" for each in packaged.SETS)
        raise ValueError(f"no packaged set {name!r}; there are {known}, and {PACKAGED}")
    inputs = []
    for each in [name] if name else packaged.SETS:
        for paths, read in packaged.SETS[each]():
            numbers = tuple(range(first, first + len(paths)))
            first += len(paths)
            inputs.append(
                Input(
                    paths,
                    dataset or f"{PACKAGED}:{each}",
                    functools.partial(read, paths),
                    numbers,
                    read if len(paths) > 1 else None,
                )
            )
    return inputs


def _numbered(files, first: int) -> list[Input]:
    """Inputs of (path, data set, reader)."""
    return [
        Input((path,), source, read, (number,))
        for number, (path, source, read) in enumerate(files, start=first)
    ]


def _files(root: pathlib.Path) -> Iterator[pathlib.Path]:
    """All below a folder; of folders, links and those that cannot be listed."""
    if not root.is_dir():
        yield root
        return
    closed: list[str] = []
    for name, folders, files in os.walk(
        root, onerror=lambda error: closed.append(error.filename)
    ):
        folder = pathlib.Path(name)
        yield from (folder / each for each in files)
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


def _format(path: pathlib.Path) -> str | None:
    name = path.name.lower()
    for kind, endings in EXTENSIONS.items():
        if name.endswith(endings):
            return kind
    return "DICOM" if _has_dicom_marker(path) else None


def _has_dicom_marker(path) -> bool:
    """Most DICOM files of a hospital end in a number or in nothing."""
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def _is_label(path, root) -> bool:
    return any(
        parent.name in _LABEL_FOLDERS and (parent.parent / "images").is_dir()
        for parent in path.parents
        if parent.is_relative_to(root)
    )


def _skip(reason: str) -> Iterator[slices.Slice]:
    raise slices.SkippedError(reason)


_READERS = {
    "PNG": images.read,
    "JPEG": images.read,
    "TIFF": images.read,
    "DICOM": dicom.read,
    "NIfTI": nifti.read,
}
