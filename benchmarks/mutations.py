"""Ways to break a file: some blind, some that keep checksums and lie about sizes."""

import gzip
import struct
import zlib
from collections.abc import Sequence

import numpy as np

# what decoders are known to trip over, little and big endian
_EVIL = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)
_HEAD = 1024  # bytes in which most formats say how large they are


def mutated(
    data: bytes, others: Sequence[bytes], rng: np.random.Generator
) -> tuple[str, bytes]:
    """One broken form of a file.

    Args:
      data: the whole file.
      others: files of other formats, whose heads may be taken.
      rng: decides all.

    Returns:
      The name of the mutation, and the broken file.
    """
    ways = [flip_bits, flip_in_head, cut, lie, zero, repeat, drop, overwrite]
    if data[:2] == b"\x1f\x8b":
        ways += [inside_gzip] * 6
    if data[:4] == b"\x89PNG":
        ways += [lie_in_png] * 3
    if rng.random() < 0.08:
        return "swap_heads", swap_heads(data, others, rng)
    way = ways[rng.integers(len(ways))]
    return way.__name__, way(data, rng)


def flip_bits(data: bytes, rng: np.random.Generator) -> bytes:
    """Flips 1 to 64 bits anywhere."""
    return _flipped(data, len(data), rng)


def flip_in_head(data: bytes, rng: np.random.Generator) -> bytes:
    """Flips 1 to 64 bits where the sizes stand."""
    return _flipped(data, min(len(data), _HEAD), rng)


def cut(data: bytes, rng: np.random.Generator) -> bytes:
    """Ends early, also at once."""
    return data[: rng.integers(len(data))]


def lie(data: bytes, rng: np.random.Generator) -> bytes:
    """Writes a size that is none, in 1, 2, 4 or 8 bytes, up to three times."""
    changed = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        size = int(rng.choice([1, 2, 4, 8]))
        if len(changed) <= size:
            break
        value = int(rng.choice(_EVIL)) & (256**size - 1)
        place = int(rng.integers(min(len(changed) - size, _HEAD)))
        order = "little" if rng.random() < 0.5 else "big"
        changed[place : place + size] = value.to_bytes(size, order)
    return bytes(changed)


def zero(data: bytes, rng: np.random.Generator) -> bytes:
    """Zeros for a stretch, as after a crash of a disk."""
    low, high = _stretch(data, rng)
    return data[:low] + bytes(high - low) + data[high:]


def repeat(data: bytes, rng: np.random.Generator) -> bytes:
    """A stretch comes twice."""
    low, high = _stretch(data, rng)
    return data[:high] + data[low:]


def drop(data: bytes, rng: np.random.Generator) -> bytes:
    """A stretch is missing."""
    low, high = _stretch(data, rng)
    return data[:low] + data[high:]


def overwrite(data: bytes, rng: np.random.Generator) -> bytes:
    """Noise for a stretch."""
    low, high = _stretch(data, rng)
    return data[:low] + rng.bytes(high - low) + data[high:]


def swap_heads(data: bytes, others: Sequence[bytes], rng: np.random.Generator) -> bytes:
    """Begins as a file of another format."""
    other = others[rng.integers(len(others))]
    length = int(rng.choice([8, 132, 352, _HEAD]))
    return other[:length] + data[length:]


def inside_gzip(data: bytes, rng: np.random.Generator) -> bytes:
    """What is packed is broken, and packed again, with a right checksum."""
    inner = gzip.decompress(data)
    ways = (flip_in_head, lie, cut, zero)
    return gzip.compress(ways[rng.integers(len(ways))](inner, rng), 1, mtime=0)


def lie_in_png(data: bytes, rng: np.random.Generator) -> bytes:
    """Another width, height, depth or kind of colour, with a right checksum."""
    header = bytearray(data[12:29])  # IHDR and its 13 bytes
    if rng.random() < 0.6:
        place = int(rng.choice([4, 8]))
        header[place : place + 4] = struct.pack(
            ">I", int(rng.choice([0, 1, 65535, 10**6, 2**31 - 1, 2**32 - 1]))
        )
    else:
        header[rng.integers(12, 17)] = rng.integers(256)
    return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]


def _flipped(data, length, rng) -> bytes:
    changed = bytearray(data)
    for _ in range(int(rng.choice([1, 4, 16, 64]))):
        changed[rng.integers(length)] ^= 1 << rng.integers(8)
    return bytes(changed)


def _stretch(data, rng) -> tuple[int, int]:
    low = int(rng.integers(len(data)))
    return low, min(len(data), low + int(rng.choice([1, 4, 32, 256, 4096])))
