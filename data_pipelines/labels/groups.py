"""Which labelled examples must not be split: one patient, volume, or picture."""

import hashlib
from typing import NamedTuple

import numpy as np
from scipy import sparse

from data_pipelines import duplicates
from data_pipelines.labels import survey


class Groups(NamedTuple):
    """Examples that belong together, by what they are and what they are like.

    Attributes:
      of: int64 [n], the number of each example's group.
      members: of each group, the SHA-256 of every owner in it, sorted: of a named
        group, patient or volume, else of a picture's content. Unkeyed: they stay in
        memory.
    """

    of: np.ndarray
    members: list[tuple[bytes, ...]]

    @property
    def keys(self) -> list[bytes]:
        """What orders the groups: the first of the members of each."""
        return [each[0] for each in self.members]


def find(found: survey.Survey, *, near: bool) -> Groups:
    """Joins what must stand on one side of a split.

    Together are: rows of one named group; files of one patient (else study, series)
    by their DICOM headers; slices of one volume; equal pictures; and, of pictures
    that no group, header or volume names, near copies and their near copies.

    Args:
      found: the examples.
      near: whether near copies count.
    """
    owners = _owners(found)
    distinct = sorted(set(owners))
    number = {owner: place for place, owner in enumerate(distinct)}
    own = np.array([number[owner] for owner in owners])
    pairs = [_equal(found, own)]
    if near:
        pairs.append(_near(found, own))
    joined = _components(len(distinct), np.concatenate(pairs, axis=1))
    members = [[] for _ in range(joined.max() + 1)]
    for owner, group in zip(distinct, joined.tolist(), strict=True):
        members[group].append(owner)
    return Groups(joined[own], [tuple(each) for each in members])


def _owners(found) -> list[bytes]:
    volumes = {}  # of the contents of its slices, not of its name, which may change
    for example, look in zip(found.listing.examples, found.looks, strict=True):
        if example.volume is not None:
            volumes.setdefault(example.volume, hashlib.sha256()).update(look.content)
    owners = []
    for example, look in zip(found.listing.examples, found.looks, strict=True):
        if example.group is not None:
            text = f"group {example.group}".encode("utf-8", "surrogateescape")
            owners.append(hashlib.sha256(text).digest())
        elif example.volume is not None:
            owners.append(volumes[example.volume].digest())
        else:
            owners.append(look.owner or look.content)
    return owners


def _equal(found, own) -> np.ndarray:
    """[2, p]: owners of equal pictures. Not of slices: many are empty."""
    first, pairs = {}, [np.zeros(2, np.int64)]
    for owner, look, example in zip(
        own.tolist(), found.looks, found.listing.examples, strict=True
    ):
        if example.volume is None:
            pairs.append((first.setdefault(look.content, owner), owner))
    return np.array(pairs, np.int64).T


def _near(found, own) -> np.ndarray:
    """[2, p]: owners of pictures that are near copies."""
    rows = [
        index
        for index, look in enumerate(found.looks)
        if look.near is not None
        and look.owner is None
        and found.listing.examples[index].group is None
    ]
    if not rows:
        return np.zeros((2, 0), np.int64)
    hashes = np.stack([np.frombuffer(found.looks[i].near, np.uint8) for i in rows])
    i, j, _ = duplicates.pairs(hashes, hashes, max_distance=duplicates.MAX_DISTANCE)
    place = own[rows]
    return np.stack([place[i], place[j]])


def _components(num_nodes: int, pairs: np.ndarray) -> np.ndarray:
    """The number of each node's component, numbered by their first nodes."""
    ones = np.ones(pairs.shape[1], bool)
    graph = sparse.coo_array((ones, tuple(pairs)), shape=(num_nodes, num_nodes))
    _, labels = sparse.csgraph.connected_components(graph, directed=False)
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]
