"""Splits: by groups and classes, fixed once, refused where they no longer fit."""

import collections
import hashlib
import json

import numpy as np
import pytest
from labelled_files import class_folders, masks, npz, picture, save, surveyed

from data_pipelines.labels import examples, groups, splits

SHARES = splits.Shares(val=0.25, test=0.25)
SALT = bytes(32)


def decide(found, path, *, salt=SALT, shares=SHARES, seed=0):
    joined = groups.find(found, near=True)
    return splits.decide(
        found, joined, path=path, salt_key=salt, shares=shares, seed=seed
    )


def keys(count):
    return [hashlib.sha256(str(number).encode()).digest() for number in range(count)]


def test_a_share_of_each_stratum_is_taken():
    strata = ["a"] * 40 + ["b"] * 8 + ["c"] * 2 + ["d"]
    taken = splits.take(keys(51), strata, share=0.25, seed=0)
    times = collections.Counter(np.array(strata)[taken].tolist())
    assert times == {"a": 10, "b": 2, "c": 1}
    assert not splits.take(keys(51), strata, share=0, seed=0).any()
    left = ~splits.take(keys(51), strata, share=0.9, seed=0)
    assert set(np.array(strata)[left].tolist()) == set("abcd")


def test_what_is_taken_does_not_depend_on_the_order():
    own, strata = keys(30), ["a", "b"] * 15
    taken = splits.take(own, strata, share=0.3, seed=5)
    turned = splits.take(own[::-1], strata[::-1], share=0.3, seed=5)
    assert (taken == turned[::-1]).all()
    assert (taken != splits.take(own, strata, share=0.3, seed=6)).any()


def test_few_labels_are_nested():
    own, strata = keys(200), ["a"] * 150 + ["b"] * 47 + ["c"] * 3
    before = np.zeros(200, bool)
    for share, expected in ((0.01, 2), (0.05, 8), (0.1, 15), (0.25, 38), (1.0, 150)):
        few = splits.subset(own, strata, share=share, per_class=None, seed=1)
        assert (few >= before).all()
        assert few[:150].sum() == expected and few[197:].any()
        before = few
    assert before.all()
    one, five = (
        splits.subset(own, strata, share=None, per_class=count, seed=1)
        for count in (1, 5)
    )
    assert (five >= one).all() and one.sum() == 3 and five.sum() == 5 + 5 + 3


def test_few_labels_keep_equal_keys_together():
    own = [keys(20)[number // 5] for number in range(100)]  # 20 volumes of 5 slices
    few = splits.subset(own, [""] * 100, share=0.1, per_class=None, seed=0)
    assert few.reshape(20, 5).all(axis=1).sum() == 2 and few.sum() == 10
    for share, count in ((None, None), (0.5, 3), (0.0, None), (1.5, None), (None, 0)):
        with pytest.raises(ValueError, match="few labels"):
            splits.subset(own, [""] * 100, share=share, per_class=count, seed=0)


def test_groups_stand_on_one_side_and_classes_are_spread(tmp_path):
    for index in range(60):
        save(tmp_path / f"{index}.png", picture(index))
    rows = [f"{i}.png,{'ab'[i % 10 == 0]},{i // 2}" for i in range(60)]
    table = tmp_path / "a.csv"
    table.write_text("path,label,group\n" + "\n".join(rows) + "\n")
    found = surveyed(table)
    split = decide(found, tmp_path / "splits.json")
    assert (split.parts.reshape(30, 2) == split.parts.reshape(30, 2)[:, :1]).all()
    # b is in 6 of the 30 groups: 2 (1.5 rounded) to test on, 1 of 4 for val
    groups_of_b = split.parts[::10]
    assert collections.Counter(groups_of_b) == {"train": 3, "test": 2, "val": 1}
    # a in 24: 6 to test on, 6 of the other 18 for val
    assert collections.Counter(split.parts) == {"train": 30, "test": 16, "val": 14}


def test_a_split_is_fixed_once_and_holds_keyed_hashes_only(tmp_path):
    found = surveyed(class_folders(tmp_path / "d", a=8, b=8))
    path = tmp_path / "w" / "splits.json"
    first = decide(found, path)
    text = path.read_text()
    assert (decide(found, path).parts == first.parts).all() and path.read_text() == text
    held = json.loads(text)
    assert sum(len(held[part]) for part in examples.PARTS) == 16
    contents = {look.content.hex()[:32] for look in found.looks}
    assert not contents & set(held["train"] + held["val"] + held["test"])
    other = decide(found, tmp_path / "other.json", salt=bytes([1] * 32))
    assert (other.parts == first.parts).all()  # the salt decides no number
    assert not set(json.loads((tmp_path / "other.json").read_text())["test"]) & set(
        held["test"]
    )


def test_new_groups_are_dealt_and_counted_and_old_ones_stay(tmp_path):
    data = class_folders(tmp_path / "d", a=8, b=8)
    path = tmp_path / "splits.json"
    before = decide(surveyed(data), path).parts
    for index in range(8):
        save(data / "a" / f"{50 + index}.png", picture(200 + index))
    after = decide(surveyed(data), path)
    assert (np.delete(after.parts, range(8, 16)) == before).all()
    assert examples.counts(after.notes) == {splits.NEW: 8}
    assert collections.Counter(after.parts[8:16]) == {"train": 4, "test": 2, "val": 2}
    again = decide(surveyed(data), path)
    assert (again.parts == after.parts).all() and not again.notes


def test_a_new_copy_joins_its_original(tmp_path):
    data = class_folders(tmp_path / "d", a=12)
    path = tmp_path / "splits.json"
    before = decide(surveyed(data), path).parts
    for index in range(12):
        copy = np.minimum(picture(index).astype(int) + 6, 255).astype(np.uint8)
        save(data / "a" / f"{12 + index}.png", copy)
    after = decide(surveyed(data), path)
    assert (after.parts == np.tile(before, 2)).all() and not after.notes


def test_files_that_no_longer_fit_are_refused(tmp_path):
    data = class_folders(tmp_path / "d", a=8, b=8)
    path = tmp_path / "splits.json"
    decide(surveyed(data), path)

    def refused(pattern, **changes):
        with pytest.raises(ValueError, match=pattern) as error:
            decide(surveyed(data), path, **changes)
        assert "\n" not in str(error.value)

    refused("another salt", salt=bytes([1] * 32))
    refused("another seed 0, not 3", seed=3)
    refused(r"another shares \[0.25, 0.25\], not \[0.1", shares=splits.Shares(0.1, 0.2))
    (data / "a" / "0.png").unlink()
    refused("names 1 groups that .* no longer has")
    path.write_text('{"train": []}')
    refused("no splits file, or damaged")


def test_an_official_split_is_kept_and_its_leaks_are_counted(tmp_path):
    labels = {"train": [[0]] * 6 + [[1]] * 6, "test": [[0], [0]]}
    leak = np.stack([picture(0), picture(77)])
    found = surveyed(npz(tmp_path / "a.npz", labels, test_images=leak))
    split = decide(found, tmp_path / "splits.json")
    assert not (tmp_path / "splits.json").exists()
    assert split.of("test").tolist() == [12, 13]
    # a third of the remaining three quarters, 4 of 12, by class 2 of 6
    assert collections.Counter(split.parts[:12]) == {"train": 8, "val": 4}
    told = examples.counts(split.notes)
    assert told[splits.ON_TWO_SIDES] == 1 and told[f"{splits.MISSING} test"] == 1


def test_a_class_missing_from_a_part_is_told(tmp_path):
    found = surveyed(class_folders(tmp_path / "d", a=8, b=2))
    split = decide(found, tmp_path / "splits.json")
    assert examples.counts(split.notes) == {f"{splits.MISSING} val": 1}


def test_masks_count_as_one_class(tmp_path):
    found = surveyed(masks(tmp_path / "d", 16))
    assert splits.rarest(found) == ["", ""] * 8
    split = decide(found, tmp_path / "splits.json")
    assert collections.Counter(split.parts) == {"train": 8, "test": 4, "val": 4}
