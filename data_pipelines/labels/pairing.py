"""The image files of a folder, and the names by which files of two folders pair."""

import collections
import pathlib
from collections.abc import Sequence

from data_pipelines import names
from data_pipelines.labels import examples
from data_pipelines.readers import formats

_GIF = ".gif"  # of masks, see `masks.read`
_ENDINGS = (*(each for ends in formats.EXTENSIONS.values() for each in ends), _GIF)


def by_stems(found: Sequence[pathlib.Path], folder: str) -> dict[str, pathlib.Path]:
    """Stem -> file.

    Raises:
      ValueError: two files differ in their endings only, so that a name means both.
    """
    times = collections.Counter(stem(path) for path in found)
    for number, path in enumerate(found, start=1):
        if times[stem(path)] > 1:
            name = examples.Place(path, folder, number).public()
            raise ValueError(
                f"{name} and another file differ in their endings only; keep one"
            )
    return {stem(path): path for path in found}


def stem(path: pathlib.Path) -> str:
    """A file's name without its ending; .nii.gz is one."""
    name = path.name
    return name[: -len(".nii.gz")] if name.lower().endswith(".nii.gz") else path.stem


def is_volume(path: pathlib.Path) -> bool:
    """Whether a file is read slice by slice."""
    return formats.by_name(path.name) == "NIfTI"


def paths(folder: pathlib.Path) -> list[pathlib.Path]:
    """The image files of a folder, slice 2 before slice 10.

    Raises:
      ValueError: there is none.
    """
    found = [path for path in folder.iterdir() if path.name.lower().endswith(_ENDINGS)]
    if not found:
        raise ValueError(f"{folder}: no image ({' '.join(_ENDINGS)})")
    return sorted(found, key=lambda path: names.natural(path.name))
