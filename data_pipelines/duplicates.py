"""Perceptual hashes of images, and the search for near-duplicates among them.

A hash holds the signs of 256 low frequencies of an image, so that it survives another
encoding, size, brightness, contrast and gamma; a mirrored or cropped image is another
image. `benchmarks/near_duplicates.py` measures what MAX_DISTANCE finds and confuses.
"""

import itertools
from collections.abc import Iterator

import numpy as np
import PIL.Image
import scipy.fft

NUM_BYTES = 32
# Bits. Promised changes stay within it; beyond it neighbouring slices of one patient
# become the rule. One bit more would make the search below try 137 values a band, not
# 17.
MAX_DISTANCE = 31

_SIDE = 32  # of the thumbnail, in pixels
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
_FLAT = 1e-2  # grey levels; a smaller coefficient is rounding, as of a constant image
_NUM_BANDS = 16  # of 16 bits each
_NUM_KEYS = 2**16
_BLOCK = 2**20  # pairs that are compared at once
_QUERIES = 256  # hashes that are looked up at once
_RECENT = 4096  # hashes that `Seen` compares one by one before it indexes them


def _frequencies() -> np.ndarray:
    """[256] flat numbers of the lowest frequencies but the mean, dealt to the bands."""
    rows, columns = np.indices((_SIDE, _SIDE))
    order = np.argsort((rows**2 + columns**2).ravel(), kind="stable")
    return order[1 : 1 + 8 * NUM_BYTES].reshape(-1, _NUM_BANDS).T.ravel()


_FREQUENCIES = _frequencies()


def near_hash(pixels: np.ndarray) -> bytes:
    """The perceptual hash of an image, NUM_BYTES long.

    Images alike have hashes at a small Hamming distance. Detail is lost with a short
    side under 32 pixels and where clipping leaves little, and the distance grows.

    Args:
      pixels: [H, W] grey or [H, W, 3] RGB, uint8.

    Raises:
      ValueError: another shape or type, or no pixels.
    """
    grey_or_rgb = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)
    if pixels.dtype != np.uint8 or not grey_or_rgb or not pixels.size:
        raise ValueError(
            f"an image is uint8 [H, W] or [H, W, 3], not {pixels.dtype} "
            f"{list(pixels.shape)}"
        )
    values = pixels.astype(np.float32)
    grey = values @ _LUMA if pixels.ndim == 3 else values
    # of a larger image Pillow's triangle spans all pixels: it averages over the area
    small = PIL.Image.fromarray(grey).resize(
        (_SIDE, _SIDE), PIL.Image.Resampling.BILINEAR
    )
    coefficients = scipy.fft.dctn(np.asarray(small), norm="ortho").ravel()
    return np.packbits(coefficients[_FREQUENCIES] > _FLAT).tobytes()


def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Hamming distances [n, m], int64, of hashes uint8 [n, 32] and [m, 32].

    Holds all n * m at once: for small sets.
    """
    return _distances(_words(a), _words(b)).astype(np.int64)


def pairs(
    hashes: np.ndarray, others: np.ndarray, *, max_distance: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every pair at most `max_distance` bits apart; none is missed.

    Where two hashes differ in at most d bits, one of their 16 bands differs in at most
    d // 16: only such pairs are compared, block by block. Where many images are alike
    and that saves nothing, a block is compared with all. Memory grows with the hashes
    and with the pairs found.

    Args:
      hashes: uint8 [n, 32]; the larger set here is faster.
      others: uint8 [m, 32]; the same array gives each pair twice, and each hash itself.
      max_distance: in bits, 0 to 256.

    Returns:
      i, j, distance: int64 arrays; `hashes[i]` is that far from `others[j]`. In order
      of i, then j.

    Raises:
      ValueError: `max_distance` is outside of its range, or hashes are no hashes.
    """
    found = [np.zeros((3, 0), np.int64)]
    found += pairs_by_block(hashes, others, max_distance=max_distance)
    i, j, distance = np.concatenate(found, axis=1)
    order = np.lexsort((j, i))
    return i[order], j[order], distance[order]


def pairs_by_block(
    hashes: np.ndarray, others: np.ndarray, *, max_distance: int
) -> Iterator[np.ndarray]:
    """The pairs of `pairs`, int64 [3, p] for every few of `others`, in their order.

    For those who need not hold all pairs at once. Arguments and errors as there.
    """
    if not 0 <= max_distance <= 8 * NUM_BYTES:
        raise ValueError(f"max_distance is 0 to {8 * NUM_BYTES}, not {max_distance}")
    words, queries = _words(hashes), _words(others)
    if not (len(words) and len(queries)):
        return
    index = _Index(words, max_distance)
    for start in range(0, len(queries), _QUERIES):
        i, j, distance = index.find(queries[start : start + _QUERIES])
        yield np.stack([i, j + start, distance])


class Seen:
    """Hashes that came so far, for finding the first that a new one is near to.

    Equal hashes are stored once. The others stand in runs by order of adding; a run
    is joined to the one before once it is as long, as digits carry in a sum, so
    each hash is indexed again only log2(n) times.
    """

    def __init__(self):
        """Nothing was added yet."""
        self._first = {}  # hash -> its number
        self._numbers = []  # of the stored hashes
        self._words = np.empty((_RECENT, NUM_BYTES // 8), np.uint64)
        self._runs = []  # (start, _Index)
        self._indexed = 0
        self._count = 0

    def find(self, hash: bytes) -> int | None:
        """The number of the earliest hash within MAX_DISTANCE, or None.

        Raises:
          ValueError: not NUM_BYTES bytes.
        """
        query = _words(np.frombuffer(hash, np.uint8)[None])
        for start, index in self._runs:
            place = index.first(query)
            if place is not None:
                return self._numbers[start + place]
        recent = self._words[self._indexed : len(self._numbers)]
        near = np.flatnonzero(_distances(recent, query)[:, 0] <= MAX_DISTANCE)
        return self._numbers[self._indexed + near[0]] if near.size else None

    def add(self, hash: bytes) -> None:
        """Adds a hash; the first has number 0, and equal ones count too.

        Raises:
          ValueError: not NUM_BYTES bytes.
        """
        word = _words(np.frombuffer(hash, np.uint8)[None])
        number = self._count
        self._count += 1
        if self._first.setdefault(bytes(hash), number) != number:
            return
        stored = len(self._numbers)
        if stored == len(self._words):
            self._words = np.concatenate([self._words, np.empty_like(self._words)])
        self._words[stored] = word[0]
        self._numbers.append(number)
        if stored + 1 - self._indexed == _RECENT:
            self._carry()

    def _carry(self):
        start, stop = self._indexed, len(self._numbers)
        while self._runs and start - self._runs[-1][0] <= stop - start:
            start, _ = self._runs.pop()
        # a copy: the array of all is replaced when it grows
        index = _Index(self._words[start:stop].copy(), MAX_DISTANCE)
        self._runs.append((start, index))
        self._indexed = stop


class _Index:
    """Hashes sorted by each of their bands."""

    def __init__(self, words: np.ndarray, max_distance: int):
        """Sorts `words`, uint64 [n, 4], for searches within `max_distance` bits."""
        self._words = words
        self._max_distance = max_distance
        self._masks = _masks(max_distance // _NUM_BANDS)
        keys = words.view(np.uint16)
        self._order = np.concatenate(
            [np.argsort(band, kind="stable").astype(np.int32) for band in keys.T]
        )
        flat = keys + _NUM_KEYS * np.arange(_NUM_BANDS)
        counts = np.bincount(flat.ravel(), minlength=_NUM_BANDS * _NUM_KEYS)
        self._starts = np.concatenate([[0], np.cumsum(counts)])

    def find(self, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(number here, number of the query, distance) of every near pair, once."""
        num_words = len(self._words)
        starts, counts = self._ranges(queries)
        if counts is None or 4 * counts.sum() > num_words * len(queries):
            return self._find_among_all(queries)
        owners = np.repeat(np.arange(len(queries)), counts.shape[1])
        starts, counts = starts.ravel(), counts.ravel()
        found = [np.zeros((3, 0), np.int64)]
        # cut so that a block holds _BLOCK pairs, or one range that is longer
        blocks = np.cumsum(counts) // _BLOCK
        edges = np.flatnonzero(np.diff(blocks, prepend=-1, append=blocks[-1] + 1))
        for low, high in itertools.pairwise(edges):
            i = self._order[_spans(starts[low:high], counts[low:high])]
            j = np.repeat(owners[low:high], counts[low:high])
            distance = _popcounts(self._words[i] ^ queries[j])
            near = distance <= self._max_distance
            found.append(np.stack([i[near], j[near], distance[near]]))
        i, j, distance = np.concatenate(found, axis=1)
        _, once = np.unique(j * num_words + i, return_index=True)
        return i[once], j[once], distance[once]

    def first(self, query: np.ndarray) -> int | None:
        """The least number here of a hash near the query, uint64 [1, 4], or None."""
        starts, counts = self._ranges(query)
        if counts is None or 4 * counts.sum() > len(self._words):
            step = _BLOCK // 64
            for start in range(0, len(self._words), step):
                distance = _distances(self._words[start : start + step], query)
                near = np.flatnonzero(distance[:, 0] <= self._max_distance)
                if near.size:
                    return start + int(near[0])
            return None
        i = self._order[_spans(starts[0], counts[0])]
        near = i[_popcounts(self._words[i] ^ query) <= self._max_distance]
        return int(near.min()) if near.size else None

    def _ranges(self, queries):
        """Where `_order` lists the candidates: starts, counts [queries, bands * masks].

        None and None where there are more masks than hashes: comparing all is faster.
        """
        if self._masks is None or len(self._masks) > len(self._words):
            return None, None
        keys = queries.view(np.uint16)[..., None] ^ self._masks
        keys = keys + _NUM_KEYS * np.arange(_NUM_BANDS)[:, None]
        keys = keys.reshape(len(queries), -1)
        starts = self._starts[keys]
        return starts, self._starts[keys + 1] - starts

    def _find_among_all(self, queries):
        step = max(1, _BLOCK // len(queries))
        found = []
        for start in range(0, len(self._words), step):
            distance = _distances(self._words[start : start + step], queries)
            i, j = np.nonzero(distance <= self._max_distance)
            found.append(np.stack([i + start, j, distance[i, j]]))
        i, j, distance = np.concatenate(found, axis=1)
        return i, j, distance


def _masks(radius):
    """uint16 [masks]: all changes of up to `radius` of 16 bits; None where too many."""
    if radius > 2:
        return None
    masks = [
        sum(1 << bit for bit in bits)
        for size in range(radius + 1)
        for bits in itertools.combinations(range(16), size)
    ]
    return np.array(masks, np.uint16)


def _spans(starts, counts):
    """The numbers start, start + 1, ... of each range, one range after the other."""
    ends = np.cumsum(counts)
    return np.repeat(starts - ends + counts, counts) + np.arange(ends[-1])


def _words(hashes):
    hashes = np.asarray(hashes)
    if hashes.dtype != np.uint8 or hashes.ndim != 2 or hashes.shape[1] != NUM_BYTES:
        raise ValueError(
            f"hashes are uint8 [n, {NUM_BYTES}], not {hashes.dtype} "
            f"{list(hashes.shape)}"
        )
    return np.ascontiguousarray(hashes).view(np.uint64)


def _distances(a, b):
    total = np.zeros((len(a), len(b)), np.uint16)
    for left, right in zip(a.T, b.T, strict=True):
        total += np.bitwise_count(left[:, None] ^ right)
    return total


def _popcounts(words):
    return np.bitwise_count(words).sum(axis=-1, dtype=np.int64)
