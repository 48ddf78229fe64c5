"""`predict`: masks of pictures as PNG, or the probabilities of their classes as CSV."""

import csv
import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import PIL.Image

from data_pipelines import names, quiet, slices
from data_pipelines.labels import decoding, examples, pairing
from data_pipelines.readers import formats
from lvmmed_jax import files, progress
from lvmmed_jax.downstream import predictions, trained

TABLE = "predictions.csv"
ABOUT = "predict.json"


class Picture(NamedTuple):
    """A file to predict on.

    Attributes:
      path: the file.
      name: below what the user typed, without its ending: what the result is called.
      place: how messages call it.
    """

    path: pathlib.Path
    name: str
    place: examples.Place


def check_apart(images: Sequence[str], out: pathlib.Path) -> None:
    """Refuses results among the pictures: each would be taken for the other.

    Raises:
      ValueError: so.
    """
    out = out.resolve()
    for typed in images:
        root = pathlib.Path(typed).resolve()
        if root.is_dir() and (out.is_relative_to(root) or root.is_relative_to(out)):
            raise ValueError(
                f"--out {out} and the pictures' folder {typed} lie within each other: "
                "give --out a folder apart"
            )


def find(images: Sequence[str]) -> list[Picture]:
    """The pictures among files, and in folders at any depth.

    Raises:
      FileNotFoundError: nothing is there.
      ValueError: a file that is no picture was named, a folder holds none, or two would
        have results of one name.
    """
    found: dict[str, Picture] = {}
    for typed in images:
        root = pathlib.Path(typed)
        if not root.exists():
            raise FileNotFoundError(f"{root}: no such file or folder")
        within = [root] if root.is_file() else sorted(root.rglob("*"), key=_natural)
        paths = [path for path in within if path.is_file() and _is_picture(path)]
        if not paths:
            what = "is no picture" if root.is_file() else "holds no picture"
            raise ValueError(f"{typed} {what} to predict on")
        for number, path in enumerate(paths, start=1):
            below = path.relative_to(root.parent if root.is_file() else root)
            name = below.with_name(pairing.stem(path)).as_posix()
            place = examples.Place(path, f"{root}:", number)
            if name in found:
                raise ValueError(
                    f"{place.public()} and another file have one name but for their "
                    "ending or folder: their results would too; predict them apart"
                )
            found[name] = Picture(path, name, place)
    return list(found.values())


def _natural(path: pathlib.Path):
    return names.natural(path.as_posix())


def _is_picture(path: pathlib.Path) -> bool:
    return formats.by_name(path.name) is not None and not pairing.is_volume(path)


def run(network: trained.Trained, pictures: Sequence[Picture], out: pathlib.Path):
    """Predicts and writes, one picture after another; what is there is left alone.

    Args:
      network: what predicts.
      pictures: of `find`.
      out: a folder, which is made.

    Returns:
      How many were predicted now, how many before, and a line for each picture that
      could not be read.

    Raises:
      ValueError: the folder holds results of another network.
    """
    out.mkdir(parents=True, exist_ok=True)
    _check_same(network, out)
    writer = _Masks(network, out) if network.predictor.segments else _Rows(network, out)
    waiting = [each for each in pictures if not writer.has(each)]
    flaws: list[str] = []
    read: list[Picture] = []
    with (
        writer,
        quiet.readers(),
        progress.counted("predicting", total=len(waiting), unit="images") as done,
    ):
        images = _decoded(waiting, read, flaws)
        found = predictions.probabilities(network.predictor, network.model, images)
        for number, each in enumerate(found):
            writer.write(read[number], each)
            done(number + 1 + len(flaws))
    return len(read), len(pictures) - len(waiting), flaws


def _decoded(pictures, read, flaws) -> Iterator[np.ndarray]:
    """The pixels of those that can be read, which `read` then lists."""
    decoder = decoding.Decoder(slices.Context(), None)
    for picture in pictures:
        try:
            pixels = decoder.picture(picture.place).pixels
        except slices.SkippedError as error:
            flaws.append(f"{picture.place.public()} {error}")
            continue
        read.append(picture)
        yield pixels


def _check_same(network: trained.Trained, out: pathlib.Path) -> None:
    """Results of two networks in one folder could not be told apart."""
    about = {
        "step": network.step,
        "network": network.extra["digests"]["model"],
        "flips": network.flips,
        "classes": list(network.class_names),
    }
    path = out / ABOUT
    if not path.is_file():
        files.write_json(path, about)
    elif json.loads(path.read_text()) != about:
        raise ValueError(f"{out} holds results of another network: give another --out")


class _Masks:
    """A PNG a picture, in its size; values are those of the masks trained on."""

    def __init__(self, network: trained.Trained, out: pathlib.Path):
        self._out = out
        self._values = np.array(network.extra["mask_values"], np.uint8)

    def __enter__(self) -> "_Masks":
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def has(self, picture: Picture) -> bool:
        return self._path(picture).is_file()

    def write(self, picture: Picture, chances: np.ndarray) -> None:
        path = self._path(picture)
        path.parent.mkdir(parents=True, exist_ok=True)
        mask = self._values[chances.argmax(axis=-1)]
        with files.replacing(path) as partial:
            PIL.Image.fromarray(mask).save(partial, format="PNG")

    def _path(self, picture: Picture) -> pathlib.Path:
        return self._out / f"{picture.name}.png"


class _Rows:
    """A line a picture: its name, its class or labels, and all probabilities."""

    def __init__(self, network: trained.Trained, out: pathlib.Path):
        self._path, self._names = out / TABLE, network.class_names
        self._multi = network.extra["target"]["multi_label"]
        self._head = ["path", "prediction", *self._names]
        self._done = self._read()

    def _read(self) -> set[str]:
        """The names of whole lines; a line that was cut is taken away."""
        if not self._path.is_file():
            return set()
        with self._path.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.reader(file) if len(row) == len(self._head)]
        with (
            files.replacing(self._path) as partial,
            partial.open("w", newline="", encoding="utf-8") as file,
        ):
            csv.writer(file).writerows(rows)
        return {row[0] for row in rows[1:]}

    def __enter__(self) -> "_Rows":
        is_new = not self._path.is_file()
        self._file = self._path.open("a", newline="", encoding="utf-8", buffering=1)
        self._csv = csv.writer(self._file)
        if is_new:
            self._csv.writerow(self._head)
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def has(self, picture: Picture) -> bool:
        return picture.name in self._done

    def write(self, picture: Picture, chances: np.ndarray) -> None:
        if self._multi:
            own = [n for n, p in zip(self._names, chances, strict=True) if p > 0.5]
            said = "|".join(own)
        else:
            said = self._names[int(chances.argmax())]
        self._csv.writerow([picture.name, said, *(f"{p:.6f}" for p in chances)])


def text(found: tuple[int, int, list[str]], out: pathlib.Path) -> str:
    """What was done, in words."""
    now, before, flaws = found
    lines = [f"{now} images predicted" + (f", {before} were before" if before else "")]
    lines += [f"left out: {flaw}" for flaw in flaws]
    return "\n".join([*lines, f"results: {out}"])


def as_json(found: tuple[int, int, list[str]], out: pathlib.Path) -> dict[str, Any]:
    """The same in JSON values."""
    now, before, flaws = found
    return {"predicted": now, "before": before, "left_out": flaws, "out": str(out)}
