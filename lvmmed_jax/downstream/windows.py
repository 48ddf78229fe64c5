"""Images of any size through a network of one size, and back to their own."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from data_pipelines.labels import batches, fitting

OVERLAP = 0.5  # share of a window's side that the next one covers again

Network = Callable[[np.ndarray], np.ndarray]


class Cut(NamedTuple):
    """An image as the network takes it.

    Attributes:
      size: (height, width) of the image.
      corners: of its native windows, (row, column) each; empty: it was resized.
      squares: uint8 [M, S, S, C].
    """

    size: tuple[int, int]
    corners: tuple[tuple[int, int], ...]
    squares: np.ndarray


def cut(image: np.ndarray, form: batches.Form) -> Cut:
    """An image resized, or in windows that overlap and cover it.

    Args:
      image: uint8 [H, W] or [H, W, 3].
      form: what the network was trained on.
    """
    size, (side, channels, keep, native) = image.shape[:2], form
    if not native:
        square = fitting.image(image, side, channels, keep_aspect=keep)
        return Cut(size, (), square[None])
    rows, columns = (starts(length, side) for length in size)
    corners = tuple((row, column) for row in rows for column in columns)
    squares = [
        fitting.padded_image(
            image[row : row + side, column : column + side], side, channels
        )
        for row, column in corners
    ]
    return Cut(size, corners, np.stack(squares))


def starts(length: int, side: int) -> list[int]:
    """Where windows begin along an axis: evenly, no further apart than they may."""
    if length <= side:
        return [0]
    step = side * (1 - OVERLAP)
    count = int(np.ceil((length - side) / step)) + 1
    return np.linspace(0, length - side, count).round().astype(int).tolist()


def classes(
    images: Iterable[np.ndarray], network: Network, form: batches.Form, batch_size: int
) -> Iterator[np.ndarray]:
    """Probabilities [K] of each image.

    Args:
      images: uint8 [H, W] or [H, W, 3] of any size.
      network: uint8 [B, S, S, C] -> [B, K].
      form: what it was trained on; not native.
      batch_size: B.
    """
    for _, found in _through(images, network, form, batch_size):
        yield found[0]


def masks(
    images: Iterable[np.ndarray],
    network: Network,
    form: batches.Form,
    batch_size: int,
    *,
    resized: bool = False,
) -> Iterator[np.ndarray]:
    """Probabilities [H, W, K] of each image at its own size.

    Native windows are averaged with weights that fall towards their edges.

    Args:
      images: uint8 [H, W] or [H, W, 3] of any size.
      network: uint8 [B, S, S, C] -> [B, S, S, K].
      form: what it was trained on.
      batch_size: B.
      resized: leaves resized images at the network's size.
    """
    for piece, found in _through(images, network, form, batch_size):
        if form.native:
            yield _blend(piece, found)
        elif resized:
            height, width = fitting.inner(
                piece.size, form.side, keep_aspect=form.keep_aspect
            )
            yield found[0, :height, :width]
        else:
            keep = form.keep_aspect
            yield fitting.original_scores(found[0], piece.size, keep_aspect=keep)


def _through(images, network, form, batch_size) -> Iterator[tuple[Cut, np.ndarray]]:
    """Every image's windows through the network, in batches over several images."""
    waiting, count = [], 0
    for image in images:
        waiting.append(cut(image, form))
        count += len(waiting[-1].squares)
        if count >= batch_size:
            yield from _run(waiting, network, batch_size)
            waiting, count = [], 0
    yield from _run(waiting, network, batch_size)


def _run(pieces, network, batch_size) -> Iterator[tuple[Cut, np.ndarray]]:
    if not pieces:
        return
    squares = np.concatenate([piece.squares for piece in pieces])
    parts = []
    for begin in range(0, len(squares), batch_size):
        batch = squares[begin : begin + batch_size]
        full = np.zeros((batch_size, *batch.shape[1:]), batch.dtype)
        full[: len(batch)] = batch
        parts.append(np.asarray(network(full))[: len(batch)])
    found, begin = np.concatenate(parts), 0
    for piece in pieces:
        yield piece, found[begin : begin + len(piece.squares)]
        begin += len(piece.squares)


def _blend(piece: Cut, found: np.ndarray) -> np.ndarray:
    """[H, W, K], the weighted mean of windows [M, S, S, K]."""
    (height, width), side = piece.size, found.shape[1]
    total = np.zeros((height, width, found.shape[-1]), np.float32)
    weight = np.zeros((height, width, 1), np.float32)
    ramp = np.minimum(np.arange(side) + 1, side - np.arange(side)) / side
    own = (ramp[:, None] * ramp[None, :]).astype(np.float32)[..., None]
    for (row, column), window in zip(piece.corners, found, strict=True):
        to = np.s_[row : row + side, column : column + side]
        inside = total[to].shape[:2]
        of = np.s_[: inside[0], : inside[1]]
        total[to] += window[of] * own[of]
        weight[to] += own[of]
    return total / weight
