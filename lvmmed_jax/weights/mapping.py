"""Named tensors of a file <-> our variables; every tensor is accounted for."""

from typing import Any, NamedTuple

import jax
import numpy as np

from lvmmed_jax.weights import layouts, reading

COUNT = "num_batches_tracked"  # torch's, beside each BatchNorm's statistics
OUTSIDE_RULE = "outside --prefix"


class Entry(NamedTuple):
    """One of our leaves in a layout.

    Attributes:
      path: in our variables.
      layer: whose leaf it is, in the family's first layout.
      names: of its tensors, joined along torch's first axis.
      shape: of all of them together, in torch's order.
      count: the name of the count of batches beside a BatchNorm's mean.
    """

    path: tuple[str, ...]
    layer: str
    names: tuple[str, ...]
    shape: tuple[int, ...]
    count: str | None


class Account(NamedTuple):
    """What became of a file's tensors.

    Attributes:
      mapped: names of those that are ours now.
      dropped: rule -> names.
      counts: layer of a BatchNorm -> its count of batches; None: the file has none.
      types: type of a tensor that was brought to float32 -> how many.
    """

    mapped: list[str]
    dropped: dict[str, list[str]]
    counts: dict[str, int] | None
    types: dict[str, int]


def plan(
    family: layouts.Family,
    layout: layouts.Layout,
    settings: dict[str, Any],
    variables: Any,
) -> list[Entry]:
    """An entry a leaf of our variables, of which only the shapes are looked at."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(variables)
    entries = []
    for keys, leaf in leaves:
        path = tuple(key.key for key in keys)
        name = family.name_of(path, settings)
        layer = name.rpartition(".")[0]
        count = layout.rename(f"{layer}.{COUNT}")[0] if path[-1] == "mean" else None
        shape = tuple(leaf.shape[axis] for axis in torch_axes(path[-1], leaf.ndim))
        entries.append(Entry(path, layer, layout.rename(name), shape, count))
    return entries


def torch_axes(leaf: str, rank: int) -> tuple[int, ...]:
    """The axes of ours in torch's order: HWIO as OIHW, [in, out] as [out, in]."""
    if leaf != "kernel":
        return tuple(range(rank))
    return {4: (3, 2, 0, 1), 2: (1, 0)}[rank]


def under(stored: reading.Stored, place: layouts.Place) -> layouts.Tensors:
    """The tensors below the prefix, as the layout's own kind has them."""
    return place.layout.enter(
        {
            name.removeprefix(place.prefix): array
            for name, array in stored.tensors.items()
            if name.startswith(place.prefix)
        }
    )


def to_ours(
    stored: reading.Stored,
    place: layouts.Place,
    inside: layouts.Tensors,
    entries: list[Entry],
    *,
    only_prefix: bool,
) -> tuple[dict[str, Any], Account]:
    """Our variables of a file's tensors.

    Args:
      stored: the file.
      place: where in it the encoder lies.
      inside: of `under`.
      entries: of `plan`.
      only_prefix: what lies beside the prefix is not wanted, whatever it is.

    Raises:
      ValueError: tensors are missing, unexpected, of wrong shapes or types; named.
    """
    counts = {
        entry.layer: int(inside[entry.count].flat[0])
        for entry in entries
        if entry.count in inside and inside[entry.count].size == 1
    }
    known = {name for entry in entries for name in entry.names}
    if counts:
        known |= {entry.count for entry in entries if entry.count}
    dropped, unexpected = _beside(stored, place, known, only_prefix)
    problems = _problems(inside, entries, known, unexpected)
    if problems:
        raise ValueError(f"{stored.path}: {'; '.join(problems)}")
    variables, types = {}, {}
    for entry in entries:
        parts = []
        for name in entry.names:
            array = inside[name]
            if array.dtype != np.float32:
                types[array.dtype.name] = types.get(array.dtype.name, 0) + 1
            full = f"{stored.path}: {place.prefix}{name}"
            parts.append(reading.as_float32(full, array))
        joined = parts[0] if len(parts) == 1 else np.concatenate(parts)
        _put(variables, entry.path, _from_torch(entry, joined))
    mapped = [place.prefix + name for entry in entries for name in entry.names]
    return variables, Account(mapped, dropped, counts or None, types)


def to_torch(
    variables: dict[str, Any], entries: list[Entry], counts: dict[str, int] | None
) -> dict[str, np.ndarray]:
    """The tensors of a layout, float32; counts of batches that nobody kept are 0."""
    tensors = {}
    for entry in entries:
        array = variables
        for key in entry.path:
            array = array[key]
        array = np.asarray(array, np.float32)
        array = array.transpose(torch_axes(entry.path[-1], array.ndim))
        array = np.ascontiguousarray(array.reshape(entry.shape))
        pieces = np.split(array, len(entry.names))
        tensors.update(zip(entry.names, pieces, strict=True))
        if entry.count:
            tensors[entry.count] = np.array((counts or {}).get(entry.layer, 0))
    return dict(sorted(tensors.items()))


def _beside(
    stored: reading.Stored, place: layouts.Place, known: set[str], only_prefix: bool
) -> tuple[dict[str, list[str]], list[str]]:
    """(rule -> the names that it drops, names that no rule explains)."""
    dropped, unexpected = {}, []
    for name in stored.tensors:
        outside = not name.startswith(place.prefix)
        if not outside and name.removeprefix(place.prefix) in known:
            continue
        rule = layouts.drop_rule(name, place)
        if outside and only_prefix:
            rule = OUTSIDE_RULE
        if rule is None:
            unexpected.append(name)
        else:
            dropped.setdefault(rule, []).append(name)
    return dropped, unexpected


def _problems(
    inside: dict[str, np.ndarray],
    entries: list[Entry],
    known: set[str],
    unexpected: list[str],
) -> list[str]:
    """What keeps these tensors from being this encoder's, in words."""
    problems = []
    missing = sorted(known - inside.keys())
    if missing:
        problems.append(f"{len(missing)} missing: {reading.listed(missing)}")
    if unexpected:
        problems.append(f"{len(unexpected)} unexpected: {reading.listed(unexpected)}")
    wrong = [
        f"{name} is {inside[name].shape} and not {shape}"
        for entry in entries
        for name, shape in _pieces(entry)
        if name in inside and inside[name].shape != shape
    ]
    if wrong:
        problems.append(f"{len(wrong)} of wrong shape: {reading.listed(wrong)}")
    return problems


def _pieces(entry: Entry) -> list[tuple[str, tuple[int, ...]]]:
    """The names and the shape of each tensor of an entry."""
    first = entry.shape[0] // len(entry.names) if len(entry.names) > 1 else None
    shape = entry.shape if first is None else (first, *entry.shape[1:])
    return [(name, shape) for name in entry.names]


def _from_torch(entry: Entry, array: np.ndarray) -> np.ndarray:
    axes = torch_axes(entry.path[-1], array.ndim)
    return np.ascontiguousarray(array.transpose(np.argsort(axes)))


def _put(tree: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    *parents, last = path
    for key in parents:
        tree = tree.setdefault(key, {})
    tree[last] = value
