"""One input file -> its records, or the reason why it has none."""

import collections
import contextlib
import hashlib
import logging
import os
import pathlib
import warnings
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from data_pipelines import records, salt, slices, sources

_NO_CONTENT = "-" * 12


class Outcome(NamedTuple):
    """What became of one input file.

    Attributes:
      file: its public name, "#0042 9f86d081884c".
      source: the data set of its records.
      records: its encoded records.
      modalities: how many records it has of each.
      colour: whether any is RGB.
      dropped: reason -> how many slices (or the whole file, once).
    """

    file: str
    source: str
    records: list[bytes]
    modalities: collections.Counter[str]
    colour: bool
    dropped: collections.Counter[str]


def read_all(
    inputs: Iterable[sources.Input], *, size: int, salt_key: bytes
) -> Iterator[Outcome]:
    """Reads every file in order; no broken one ends the run.

    An image whose stored pixels came before is dropped: it counts once.

    Args:
      inputs: the files, in the order of their numbers.
      size: longest side of a stored image, in pixels.
      salt_key: keys the hash of patients and studies.
    """
    seen: dict[bytes, int] = {}
    for number, entry in enumerate(inputs, start=1):
        yield _read(entry, number, size, salt_key, seen)


def public_name(number: int, path: pathlib.Path) -> str:
    """How logs and manifests call a file: its number and the hash of its content."""
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()[:12]
    except OSError:
        digest = _NO_CONTENT
    return f"#{number:04d} {digest}"


def _read(entry, number, size, salt_key, seen) -> Outcome:
    outcome = Outcome(
        file=public_name(number, entry.path),
        source=entry.source,
        records=[],
        modalities=collections.Counter(),
        colour=False,
        dropped=collections.Counter(),
    )
    with quiet():
        try:
            for piece in entry.read():
                pixels = records.bounded(piece.pixels, size)
                reason = slices.flaw(piece.pixels) or _repeated(pixels, number, seen)
                if reason:
                    outcome.dropped[reason] += 1
                    continue
                group = salt.keyed_hash(salt_key, piece.identity)
                record = records.from_slice(
                    piece, pixels, group=group, source=entry.source
                )
                outcome.records.append(records.encode(record))
                outcome.modalities[piece.modality] += 1
                outcome = outcome._replace(colour=outcome.colour or pixels.ndim == 3)
        except slices.SkippedError as reason:
            outcome.dropped[str(reason)] += 1
        except Exception as error:
            # its message may quote the header or the path: only its type is told
            reason = f"damaged or not supported ({type(error).__name__})"
            outcome.dropped[reason] += 1
    return outcome


def _repeated(pixels: np.ndarray, number: int, seen: dict[bytes, int]) -> str | None:
    digest = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).digest()[
        :16
    ]
    if digest in seen:
        return f"same pixels as #{seen[digest]:04d}"
    seen[digest] = number
    return None


@contextlib.contextmanager
def quiet():
    """Readers warn in the words of a file's header: neither shown, logged nor raised.

    Their C libraries write to the process's stderr, so that is turned away too.
    """
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    stderr = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)
        logging.disable(before)
