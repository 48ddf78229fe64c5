"""What batches cost besides decoding, and which encoding of a record decodes fastest.

    python benchmarks/pipeline.py
    python benchmarks/pipeline.py --quick
    python benchmarks/pipeline.py --step      also the training step, fed and unfed

Records are crops of a real fundus photograph, green channel or colour. A rate a core is
images over seconds of CPU, all threads together, so that other work on the machine
hardly changes it. The bare decoder decodes the same bytes, which lie in memory, in as
many threads. With PyTorch installed (requirements-torch.txt) its DataLoader reads the
same shards beside ours. The step is that of ResNet-18 at 96 pixels; two programs take
turns.
"""

import argparse
import concurrent.futures
import contextlib
import importlib.metadata
import importlib.util
import io
import itertools
import json
import pathlib
import sys
import tempfile
import time
from collections.abc import Callable

import imagecodecs
import numpy as np
import PIL.Image
import skimage.data

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from data_pipelines import mixture, pool, records, shards, slices, sources

_BATCH = 64
_SIZES = (224, 384, 512)
_MIX = mixture.Mix(graph_size=16)
_STEP = {
    "model.encoder": "resnet18",
    "model.dtype": "float32",  # a CPU only emulates bfloat16
    "views.size": 96,
    "data.global_batch": _BATCH,
    "train.num_evaluation_images": _BATCH,
}


def main(argv: list[str] | None = None) -> None:
    """Measures, prints tables, and with --json one object on the last line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="224 px only, under 50 s")
    parser.add_argument("--step", action="store_true", help="the training step too")
    parser.add_argument("--json", action="store_true", help="one object, last line")
    options = parser.parse_args(argv)
    sizes = _SIZES[:1] if options.quick else _SIZES
    count, rounds = (128, 3) if options.quick else (256, 5)
    rows = {}
    for size, channels in itertools.product(sizes, (1, 3)):
        with tempfile.TemporaryDirectory() as name:
            pictures = crops(size, channels, count)
            folder = make(pathlib.Path(name), pictures, size)
            rows[f"{size} px, {'colour' if channels == 3 else 'grey'}"] = {
                "encodings": encodings(pictures, rounds),
                **measure(folder, rounds),
            }
    for name, row in rows.items():
        print_row(name, row)
    main_row = rows["224 px, grey"]
    found = {
        "images_per_second_core": main_row["images_per_second_core"],
        "decoder_images_per_second_core": main_row["decoder_images_per_second_core"],
        "overhead_microseconds": main_row["overhead_microseconds"],
        "rows": rows,
        "cores": pool.usable_cores(),
        **{name: importlib.metadata.version(name) for name in ("grain", "imagecodecs")},
    }
    if options.step:
        found["step"] = step_ratio(rounds)
        print("  ".join(f"{name} {value:.4g}" for name, value in found["step"].items()))
    if options.json:
        print(json.dumps(found))


def crops(size: int, channels: int, count: int) -> list[np.ndarray]:
    """Different square pieces of the photograph."""
    photograph, rng = skimage.data.retina(), np.random.default_rng(0)
    corners = rng.integers(0, len(photograph) - size, (count, 2))
    pieces = [photograph[y : y + size, x : x + size] for y, x in corners]
    return [piece if channels == 3 else piece[..., 1] for piece in pieces]


def make(folder: pathlib.Path, pictures: list[np.ndarray], size: int) -> pathlib.Path:
    """Shards of the pictures, as `prepare` makes them."""
    (folder / "pictures").mkdir()
    for number, pixels in enumerate(pictures):
        PIL.Image.fromarray(pixels).save(folder / "pictures" / f"{number}.bmp")
    inputs = sources.expand(
        str(folder / "pictures"),
        dataset=None,
        context=slices.Context(modality="OP", size=size),
        first=1,
    )
    settings = {"size": size, "num_shards": 8}
    job = shards.Job(inputs, folder / "shards", "local", settings, bytes(32))
    shards.write(job, num_workers=0, limits=pool.Limits(), progress=lambda done: None)
    return job.out


def encodings(pictures: list[np.ndarray], rounds: int) -> dict[str, dict[str, float]]:
    """Images decoded a second of CPU, and the share of raw bytes that are stored."""
    some = pictures[:64]
    raw = sum(pixels.nbytes for pixels in some)
    found = {}
    for name, (encode, decode) in _codecs(some[0].shape).items():
        stored = [encode(pixels) for pixels in some]
        seconds = cpu_seconds(lambda: [*map(decode, stored)], rounds)  # noqa: B023
        found[name] = {
            "images_per_second_core": len(stored) / seconds,
            "size": sum(map(len, stored)) / raw,
        }
    return found


def _codecs(shape) -> dict[str, tuple[Callable, Callable]]:
    """What a record's image could be stored as: (encoder, decoder) of each."""

    def decode_raw(data):
        return np.frombuffer(imagecodecs.zstd_decode(data), np.uint8).reshape(shape)

    def decode_filtered(data):
        pixels = decode_raw(data).copy()
        pixels[:, 0] = np.cumsum(pixels[:, 0], axis=0, dtype=np.uint8)
        return np.cumsum(pixels, axis=1, dtype=np.uint8, out=pixels)

    return {
        "PNG (stored)": (records.png, imagecodecs.png_decode),
        "PNG, Pillow": (records.png, _pillow),
        "WebP lossless": (_webp, imagecodecs.webp_decode),
        "JPEG 95": (_jpeg, imagecodecs.jpeg8_decode),
        "JPEG 95, Pillow": (_jpeg, _pillow),
        "raw, zstd": (_zstd, decode_raw),
        "differences, zstd": (
            lambda pixels: _zstd(_filtered(pixels)),
            decode_filtered,
        ),
    }


def _pillow(data: bytes) -> np.ndarray:
    with PIL.Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture)


def _webp(pixels: np.ndarray) -> bytes:
    colour = pixels if pixels.ndim == 3 else np.stack([pixels] * 3, axis=-1)
    return imagecodecs.webp_encode(np.ascontiguousarray(colour), lossless=True)


def _jpeg(pixels: np.ndarray) -> bytes:
    return imagecodecs.jpeg8_encode(np.ascontiguousarray(pixels), level=95)


def _zstd(pixels: np.ndarray) -> bytes:
    return imagecodecs.zstd_encode(np.ascontiguousarray(pixels).tobytes(), level=9)


def _filtered(pixels: np.ndarray) -> np.ndarray:
    """Differences to the left neighbour; in the first column to the one above."""
    found = pixels.copy()
    found[:, 1:] -= pixels[:, :-1]
    found[1:, 0] -= pixels[:-1, 0]
    return found


def measure(folder: pathlib.Path, rounds: int) -> dict:
    """The pipeline beside the bare decoder, and beside PyTorch's where it is there."""
    found = mixture.read_manifest(folder)
    source = mixture.read_records(folder, found)
    stored = [records.decode(source[number]).image for number in range(len(source))]
    with concurrent.futures.ThreadPoolExecutor(pool.usable_cores()) as threads:
        bare = cpu_seconds(
            lambda: [*threads.map(imagecodecs.png_decode, stored, chunksize=16)], rounds
        )
    bare /= len(stored)
    with _stream(folder, 0) as batches:
        ours = cpu_seconds(lambda: next(batches), 4 * rounds) / _BATCH
    per_second = {
        "ours, threads": _images_per_second(lambda: _stream(folder, 0), rounds),
        "ours, 2 processes": _images_per_second(lambda: _stream(folder, 2), rounds),
    }
    if importlib.util.find_spec("torch"):
        for workers in (0, 2):
            name = f"PyTorch DataLoader, {workers} processes"
            loader = _torch_loader(source, found["size"], found["channels"], workers)
            per_second[name] = _images_per_second(lambda: loader, rounds)  # noqa: B023
    return {
        "images_per_second_core": 1 / ours,
        "decoder_images_per_second_core": 1 / bare,
        "overhead_microseconds": (ours - bare) * 1e6,
        "read_microseconds": _reads(source, rounds),
        "images_per_second": per_second,
    }


def _reads(source, rounds: int) -> dict[str, float]:
    """Microseconds of CPU a record, undecoded and in a random order."""
    order = np.random.default_rng(0).permutation(len(source))[:_BATCH].tolist()
    ways = {
        "one by one": lambda: [source[number] for number in order],
        f"{_BATCH} at once": lambda: source.__getitems__(order),
    }
    return {
        name: cpu_seconds(way, 10 * rounds) / len(order) * 1e6
        for name, way in ways.items()
    }


def _stream(folder: pathlib.Path, num_workers: int) -> contextlib.closing:
    return contextlib.closing(
        mixture.host_batches(
            folder,
            global_batch=_BATCH,
            seed=0,
            start=0,
            num_workers=num_workers,
            mix=_MIX,
        )
    )


def _images_per_second(opened: Callable, rounds: int) -> float:
    """By the clock, after what was read ahead is used up."""
    with opened() as batches:
        for _ in range(8):
            next(batches)
        count, began = 4 * rounds, time.perf_counter()
        for _ in range(count):
            next(batches)
        return count * _BATCH / (time.perf_counter() - began)


def _torch_loader(source, size, channels, num_workers):
    """Batches without end of a shuffled data set that pads as ours does."""
    import torch

    class Pictures(torch.utils.data.Dataset):
        def __len__(self):
            return len(source)

        def __getitem__(self, number):
            pixels = _pillow(records.decode(source[number]).image)
            padded = np.zeros((size, size, channels), np.uint8)
            height, width = pixels.shape[:2]
            padded[:height, :width] = pixels.reshape(height, width, -1)
            return torch.from_numpy(padded)

    loader = torch.utils.data.DataLoader(
        Pictures(), _BATCH, shuffle=True, drop_last=True, num_workers=num_workers
    )
    return contextlib.nullcontext(
        itertools.chain.from_iterable(itertools.repeat(loader))
    )


def cpu_seconds(program: Callable[[], object], rounds: int) -> float:
    """Mean seconds of CPU of a call, all threads of this process together.

    The mean, since calls differ where threads work ahead.
    """
    program()
    began = time.process_time()
    for _ in range(rounds):
        program()
    return (time.process_time() - began) / rounds


def step_ratio(rounds: int) -> dict[str, float]:
    """Seconds of a training step with one batch again and again, and with new ones."""
    import jax

    from benchmarks import turns
    from lvmmed_jax import config_files, planning
    from lvmmed_jax.train import sharding

    config = config_files.load("lvmmed_resnet50", _STEP)
    plan = planning.make(config, sharding.make_mesh(1))
    now = [planning.first_state(plan)]
    with tempfile.TemporaryDirectory() as name:
        folder = make(pathlib.Path(name), crops(128, 3, 128), 128)
        with _stream(folder, 0) as batches:
            fixed = next(batches)

            def stepper(next_batch):
                def program():
                    parts = sharding.put_parts(next_batch(), plan.mesh, 1)
                    now[0], metrics = plan.step_fn(now[0], parts)
                    return metrics

                return program

            programs = {
                "fixed_batch_seconds": stepper(lambda: fixed),
                "fed_seconds": stepper(lambda: next(batches)),
            }
            found = turns.medians(programs, 3 * rounds)
    found["ratio"] = found["fed_seconds"] / found["fixed_batch_seconds"]
    return {**found, "devices": jax.device_count()}


def print_row(name: str, row: dict) -> None:
    """One size: the encodings, and what a batch costs."""
    print(f"\n{name}")
    for encoding, each in row["encodings"].items():
        rate, size = each["images_per_second_core"], each["size"]
        print(f"  {encoding:<20} {rate:8.0f} images/s a core  {size:5.2f} of the bytes")
    share = row["images_per_second_core"] / row["decoder_images_per_second_core"]
    print(
        f"  batches: {row['images_per_second_core']:.0f} images/s a core, "
        f"{share:.0%} of the bare decoder, {row['overhead_microseconds']:.0f} "
        "microseconds an image besides"
    )
    for way, cost in row["read_microseconds"].items():
        print(f"  reading records {way:<18} {cost:8.1f} microseconds each")
    for peer, rate in row["images_per_second"].items():
        print(f"  {peer:<34} {rate:8.0f} images/s")


if __name__ == "__main__":
    main()
