"""Training, validation and test by groups: decided once, kept in splits.json."""

import collections
import hashlib
import json
import os
import pathlib
import tempfile
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from data_pipelines import salt
from data_pipelines.labels import examples, groups, survey

VERSION = 1
TEST_SHARE = 0.25  # of the groups of each class
BRIDGE = "joins groups that stand on two sides of splits.json"
NEW = "a new group, dealt by the rule of the others"
ON_TWO_SIDES = "a group on two sides of the split that the data came with"
MISSING = "a class without an example in"


class Shares(NamedTuple):
    """Of the groups of each class; the rest is trained on."""

    val: float
    test: float


class Split(NamedTuple):
    """Which side each example stands on.

    Attributes:
      parts: [n] of "train", "val", "test", or "" for one that is left out.
      notes: what is to be told.
    """

    parts: np.ndarray
    notes: list[examples.Note]

    def of(self, part: str) -> np.ndarray:
        """The numbers of a part's examples, in their order."""
        return np.flatnonzero(self.parts == part)


def take(
    keys: Sequence[bytes], strata: Sequence[str], *, share: float, seed: int
) -> np.ndarray:
    """bool [n]: the first of each stratum, in an order that hashes of the keys give.

    What is taken depends on the keys of a stratum, not on their order. At least one
    is taken of two, and one is left.

    Args:
      keys: of n units, all different.
      strata: of each.
      share: to take, in [0, 1).
      seed: of the order.
    """
    taken = np.zeros(len(keys), bool)
    for places in _ordered(keys, strata, seed).values():
        count = max(round(share * len(places)), int(share > 0))
        taken[places[: min(count, len(places) - 1)]] = True
    return taken


def subset(
    keys: Sequence[bytes],
    strata: Sequence[str],
    *,
    share: float | None,
    per_class: int | None,
    seed: int,
) -> np.ndarray:
    """bool [n]: a few of the units, to learn from few labels.

    A smaller subset of the same seed lies within a larger one, by share or by count.
    Each class keeps one unit at least.

    Args:
      keys: of n units; equal ones are kept or left out together.
      strata: the class of each.
      share: of each class, in (0, 1]; None with `per_class`.
      per_class: units of each class; None with `share`.
      seed: of the order.

    Raises:
      ValueError: not one of the two is given, or it is out of range.
    """
    if (share is None) == (per_class is None):
        raise ValueError("few labels: give a share or a number per class, not both")
    if not (per_class if share is None else share) > 0 or (share or 0) > 1:
        raise ValueError(f"few labels: share {share} or {per_class} per class: no data")
    first = dict(zip(reversed(keys), reversed(strata), strict=True))
    units = list(first)
    kept = set()
    for places in _ordered(units, [first[key] for key in units], seed).values():
        count = per_class if share is None else int(np.ceil(share * len(places)))
        kept.update(units[place] for place in places[:count])
    return np.array([key in kept for key in keys])


def _ordered(keys, strata, seed) -> dict[str, list[int]]:
    """Places of each stratum, in the order of their hashes."""
    ordered = {}
    for stratum in sorted(set(strata)):
        own = [place for place, each in enumerate(strata) if each == stratum]
        ordered[stratum] = sorted(own, key=lambda place: shuffled(keys[place], seed))
    return ordered


def shuffled(key: bytes, seed: int) -> bytes:
    """What orders a key by chance."""
    return hashlib.sha256(f"{seed} ".encode() + key).digest()


def rarest(found: survey.Survey) -> list[str]:
    """The rarest class that each example holds; "" for one that holds none."""
    held = [found.classes_of(index) for index in range(len(found.looks))]
    times = collections.Counter(name for each in held for name in each)
    return [
        min(each, key=lambda name: (times[name], name), default="") for each in held
    ]


def decide(
    found: survey.Survey,
    together: groups.Groups,
    *,
    path: pathlib.Path,
    salt_key: bytes,
    shares: Shares,
    seed: int,
) -> Split:
    """The split of a data set: the official one, that of `path`, or a new one there.

    Groups are dealt by hash, class by class; one of several classes counts for its
    rarest. A split that the data came with is kept, and where it has no val, a share
    of its train is that. The file holds keyed hashes of the groups only. Where it
    exists, it is obeyed: groups that it does not know are dealt by the same rule
    among themselves, and noted.

    Args:
      found: the examples.
      together: their groups.
      path: of splits.json.
      salt_key: keys the hashes.
      shares: of val and test.
      seed: of the order; of another file's, not its own, nothing is heard.

    Raises:
      ValueError: the file is another's: of another salt, seed or shares, or naming
        groups that are gone; one line.
    """
    official = [example.part for example in found.listing.examples]
    if any(official):
        return _official(found, together, shares, seed)
    strata = _strata(found, together)
    known = _read(path, salt_key, shares, seed) if path.exists() else {}
    hashes = [
        [salt.keyed_hash(salt_key, member.hex()) for member in members]
        for members in together.members
    ]
    gone = known.keys() - {each for several in hashes for each in several}
    if gone:
        raise ValueError(
            f"{path}: names {len(gone)} groups that {found.listing.root} no longer "
            "has; make the data whole or name another splits file"
        )
    sides = [
        sorted({known[each] for each in several if each in known}) for several in hashes
    ]
    parts = [each[0] if len(each) == 1 else "" for each in sides]
    notes, root = [], f"{found.listing.root}:"
    notes += [examples.Note(BRIDGE, root)] * sum(len(each) > 1 for each in sides)
    new = [place for place, each in enumerate(sides) if not each]
    if known:
        notes += [examples.Note(NEW, root)] * len(new)
    dealt = _deal(
        [together.keys[i] for i in new], [strata[i] for i in new], shares, seed
    )
    for place, part in zip(new, dealt, strict=True):
        parts[place] = part
    _write(path, salt_key, shares, seed, hashes, parts, known)
    return _told(found, np.array(parts)[together.of], notes)


def _deal(keys, strata, shares, seed) -> list[str]:
    is_test = take(keys, strata, share=shares.test, seed=seed)
    rest = np.flatnonzero(~is_test)
    of_rest = shares.val / (1 - shares.test)
    is_val = take(
        [keys[i] for i in rest], [strata[i] for i in rest], share=of_rest, seed=seed
    )
    parts = np.where(is_test, "test", "train").astype(object)
    parts[rest[is_val]] = "val"
    return parts.tolist()


def _strata(found, together) -> list[str]:
    """Of each group the class that is rarest in the data set."""
    own = rarest(found)
    times = collections.Counter(own)
    strata: list[str | None] = [None] * len(together.members)
    for group, name in zip(together.of.tolist(), own, strict=True):
        before = strata[group]
        if before is None or (times[name], name) < (times[before], before):
            strata[group] = name
    return strata


def _official(found, together, shares, seed) -> Split:
    """The split that the data came with; a share of train is val where it has none."""
    listed = found.listing.examples
    parts = np.array([example.part or "" for example in listed], object)
    root, notes = f"{found.listing.root}:", []
    if "val" not in parts and shares.val:
        strata = _strata(found, together)
        train = sorted(set(together.of[parts == "train"].tolist()))
        of_rest = shares.val / (1 - shares.test)
        taken = take(
            [together.keys[group] for group in train],
            [strata[group] for group in train],
            share=of_rest,
            seed=seed,
        )
        val = {group for group, each in zip(train, taken, strict=True) if each}
        moved = np.array([group in val for group in together.of.tolist()])
        parts[moved & (parts == "train")] = "val"
    sides = collections.defaultdict(set)
    for group, example in zip(together.of.tolist(), listed, strict=True):
        sides[group].add(example.part)
    crossing = sum(len(each) > 1 for each in sides.values())
    notes += [examples.Note(ON_TWO_SIDES, root)] * crossing
    return _told(found, parts, notes)


def _told(found, parts, notes) -> Split:
    """Adds a note for each class that a part lacks."""
    root = f"{found.listing.root}:"
    if not found.meaning:
        held = [found.classes_of(index) for index in range(len(parts))]
        for part in examples.PARTS:
            own = [each for each, of in zip(held, parts, strict=True) if of == part]
            there = {name for each in own for name in each}
            absent = len(set(found.class_names) - there) if own else 0
            notes = [*notes, *[examples.Note(f"{MISSING} {part}", root)] * absent]
    return Split(np.asarray(parts), notes)


def _read(path, salt_key, shares, seed) -> dict[str, str]:
    """Group hash -> part."""
    try:
        held = json.loads(path.read_text())
        found = {each: part for part in examples.PARTS for each in held[part]}
        told = held["version"], held["salt_fingerprint"], held["shares"], held["seed"]
    except (ValueError, LookupError, TypeError, AttributeError):
        raise ValueError(f"{path}: no splits file, or damaged") from None
    expected = _head(salt_key, shares, seed)
    words = ("version", "salt (see --salt-file)", "shares", "seed")
    for word, one, other in zip(words, told, expected.values(), strict=True):
        if one != other:
            detail = "" if "salt" in word else f" {one}, not {other}"
            raise ValueError(
                f"{path}: made with another {word}{detail}; name another splits file"
            )
    return found


def _head(salt_key, shares, seed) -> dict:
    return {
        "version": VERSION,
        "salt_fingerprint": salt.fingerprint(salt_key),
        "shares": list(shares),
        "seed": seed,
    }


def _write(path, salt_key, shares, seed, hashes, parts, known) -> None:
    """Whole or not at all; nothing where nothing is new."""
    content = _head(salt_key, shares, seed)
    sides = {part: [] for part in examples.PARTS}
    for several, part in zip(hashes, parts, strict=True):
        if part:
            sides[part] += several
        else:  # a bridge: what was known stays where it was
            for each in several:
                if each in known:
                    sides[known[each]].append(each)
    content |= {part: sorted(each) for part, each in sides.items()}
    text = json.dumps(content, indent=1) + "\n"
    if path.exists() and path.read_text() == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        file.write(text)
    os.replace(file.name, path)
