"""Labelled batches: layout, one stream for all readers, balance, test order."""

import itertools

import numpy as np
import pytest
from labelled_files import (
    class_folders,
    masks,
    npz,
    picture,
    save,
    surveyed,
    voc,
    volumes,
)

from data_pipelines.labels import batches, fitting

FORM = batches.Form(side=24, channels=1, keep_aspect=True)
ALL = batches.Share(0, 1)


def train(found, count, *, rows=None, **changes):
    options = {
        "form": FORM,
        "global_batch": 4,
        "balance": "none",
        "seed": 0,
        "start": 0,
        "num_workers": 0,
        "share": ALL,
        **changes,
    }
    rows = np.arange(len(found.looks)) if rows is None else rows
    return taken(batches.train_batches(found, rows, **options), count)


def in_order(found, *, rows=None, global_batch=4, num_workers=0, share=ALL, form=FORM):
    rows = np.arange(len(found.looks)) if rows is None else rows
    stream = batches.test_batches(
        found,
        rows,
        form=form,
        global_batch=global_batch,
        num_workers=num_workers,
        share=share,
    )
    return taken(stream, None)


def taken(stream, count):
    batches = list(itertools.islice(stream, count))
    stream.close()
    return batches


def equal(one, other):
    assert len(one) == len(other) > 0
    for a, b in zip(one, other, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            np.testing.assert_array_equal(a[name], b[name])


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    return surveyed(class_folders(tmp_path_factory.mktemp("c"), a=8, b=3))


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    root = tmp_path_factory.mktemp("v")
    return surveyed(volumes(root / "d", 3), cache=root / "cache")


def test_classes(classes):
    (batch,) = train(classes, 1, global_batch=11)
    shapes = {name: (x.shape, x.dtype.name) for name, x in batch.items()}
    assert shapes == {
        "image": ((11, 24, 24, 1), "uint8"),
        "inner": ((11, 2), "int32"),
        "size": ((11, 2), "int32"),
        "index": ((11,), "int64"),
        "label": ((11,), "int32"),
    }
    assert batch["inner"].tolist() == [[20, 24]] * 11  # of 40 x 48
    assert batch["size"].tolist() == [[40, 48]] * 11
    assert not batch["image"][:, 20:].any()
    assert sorted(batch["index"]) == list(range(11))
    assert batch["label"].tolist() == [int(index >= 8) for index in batch["index"]]
    first = batch["image"][batch["index"].tolist().index(0)]
    assert (first == fitting.image(picture(0), 24, 1, keep_aspect=True)).all()


def test_several_labels(tmp_path):
    path = npz(tmp_path / "a.npz", {"train": [[0, 1, 1]], "test": [[0, 0, 0]]})
    (batch,) = in_order(surveyed(path), global_batch=2)
    assert batch["label"].tolist() == [[0, 1, 1], [0, 0, 0]]
    assert batch["label"].dtype == np.float32


def test_masks_and_foreground(tmp_path):
    found = surveyed(masks(tmp_path, 8))
    (batch,) = in_order(found, global_batch=8)
    assert batch["mask"].shape == (8, 24, 24) and batch["mask"].dtype == np.int32
    # rows 5 to 15 and columns 10 to 30 at half the size, each odd image
    expected = np.zeros((24, 24), int)
    expected[2:7, 5:15] = 1
    assert all(
        (mask == (k % 2) * expected).all() for k, mask in enumerate(batch["mask"])
    )
    rows = np.array([0, 2, 4, 6, 1])
    drawn = train(found, 4, rows=rows, global_batch=3, balance="foreground")
    has = np.concatenate([batch["mask"].any(axis=(1, 2)) for batch in drawn])
    assert has[:6].sum() == 3 and has[6:].sum() == 3  # epochs of 6 draws


def test_boxes_are_padded(tmp_path):
    for index, boxes in enumerate([[], [(0, 0, 40, 48, "b"), (4, 8, 12, 16, "a")]]):
        save(tmp_path / "images" / f"{index}.png", picture(index))
        voc(tmp_path / "annotations" / f"{index}.xml", boxes)
    (batch,) = in_order(surveyed(tmp_path), global_batch=2)
    assert batch["boxes"].dtype == np.float32 and batch["classes"].dtype == np.int32
    assert batch["boxes"].tolist() == [
        [[-1] * 4, [-1] * 4],
        [[0, 0, 20, 24], [2, 4, 6, 8]],
    ]
    assert batch["classes"].tolist() == [[-1, -1], [1, 0]]


def test_slices_know_their_place_and_stack_back(scans):
    batches = in_order(scans, global_batch=4, form=FORM._replace(side=64))
    rows = [
        (volume, index, fitting.original_mask(mask, tuple(size), keep_aspect=True))
        for batch in batches
        for volume, index, mask, size, is_valid in zip(
            *(batch[name] for name in ("volume", "slice", "mask", "size", "is_valid")),
            strict=True,
        )
        if is_valid
    ]
    assert [row[:2] for row in rows] == [(v, k) for v in range(3) for k in range(5)]
    for (_, _, mask), example in zip(rows, scans.listing.examples, strict=True):
        stored = scans.decoder.mask(example.mask).values
        assert (np.array([0, 3, 7])[mask] == stored).all()


@pytest.mark.parametrize(("start", "num_workers"), [(0, 1), (3, 0), (3, 2)])
def test_stream_is_one_for_every_start_and_worker_count(scans, start, num_workers):
    options = {"balance": "foreground", "seed": 3}
    whole = train(scans, 7, **options)
    part = train(scans, 7 - start, start=start, num_workers=num_workers, **options)
    equal(whole[start:], part)


def test_shares_of_processes_are_the_batch(classes):
    for stream_of in (
        lambda share: train(classes, 5, share=share, balance="classes"),
        lambda share: in_order(classes, share=share),
    ):
        whole = stream_of(ALL)
        shares = [stream_of(batches.Share(k, 2)) for k in range(2)]
        joined = [
            {name: np.concatenate([a[name], b[name]]) for name in a}
            for a, b in zip(*shares, strict=True)
        ]
        equal(whole, joined)


def test_balanced_classes(classes):
    drawn = train(classes, 3, global_batch=12, balance="classes")  # epochs of 2 * 6
    assert [batch["label"].sum() for batch in drawn] == [6, 6, 6]


def test_test_data_come_once_in_order_and_the_rest_does_not_count(classes):
    for num_workers in (0, 1):
        batches = in_order(
            classes, rows=np.array([9, 2, 5, 7, 1]), num_workers=num_workers
        )
        assert [batch["index"].tolist() for batch in batches] == [
            [9, 2, 5, 7],
            [1, 1, 1, 1],
        ]
        assert [batch["is_valid"].tolist() for batch in batches] == [
            [True] * 4,
            [True, False, False, False],
        ]


def test_a_file_that_broke_since_is_named_by_number(tmp_path):
    found = surveyed(class_folders(tmp_path, a=2, b=2))
    (tmp_path / "b" / "1.png").write_bytes(b"gone bad")
    with pytest.raises(ValueError, match=r"b: #0002 [0-9a-f]{12} was readable before"):
        in_order(found)


def test_mistakes_are_refused(classes, scans):
    with pytest.raises(ValueError, match="balance 'evenly': must be one of none, cl"):
        train(classes, 1, balance="evenly")
    with pytest.raises(ValueError, match="'foreground' is for masks"):
        train(classes, 1, balance="foreground")
    with pytest.raises(ValueError, match="masks take 'foreground'"):
        train(scans, 1, balance="classes")
    with pytest.raises(ValueError, match="global_batch 0"):
        train(classes, 1, global_batch=0)
    with pytest.raises(ValueError, match="4 does not cut for 3 processes"):
        train(classes, 1, share=batches.Share(0, 3))
    with pytest.raises(ValueError, match="1 or 3 channels"):
        train(classes, 1, form=FORM._replace(channels=2))
    with pytest.raises(ValueError, match="0 rows"):
        in_order(classes, rows=np.arange(0))
