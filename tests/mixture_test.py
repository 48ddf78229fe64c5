"""Host batches: their layout, and one stream for every start and worker count."""

import collections
import itertools
import os
import pathlib

import numpy as np
import PIL.Image
import pytest
import shard_jobs

from data_pipelines import dealing, mixture, shards, slices, sources

NUM_RECORDS = 36


def prepare(folder, pictures):
    (folder / "pictures").mkdir()
    for index, pixels in enumerate(pictures):
        PIL.Image.fromarray(pixels).save(folder / "pictures" / f"{index}.png")
    inputs = sources.expand(
        str(folder / "pictures"),
        dataset=None,
        context=slices.Context(modality="GM"),
        first=1,
    )
    job = shards.Job(
        inputs=inputs,
        out=folder / "shards",
        name="test",
        settings={"size": 48, "num_shards": 2},
        salt_key=bytes(32),
    )
    shard_jobs.write(job)
    return folder / "shards"


def random_pictures(*shape):
    rng = np.random.default_rng(0)
    return [rng.integers(1, 256, shape, np.uint8) for _ in range(NUM_RECORDS)]


@pytest.fixture(scope="module")
def grey(tmp_path_factory):
    return prepare(tmp_path_factory.mktemp("grey"), random_pictures(33, 40))


def batches(folder, count, *, global_batch=8, seed=1, start=0, num_workers=0, **more):
    stream = mixture.host_batches(
        folder,
        global_batch=global_batch,
        seed=seed,
        start=start,
        num_workers=num_workers,
        **more,
    )
    found = list(itertools.islice(stream, count))
    stream.close()
    return found


def test_layout(grey):
    (batch,) = batches(grey, 1)
    assert batch["image"].shape == (8, 48, 48, 1) and batch["image"].dtype == np.uint8
    assert batch["size"].tolist() == [[33, 40]] * 8 and batch["size"].dtype == np.int32
    assert batch["index"].shape == (8,) and batch["index"].dtype == np.int64
    assert batch["group"].shape == (8,) and batch["group"].dtype == np.int32
    assert len(set(batch["group"])) == 8  # each file is one of its own
    assert not batch["image"][:, 33:].any() and not batch["image"][:, :, 40:].any()
    assert batch["image"][:, :33, :40].all()


def test_grey_repeats_only_beside_colour(tmp_path):
    pictures = random_pictures(33, 40)
    pictures[0] = np.stack([pictures[0], pictures[1], pictures[2]], axis=-1)
    folder = prepare(tmp_path, pictures)
    (batch,) = batches(folder, 1, global_batch=NUM_RECORDS)
    images = batch["image"][np.argsort(batch["index"])]
    assert images.shape[-1] == 3
    is_grey = [(image[..., :1] == image).all() for image in images]
    assert is_grey.count(False) == 1


def test_an_epoch_holds_every_record_once_in_an_order_of_its_own(grey):
    first, second = batches(grey, 2, global_batch=NUM_RECORDS)
    for batch in (first, second):
        assert sorted(batch["index"]) == list(range(NUM_RECORDS))
    assert first["index"].tolist() != second["index"].tolist()


def test_batch_may_exceed_the_records(grey):
    (batch,) = batches(grey, 1, global_batch=2 * NUM_RECORDS)
    assert set(collections.Counter(batch["index"].tolist()).values()) == {2}


def test_seed_decides_the_order(grey):
    one, same, other = (
        batches(grey, 1, seed=seed)[0]["index"].tolist() for seed in (1, 1, 2)
    )
    assert one == same != other


@pytest.mark.parametrize(("start", "num_workers"), [(0, 1), (5, 0), (5, 1), (5, 2)])
def test_stream_is_one_for_every_start_and_worker_count(grey, start, num_workers):
    expected = batches(grey, 9)[start:]
    found = batches(grey, 9 - start, start=start, num_workers=num_workers)
    for one, other in zip(expected, found, strict=True):
        for key in ("image", "size", "index", "group"):
            np.testing.assert_array_equal(one[key], other[key])


@pytest.mark.parametrize("num_parts", [1, 2])
@pytest.mark.parametrize("num_processes", [2, 4])
def test_shares_of_processes_are_the_batch(grey, num_parts, num_processes):
    whole = batches(grey, 3, global_batch=16)
    shares = [
        batches(
            grey,
            2,
            global_batch=16,
            start=1,
            share=mixture.Share(num_parts, process, num_processes),
        )
        for process in range(num_processes)
    ]
    for number in range(2):
        for name in ("image", "size", "index"):
            blocks = [share[number][name] for share in shares]
            cut = [x.reshape(num_parts, -1, *x.shape[1:]) for x in blocks]
            joined = np.concatenate(cut, axis=1).reshape(16, *blocks[0].shape[1:])
            np.testing.assert_array_equal(joined, whole[number + 1][name])


def test_batch_that_does_not_cut_into_shares_is_refused(grey):
    with pytest.raises(ValueError, match=r"8 does not cut into 1 part\(s\) for 3"):
        batches(grey, 1, global_batch=8, share=mixture.Share(1, 0, 3))


def test_copies_are_crops_that_differ_between_epochs(grey):
    mix = mixture.Mix(weights="local=2", most_repeats=2)
    first, second = batches(grey, 2, global_batch=2 * NUM_RECORDS, mix=mix)
    assert set(collections.Counter(first["index"].tolist()).values()) == {2}
    assert (first["size"] == [33, 40]).all()
    (plain,) = batches(grey, 1, global_batch=NUM_RECORDS)
    original = plain["image"][np.argsort(plain["index"])]
    changed = []
    for batch in (first, second):
        images = batch["image"][np.argsort(batch["index"], kind="stable")]
        same = (images == original.repeat(2, axis=0)).all(axis=(1, 2, 3))
        assert same.reshape(-1, 2).sum(axis=1).tolist() == [1] * NUM_RECORDS
        changed.append(images[~same])
    assert (changed[0] != changed[1]).any(axis=(1, 2, 3)).all()
    again, _ = batches(grey, 2, global_batch=2 * NUM_RECORDS, mix=mix)
    np.testing.assert_array_equal(first["image"], again["image"])


def test_copies_meet_in_no_graph_and_shares_agree(grey):
    mix = mixture.Mix(weights="local=2", most_repeats=2, graph_size=4)
    (whole,) = batches(grey, 1, global_batch=32, mix=mix)
    assert len(set(whole["group"])) < 32  # some come twice
    assert not dealing.ambiguous(whole["group"], 4).any()
    half = [
        batches(grey, 1, global_batch=32, mix=mix, share=mixture.Share(1, process, 2))[
            0
        ]
        for process in range(2)
    ]
    joined = np.concatenate([each["image"] for each in half])
    np.testing.assert_array_equal(joined, whole["image"])


def test_first_images_are_spread_over_the_records(grey):
    found = mixture.first_images(grey, count=5)
    assert [(image.shape, modality) for image, modality in found] == [
        ((33, 40), "GM")
    ] * 5
    assert len({image.tobytes() for image, _ in found}) == 5
    assert len(mixture.first_images(grey, count=1000)) == NUM_RECORDS


def test_mistakes_are_refused(grey, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"manifest\.json"):
        batches(tmp_path, 1)
    with pytest.raises(ValueError, match="global_batch 0"):
        batches(grey, 1, global_batch=0)
    with pytest.raises(ValueError, match="graphs of 16"):
        batches(grey, 1, mix=mixture.Mix(graph_size=16))
    with pytest.raises(ValueError, match="no source 'chest'; there are local"):
        batches(grey, 1, mix=mixture.Mix(weights="chest=2"))


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_damaged_record_gives_its_place_to_the_next_and_is_told(
    tmp_path, capsys, num_workers
):
    folder = prepare(tmp_path, random_pictures(33, 40))
    shard = sorted(folder.glob("*.array_record"))[1]
    data = bytearray(shard.read_bytes())
    data[4000:4004] = bytes(4)  # within a record: the file is padded to 64 KB
    whole = {
        batch["index"][row]: batch["image"][row]
        for batch in batches(folder, 5)
        for row in range(8)
    }
    shard.write_bytes(bytes(data))
    stream = mixture.host_batches(
        folder, global_batch=8, seed=1, start=0, num_workers=num_workers
    )
    found = list(itertools.islice(stream, 5))
    stream.close()
    assert stream.num_damaged == 1 and "damaged" not in found[0]
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{shard}: record " in line and "is damaged" in line
    number = int(line.split(": record ")[1].split()[0]) + NUM_RECORDS // 2
    taken = np.concatenate([batch["index"] for batch in found])
    assert number not in taken and len(taken) == 40
    for batch in found:
        for index, image in zip(batch["index"], batch["image"], strict=True):
            np.testing.assert_array_equal(image, whole[index])


def _resident_bytes():
    """Of this process and its children."""
    pids, total = [os.getpid()], 0
    while pids:
        pid = pids.pop()
        tasks = pathlib.Path(f"/proc/{pid}/task")
        for task in tasks.iterdir():
            pids += map(int, (task / "children").read_text().split())
        pages = int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1])
        total += pages * os.sysconf("SC_PAGE_SIZE")
    return total


@pytest.mark.slow
@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.skipif(not pathlib.Path("/proc/self/statm").exists(), reason="Linux only")
def test_memory_stays_bounded_over_a_long_run(tmp_path, num_workers):
    """800,000 images, 22,000 epochs: a byte an image kept would be seen in MB."""
    folder = prepare(tmp_path, random_pictures(33, 40))
    stream = mixture.host_batches(
        folder, global_batch=80, seed=1, start=0, num_workers=num_workers
    )
    seen = []
    for number in range(10_000):
        next(stream)
        if number % 1000 == 999:
            seen.append(_resident_bytes())
    stream.close()
    print([round(each / 2**20, 1) for each in seen])
    assert max(seen[5:]) - max(seen[1:5]) < 4 * 2**20
