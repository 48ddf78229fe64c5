"""Perceptual hashes survive what they promise; the searches miss nothing."""

import io

import numpy as np
import PIL.Image
import pytest
import scipy.ndimage

from data_pipelines import duplicates


def image(seed, height=160, width=200):
    """A bright, smoothly textured ellipse on black, as most medical images are."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    inside = rows**2 / 0.7 + columns**2 / 0.5 < 1
    texture = sum(
        scipy.ndimage.gaussian_filter(rng.normal(size=inside.shape), scale) * scale
        for scale in (2, 4, 8, 16)
    )
    grey = inside * np.clip(110 + 60 * texture, 25, 200)
    return scipy.ndimage.gaussian_filter(grey, 1).astype(np.uint8)


def jpeg(pixels, quality):
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.asarray(PIL.Image.open(file))


def resized(pixels, factor):
    height, width = pixels.shape
    size = (round(width * factor), round(height * factor))
    return np.asarray(PIL.Image.fromarray(pixels).resize(size))


def mapped(pixels, function):
    return np.clip(np.round(function(pixels / 255) * 255), 0, 255).astype(np.uint8)


PROMISED = {
    "JPEG 50": lambda pixels: jpeg(pixels, 50),
    "JPEG 95": lambda pixels: jpeg(pixels, 95),
    "half": lambda pixels: resized(pixels, 0.5),
    "double": lambda pixels: resized(pixels, 2),
    "at most 96": lambda pixels: resized(pixels, 96 / max(pixels.shape)),
    "at most 64": lambda pixels: resized(pixels, 64 / max(pixels.shape)),
    "darker": lambda pixels: mapped(pixels, lambda x: x - 20 / 255),
    "brighter": lambda pixels: mapped(pixels, lambda x: x + 20 / 255),
    "less contrast": lambda pixels: mapped(pixels, lambda x: 0.8 * x),
    "more contrast": lambda pixels: mapped(pixels, lambda x: 1.25 * x),
    "gamma 0.8": lambda pixels: mapped(pixels, lambda x: x**0.8),
    "gamma 1.25": lambda pixels: mapped(pixels, lambda x: x**1.25),
    "three channels": lambda pixels: np.stack([pixels] * 3, axis=-1),
}


def hashes_of(images):
    joined = b"".join(duplicates.near_hash(one) for one in images)
    return np.frombuffer(joined, np.uint8).reshape(-1, duplicates.NUM_BYTES)


@pytest.fixture(scope="module")
def originals():
    images = [image(seed) for seed in range(12)]
    return images, hashes_of(images)


@pytest.mark.parametrize("name", PROMISED)
def test_promised_changes_stay_within_the_distance(name, originals):
    images, hashes = originals
    changed = hashes_of([PROMISED[name](one) for one in images])
    assert duplicates.distances(hashes, changed).diagonal().max() <= 31


def test_other_images_are_far_apart(originals):
    _, hashes = originals
    apart = duplicates.distances(hashes, hashes)
    assert apart[~np.eye(len(hashes), dtype=bool)].min() > 2 * duplicates.MAX_DISTANCE


def test_a_mirrored_image_is_another_image(originals):
    images, hashes = originals
    mirrored = hashes_of([one[:, ::-1] for one in images])
    assert duplicates.distances(hashes, mirrored).diagonal().min() > 31


@pytest.mark.parametrize("level", [0, 1, 77, 255])
@pytest.mark.parametrize("shape", [(1, 1), (35, 50), (224, 224, 3)])
def test_constant_images_have_one_hash(level, shape):
    constant = np.full(shape, level, np.uint8)
    assert duplicates.near_hash(constant) == bytes(duplicates.NUM_BYTES)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((4, 4)),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4), np.uint8),
        np.zeros(4, np.uint8),
    ],
)
def test_what_is_no_image_is_refused(pixels):
    with pytest.raises(ValueError, match="an image is uint8"):
        duplicates.near_hash(pixels)


def flipped(one, bits):
    """A hash with those of its 256 bits turned."""
    unpacked = np.unpackbits(one)
    unpacked[list(bits)] ^= 1
    return np.packbits(unpacked)


def random_hashes(count, seed):
    return np.random.default_rng(seed).integers(0, 256, (count, 32), dtype=np.uint8)


def clustered(count, seed):
    """Hashes around three centres, at distances about the limit, some equal."""
    rng = np.random.default_rng(seed)
    centres = random_hashes(3, 0)
    return np.stack(
        [
            flipped(centres[rng.integers(3)], rng.permutation(256)[: rng.integers(45)])
            for _ in range(count)
        ]
    )


def one_band(count, seed):
    """Far apart, but equal in the first band: one bucket holds them all."""
    hashes = random_hashes(count, seed)
    hashes[:, :2] = 7
    return hashes


def brute_force(a, b, max_distance):
    different = np.unpackbits(a, axis=1)[:, None] != np.unpackbits(b, axis=1)
    distance = different.sum(axis=-1)
    i, j = np.nonzero(distance <= max_distance)
    return i, j, distance[i, j]


@pytest.mark.parametrize("make", [random_hashes, clustered, one_band])
@pytest.mark.parametrize("max_distance", [0, 15, 31, 32, 47, 60, 110])
def test_pairs_are_those_of_brute_force(make, max_distance, monkeypatch):
    monkeypatch.setattr(duplicates, "_BLOCK", 1000)
    monkeypatch.setattr(duplicates, "_QUERIES", 16)
    a, b = make(400, 1), make(90, 2)
    b[:5] = a[10:15]
    found = duplicates.pairs(a, b, max_distance=max_distance)
    for ours, true in zip(found, brute_force(a, b, max_distance), strict=True):
        np.testing.assert_array_equal(ours, true)


def test_the_boundary_is_exact():
    """31 bits spread as evenly as they can, 2 a band but one, are found; 32 are not."""
    a = random_hashes(1000, 3)
    spread = [16 * band + bit for bit in (3, 9) for band in range(16)]
    for last in range(16):  # the band of one changed bit
        bits = [bit for bit in spread if bit != 16 * last + 9]
        other = flipped(a[500], bits)
        found = duplicates.pairs(a, other[None], max_distance=31)
        assert [each.tolist() for each in found] == [[500], [0], [31]]
    other = flipped(a[500], spread)
    assert not duplicates.pairs(a, other[None], max_distance=31)[0].size
    assert duplicates.pairs(a, other[None], max_distance=32)[2].tolist() == [32]


def test_empty_sets_have_no_pairs():
    some, none = random_hashes(3, 0), np.zeros((0, 32), np.uint8)
    for a, b in ((some, none), (none, some), (none, none)):
        assert all(not e.size for e in duplicates.pairs(a, b, max_distance=31))


def test_what_are_no_hashes_is_refused():
    with pytest.raises(ValueError, match="hashes are uint8"):
        duplicates.distances(np.zeros((2, 8), np.uint8), random_hashes(2, 0))
    with pytest.raises(ValueError, match="hashes are uint8"):
        duplicates.Seen().find(b"short")
    with pytest.raises(ValueError, match="max_distance"):
        duplicates.pairs(random_hashes(1, 0), random_hashes(1, 0), max_distance=-1)


@pytest.mark.parametrize("make", [random_hashes, clustered, one_band])
@pytest.mark.parametrize("recent", [8, 64, 1000])
def test_seen_finds_the_earliest_as_brute_force_does(make, recent, monkeypatch):
    monkeypatch.setattr(duplicates, "_RECENT", recent)
    hashes = make(300, 4)
    hashes[200] = flipped(hashes[20], range(31))
    hashes[201] = flipped(hashes[21], range(0, 256, 8))  # 32 bits: not near
    hashes[202:220] = hashes[100]  # equal ones count in the numbering
    near = duplicates.distances(hashes, hashes) <= duplicates.MAX_DISTANCE
    seen = duplicates.Seen()
    for number, one in enumerate(hashes):
        earlier = np.flatnonzero(near[number, :number])
        expected = int(earlier[0]) if earlier.size else None
        assert seen.find(one.tobytes()) == expected
        seen.add(one.tobytes())
