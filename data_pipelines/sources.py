"""What the user names, as a sorted list of input files, each with its reader."""

import contextlib
import functools
import itertools
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from data_pipelines import folders, names, packaged, salt, slices, tfds_source
from data_pipelines.catalogue import paper
from data_pipelines.readers import dicom_series, formats

PACKAGED = "packaged"
Reader = Callable[[Sequence[pathlib.Path]], Iterator[slices.Slice | slices.Skipped]]
Look = Callable[[Sequence[pathlib.Path]], Sequence[folders.Look]]


class Input(NamedTuple):
    """One file to read, or the files of one series, whose values have one scale.

    Attributes:
      paths: where they lie; neither stored nor printed.
      source: the data set that its records name.
      read: of all of the paths, or of some of a series, yields slices, and
        `slices.Skipped` for a file of several; raises `slices.SkippedError`, or
        whatever a library raises on a broken file. Can be sent to another process.
      numbers: of the files among all that are read, from 1.
    """

    paths: tuple[pathlib.Path, ...]
    source: str
    read: Reader
    numbers: tuple[int, ...]

    def only(self, places: Sequence[int]) -> "Input":
        """The input without the other files of its series."""
        return self._replace(
            paths=tuple(self.paths[place] for place in places),
            numbers=tuple(self.numbers[place] for place in places),
        )


def expand_all(
    given: Sequence[str],
    *,
    dataset: str | None,
    context: slices.Context,
    first: int,
    look: Look = folders.look_all,
    lines: Sequence[str] | None = None,
    classes: Sequence[str] = (),
) -> list[Input]:
    """The inputs of several sources, see `expand`, numbered on from `first`."""
    inputs: list[Input] = []
    for name in given:
        inputs += expand(
            name,
            dataset=dataset,
            context=context,
            first=first,
            look=look,
            lines=lines,
            classes=classes,
        )
        first = 1 + max(max(entry.numbers) for entry in inputs)
    return inputs


def expand(
    source: str,
    *,
    dataset: str | None,
    context: slices.Context,
    first: int,
    look: Look = folders.look_all,
    lines: Sequence[str] | None = None,
    classes: Sequence[str] = (),
) -> list[Input]:
    """The files of a folder, one file, or a named set, in sorted order.

    The files of a DICOM series that is one volume come as one input, in the place of
    the first. Where `dataset` is one of the paper's sources, what may be trained on is
    read, and nothing else: see `catalogue`.

    Args:
      source: a path, "packaged", "packaged:NAME", or "tfds:NAME".
      dataset: name that the records carry; None takes "local" or the set's own.
      context: what the user says of the files; each gets an identity of its own.
      first: number of the first file.
      look: says what files are, see `folders.look_all`.
      lines: of a list of the images to take of one of the paper's sources.
      classes: names of folders directly below a SOURCE; what lies in one has its number
        as a label, all else none.

    Raises:
      ValueError: there is no such modality or packaged set, no image in the folder, or
        it is not laid out as the paper's source is.
      FileNotFoundError: there is no such path.
    """
    if context.modality not in (None, *slices.MODALITIES):
        known = ", ".join(slices.MODALITIES)
        raise ValueError(f"modality {context.modality!r}: DICOM has {known}")
    if source.split(":")[0] == PACKAGED:
        return _of_packaged(source, dataset, first)
    if source.startswith(tfds_source.PREFIX):
        name, files = tfds_source.files(source, context)
        return [
            Input((path,), dataset or name, read, (number,))
            for number, (path, read) in enumerate(files, start=first)
        ]
    root = pathlib.Path(source)
    if not root.exists():
        raise FileNotFoundError(f"{root}: no such file or folder")
    entry = paper.named(dataset)
    if lines is not None and entry is None:
        raise ValueError(
            "a list of training images goes with --dataset NAME of the catalogue"
        )
    return _of_folder(
        root, entry, dataset or "local", context, first, look, lines, classes
    )


def class_names(given: Sequence[str]) -> list[str]:
    """The folders directly below several sources, each name once, number by number.

    Raises:
      ValueError: a source is no folder, or has no folders.
    """
    found = set()
    for source in given:
        root = pathlib.Path(source)
        below = [] if not root.is_dir() else [p for p in root.iterdir() if p.is_dir()]
        below = [path.name for path in below if not path.name.startswith(".")]
        if not below:
            raise ValueError(f"{source}: --classes needs one folder of images a class")
        found.update(below)
    return sorted(found, key=names.natural)


def of_dataset(context: slices.Context, dataset: str | None) -> slices.Context:
    """A context with what the catalogue says of a data set, where it is in there."""
    entry = paper.named(dataset)
    if entry is None:
        return context
    modality = context.modality or entry.modalities[0]
    return context._replace(modality=modality, organ=entry.organ)


def state(inputs: Sequence[Input], salt_key: bytes) -> str:
    """A keyed hash of the files' places, sizes and times: whether any has changed."""
    told = []
    for path in itertools.chain.from_iterable(entry.paths for entry in inputs):
        with contextlib.suppress(OSError):
            found = path.stat()
            told.append(f"{path} {found.st_size} {found.st_mtime_ns}")
    return salt.keyed_hash(salt_key, "\n".join(told))


def _of_folder(
    root, entry, dataset, context, first, look, lines, classes
) -> list[Input]:
    paths = folders.files(root)
    looks = dict(zip(paths, look(paths), strict=True))
    _check_any(root, looks)
    reasons = {path: found.reason for path, found in looks.items()}
    reasons |= {
        part: folders.SLIDE_PART for each in looks.values() for part in each.parts
    }
    reasons |= {path: folders.LABEL for path in paths if folders.is_label(path, root)}
    choices = {path: paper.Choice(None) for path in paths}
    if entry is not None:
        chosen = paper.select(entry, root, paths, lines=lines)
        choices = dict(zip(paths, chosen, strict=True))
        context = of_dataset(context, entry.name)
        dataset = entry.name
    numbers = {path: number for number, path in enumerate(paths, start=first)}
    inputs = []
    reasons = {path: reasons[path] or choices[path].reason for path in paths}
    for together in _together(paths, looks, choices, reasons):
        path = together[0]
        reason = reasons[path]
        if reason:
            read = functools.partial(_skip, reason)
        else:
            read = functools.partial(
                _read,
                kind=looks[path].format,
                context=context._replace(
                    identity=choices[path].identity or "",
                    label=_label(path, root, classes),
                ),
            )
        inputs.append(
            Input(together, dataset, read, tuple(numbers[each] for each in together))
        )
    return inputs


def _check_any(root, looks) -> None:
    if not any(found.format for found in looks.values()):
        known = ", ".join(
            f"{name} ({' '.join(endings)})"
            for name, endings in formats.EXTENSIONS.items()
        )
        raise ValueError(
            f"{root}: no image among {len(looks)} files; looked for {known}"
        )


def _together(paths, looks, choices, reasons) -> list[tuple[pathlib.Path, ...]]:
    """Files one by one, those of a series together, in the order of their first."""
    groups: dict[object, list[pathlib.Path]] = {}
    for path in paths:
        series = looks[path].series
        alone = series is None or reasons[path]
        key = path if alone else (series, choices[path])
        groups.setdefault(key, []).append(path)
    return [tuple(group) for group in groups.values()]


def _read(
    paths: Sequence[pathlib.Path], *, kind: str, context: slices.Context
) -> Iterator[slices.Slice | slices.Skipped]:
    """The slices of a file or series; what the catalogue knows of a patient wins."""
    if len(paths) > 1:
        found = dicom_series.read(paths, context)
    else:
        found = formats.READERS[kind](paths[0], context)
    for item in found:
        if isinstance(item, slices.Slice):
            item = item._replace(label=context.label)
            if context.identity:  # some headers: one a view
                item = item._replace(identity=context.identity)
        yield item


def _label(path, root, classes: Sequence[str]) -> int | None:
    """The number of the class whose folder a file lies in."""
    folder = path.relative_to(root).parts[0] if path != root else ""
    return classes.index(folder) if folder in classes else None


def _of_packaged(source, dataset, first) -> list[Input]:
    name = source.partition(":")[2]
    if name and name not in packaged.SETS:
        known = ", ".join(f"{PACKAGED}:{each}" for each in packaged.SETS)
        raise ValueError(f"no packaged set {name!r}; there are {known}, and {PACKAGED}")
    inputs = []
    for each in [name] if name else packaged.SETS:
        for paths, read in packaged.SETS[each]():
            numbers = tuple(range(first, first + len(paths)))
            first += len(paths)
            own = dataset or f"{PACKAGED}:{each}"
            inputs.append(Input(tuple(paths), own, read, numbers))
    return inputs


def _skip(reason: str, paths: Sequence[pathlib.Path]) -> Iterator[slices.Slice]:
    raise slices.SkippedError(reason)
