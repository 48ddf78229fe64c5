"""What the perceptual hash finds, what it confuses, and how fast the search is.

    python benchmarks/near_duplicates.py --data $DATA

$DATA holds `hippocampus/` (Medical Segmentation Decathlon, task 4), `nuclei/` (Data
Science Bowl 2018), `bccd/`, `breast_ultrasound/` (BUSI) and `brain_tumor_mri/` (a
Kaggle mixture); an absent one is left out. Images are made grey. Two images count as
the same where their 32x32 thumbnails correlate above 0.97. Sets that name no patients
hold neighbouring slices of one patient, which are near and often not the same by that
test; so pairs across groups are counted too: volumes of different patients, and
images of different classes where patients are unknown.
"""

import argparse
import importlib.metadata
import io
import json
import pathlib
import sys
import time

import numpy as np
import PIL.Image

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from data_pipelines import duplicates, intensity
from data_pipelines.readers import nifti, volumes

_SAME = 0.97
_MR = intensity.rule_for(modality="MR", organ=None, hounsfield=False)
_PROMISED = 15  # the first of CHANGES; the others are only measured


def main(argv: list[str] | None = None) -> None:
    """Measures, prints tables, and with --json one object on the last line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--quick", action="store_true", help="fewer, under 50 s")
    parser.add_argument("--json", action="store_true", help="one object, last line")
    options = parser.parse_args(argv)
    sets = read(options.data)
    if not sets:
        parser.error(f"{options.data}: none of the data sets is there")
    alarms, recalls = {}, {}
    for name, (images, groups) in sets.items():
        alarms[name] = false_alarms(images, groups)
        recalls[name] = recall(images, 40 if options.quick else 200)
    print(f"at most {duplicates.MAX_DISTANCE} of {8 * duplicates.NUM_BYTES} bits")
    print_alarms(alarms)
    print_recalls(recalls)
    speed = search_speed(*((50_000, 2_000) if options.quick else (200_000, 10_000)))
    print(", ".join(f"{name} {value:,.4g}" for name, value in speed.items()))
    if options.json:
        packages = ("numpy", "scipy", "pillow")
        versions = {name: importlib.metadata.version(name) for name in packages}
        found = {"max_distance": duplicates.MAX_DISTANCE, "false_alarms": alarms}
        print(json.dumps({**found, "recall": recalls, "search": speed, **versions}))


def read(folder: pathlib.Path) -> dict:
    """Grey images of each set, and the group of each: never two of one patient.

    A group is a class where patients are unknown, or one volume.
    """
    sets = {}
    for name, pattern in {
        "brain_tumor_mri": "*/*.jpg",
        "breast_ultrasound": "*/*.png",
        "nuclei": "images/*.png",
        "bccd": "images/*",
    }.items():
        paths = sorted((folder / name).glob(pattern))
        grey = [np.asarray(PIL.Image.open(path).convert("L")) for path in paths]
        sets[name] = grey, [path.parent.name for path in paths]
    scans = sorted((folder / "hippocampus" / "images").glob("*.nii.gz"))
    scaled = [intensity.to_uint8(nifti.load(path)[0], _MR) for path in scans]
    for plane, axis in volumes.PLANES.items():
        middle = [volumes.cut(one, plane, one.shape[axis] // 2) for one in scaled]
        sets[f"hippocampus, {plane}"] = middle, list(range(len(volumes)))
    return {name: value for name, value in sets.items() if value[0]}


def false_alarms(images: list[np.ndarray], groups: list) -> dict[str, float]:
    """Counts of near pairs, by thumbnails and by groups."""
    hashes = hashes_of(images)
    i, j, _ = duplicates.pairs(hashes, hashes, max_distance=duplicates.MAX_DISTANCE)
    i, j = i[i < j], j[i < j]
    thumbnails = np.stack([thumbnail(one) for one in images])
    same = np.triu(thumbnails @ thumbnails.T > _SAME, 1)
    false = ~same[i, j]
    _, numbers = np.unique(np.array(groups), return_inverse=True)
    across = numbers[i] != numbers[j]
    sizes = np.bincount(numbers)
    all_across = (len(images) ** 2 - np.sum(sizes**2)) // 2
    return {
        "images": len(images),
        "near_pairs": len(i),
        "same_pairs": int(same.sum()),
        "both": int(len(i) - false.sum()),
        "false_pair_share": float(false.sum() / (len(images) * (len(images) - 1) / 2)),
        "false_image_share": share(i, j, false, len(images)),
        "across_pairs": int(all_across),
        "across_near": int(across.sum()),
        "across_false": int((across & false).sum()),
        "across_false_image_share": share(i, j, across & false, len(images)),
    }


def share(i: np.ndarray, j: np.ndarray, chosen: np.ndarray, count: int) -> float:
    """The share of `count` images that stand in a chosen pair."""
    return len(np.union1d(i[chosen], j[chosen])) / count


def recall(images: list[np.ndarray], count: int) -> dict[str, dict[str, float]]:
    """Of each change: share of images found again, largest and 99 % distance."""
    chosen = np.random.default_rng(0).permutation(len(images))[:count]
    chosen = [images[number] for number in chosen]
    hashes = hashes_of(chosen)
    found = {}
    for name, change in CHANGES.items():
        changed = hashes_of([change(one) for one in chosen])
        bits = np.bitwise_count(hashes ^ changed).sum(axis=1)
        found[name] = {
            "recall": float(np.mean(bits <= duplicates.MAX_DISTANCE)),
            "percentile_99": float(np.percentile(bits, 99)),
            "largest": int(bits.max()),
        }
    return found


def search_speed(count: int, num_others: int) -> dict[str, float]:
    """Seconds and rates on random hashes, and on those that are alike in many bits."""
    rng = np.random.default_rng(0)
    speed = {"count": count, "others": num_others}
    for name, chance in {"random": 0.5, "skewed": 0.2}.items():
        # a bit of a modality is one in some share of its images
        odds = rng.choice([chance, 1 - chance], 8 * duplicates.NUM_BYTES)
        hashes, others = (
            np.packbits(rng.random((size, len(odds)), np.float32) < odds, axis=1)
            for size in (count, num_others)
        )
        start = time.perf_counter()
        duplicates.pairs(hashes, others, max_distance=duplicates.MAX_DISTANCE)
        speed[f"pairs_seconds_{name}"] = time.perf_counter() - start
        seen = duplicates.Seen()
        start = time.perf_counter()
        for one in hashes[: count // 2]:
            seen.find(one.tobytes())
            seen.add(one.tobytes())
        rate = (count // 2) / (time.perf_counter() - start)
        speed[f"seen_per_second_{name}"] = rate
    image = rng.integers(0, 256, (224, 224), dtype=np.uint8)
    start = time.perf_counter()
    for _ in range(200):
        duplicates.near_hash(image)
    speed["hash_microseconds_224"] = 1e6 * (time.perf_counter() - start) / 200
    return speed


def hashes_of(images: list[np.ndarray]) -> np.ndarray:
    """[n, NUM_BYTES], uint8."""
    joined = b"".join(duplicates.near_hash(one) for one in images)
    return np.frombuffer(joined, np.uint8).reshape(-1, duplicates.NUM_BYTES)


def thumbnail(pixels: np.ndarray) -> np.ndarray:
    """[1024] of mean 0 and length 1: products of two are correlations."""
    grey = PIL.Image.fromarray(pixels.astype(np.float32))
    small = np.asarray(grey.resize((32, 32), PIL.Image.Resampling.BOX)).ravel()
    small = small - small.mean()
    return small / max(np.linalg.norm(small), 1e-6)


def print_alarms(alarms: dict) -> None:
    """The table of `false_alarms`."""
    print("same: thumbnails correlate; false: near and not same; across: other groups")
    print(f"{'':22}images   near   same   both  false images  false pairs  ", end="")
    print("across: pairs, near, false, false images")
    for name, each in alarms.items():
        print(
            f"{name:22}{each['images']:6}{each['near_pairs']:7}{each['same_pairs']:7}"
            f"{each['both']:7}{each['false_image_share']:14.2%}"
            f"{each['false_pair_share']:13.5%}{each['across_pairs']:15,}"
            f"{each['across_near']:6}{each['across_false']:7}"
            f"{each['across_false_image_share']:9.2%}"
        )


def print_recalls(recalls: dict) -> None:
    """The table of `recall`: percentages found, with the largest distance."""
    print("found again, % (largest distance in bits)")
    print(" " * 18 + "".join(f"{name[-12:]:>14}" for name in recalls))
    for number, change in enumerate(CHANGES):
        if number == _PROMISED:
            print("only measured, not promised:")
        cells = (each[change] for each in recalls.values())
        print(
            f"{change:18}"
            + "".join(f"{100 * c['recall']:8.1f} ({c['largest']:3})" for c in cells)
        )


def _jpeg(quality):
    def change(pixels):
        file = io.BytesIO()
        PIL.Image.fromarray(pixels).save(file, "JPEG", quality=quality)
        return np.asarray(PIL.Image.open(file))

    return change


def _resized(factor, bound):
    """By the factor, or so that the longer side is the bound where it is larger."""

    def change(pixels):
        height, width = pixels.shape
        scale = factor or min(1, bound / max(height, width))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        bicubic = PIL.Image.Resampling.BICUBIC
        return np.asarray(PIL.Image.fromarray(pixels).resize(size, bicubic))

    return change


def _mapped(function):
    def change(pixels):
        values = function(pixels.astype(np.float32))
        return np.clip(np.round(values), 0, 255).astype(np.uint8)

    return change


def _cropped(part):
    def change(pixels):
        height, width = pixels.shape
        top, left = round(height * (1 - part) / 2), round(width * (1 - part) / 2)
        return pixels[top : height - top, left : width - left]

    return change


def _rotated(pixels):
    bicubic = PIL.Image.Resampling.BICUBIC
    return np.asarray(PIL.Image.fromarray(pixels).rotate(2, bicubic))


CHANGES = {
    "JPEG 50": _jpeg(50),
    "JPEG 75": _jpeg(75),
    "JPEG 95": _jpeg(95),
    "size x 0.5": _resized(0.5, None),
    "size x 2": _resized(2, None),
    "at most 96 px": _resized(None, 96),
    "at most 64 px": _resized(None, 64),
    "brightness -20": _mapped(lambda x: x - 20),
    "brightness +20": _mapped(lambda x: x + 20),
    "scale 0.8": _mapped(lambda x: 0.8 * x),
    "scale 1.25": _mapped(lambda x: 1.25 * x),
    "contrast 0.8": _mapped(lambda x: 128 + 0.8 * (x - 128)),
    "contrast 1.25": _mapped(lambda x: 128 + 1.25 * (x - 128)),
    "gamma 0.8": _mapped(lambda x: 255 * (x / 255) ** 0.8),
    "gamma 1.25": _mapped(lambda x: 255 * (x / 255) ** 1.25),
    "mirrored": lambda pixels: np.ascontiguousarray(pixels[:, ::-1]),
    "rotated by 2 deg": _rotated,
    "crop to 95 %": _cropped(0.95),
    "crop to 90 %": _cropped(0.9),
    "crop to 80 %": _cropped(0.8),
}


if __name__ == "__main__":
    main()
