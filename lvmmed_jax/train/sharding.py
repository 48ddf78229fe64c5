"""The device mesh, and where batches and states lie on it.

Batches are cut over all devices. Parameters, optimiser and averages are the same on all
of them, or, with `fsdp` above 1, cut over groups of so many neighbours.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

AXES = ("data", "fsdp")  # a batch is cut over both
_SMALLEST = 4096  # entries of an array that is worth cutting


def make_mesh(num_devices: int | None = None, fsdp: int = 1) -> Mesh:
    """A mesh over the first `num_devices` devices of all processes; None: over all.

    Devices stand in the order of their processes, so that a process's part of a batch
    is one block. The axes are `Auto`: with explicit ones, vmap of a custom_vjp does not
    trace.

    Args:
      num_devices: how many.
      fsdp: over how many of them a state is cut; 1: not at all.

    Raises:
      ValueError: `fsdp` does not divide the devices.
    """
    devices = sorted(jax.devices(), key=lambda each: (each.process_index, each.id))
    devices = devices[:num_devices]
    if fsdp < 1 or len(devices) % fsdp:
        raise ValueError(f"train.fsdp={fsdp} must divide the {len(devices)} device(s)")
    return Mesh(np.array(devices).reshape(-1, fsdp), AXES)


def over_batch(mesh: Mesh) -> NamedSharding:
    """The leading axis cut over the devices."""
    return NamedSharding(mesh, PartitionSpec(AXES))


def over_parts(mesh: Mesh) -> NamedSharding:
    """The second axis cut over the devices; the first counts parts of a batch."""
    return NamedSharding(mesh, PartitionSpec(None, AXES))


def replicated(mesh: Mesh) -> NamedSharding:
    """The same on every device."""
    return NamedSharding(mesh, PartitionSpec())


def of_state(mesh: Mesh) -> Callable[[Any], NamedSharding]:
    """Builds leaf of a state -> where it lies.

    The largest axis that the `fsdp` devices divide is cut over them; small arrays, and
    those with no such axis, are whole on every device.
    """
    num_parts = mesh.shape["fsdp"]

    def place(leaf: Any) -> NamedSharding:
        axes = [axis for axis, size in enumerate(leaf.shape) if size % num_parts == 0]
        if num_parts == 1 or leaf.size < _SMALLEST or not axes:
            return replicated(mesh)
        largest = max(axes, key=lambda axis: leaf.shape[axis])
        return NamedSharding(mesh, PartitionSpec(*[None] * largest, "fsdp"))

    return place


def spread(tree: Any, mesh: Mesh) -> Any:
    """Inside a jitted function: a state's leaves where they belong."""
    return jax.lax.with_sharding_constraint(tree, jax.tree.map(of_state(mesh), tree))


def gather(tree: Any, mesh: Mesh) -> Any:
    """Inside a jitted function: whole on every device."""
    return jax.lax.with_sharding_constraint(tree, replicated(mesh))


def put_batch(batch: dict[str, Any], mesh: Mesh) -> dict[str, jax.Array]:
    """A batch that every process has whole, cut over the devices."""
    return jax.tree.map(lambda x: _put_whole(x, over_batch(mesh)), batch)


def _put_whole(array: np.ndarray, where: NamedSharding) -> jax.Array:
    if jax.process_count() == 1:
        return jax.device_put(array, where)
    return jax.make_array_from_callback(array.shape, where, lambda index: array[index])


def put_as(arrays: Any, places: Any) -> Any:
    """Arrays that every process has whole, copied to where those of `places` lie."""
    return jax.tree.map(
        lambda array, like: _put_whole(np.array(array, like.dtype), like.sharding),
        arrays,
        places,
    )


def put_parts(batch: dict[str, Any], mesh: Mesh, num_parts: int) -> dict[str, Any]:
    """This process's images of a batch on its devices, as [A, B / A, ...] in A parts.

    Parts are consecutive images, whatever the number of devices; they are cut here
    because the devices would have to exchange images for it. The copy runs while the
    host goes on.

    Args:
      batch: leaves [B / processes, ...], part by part; see `mixture.host_batches`.
      mesh: the devices.
      num_parts: A.
    """
    parts = jax.tree.map(lambda x: x.reshape(num_parts, -1, *x.shape[1:]), batch)
    if jax.process_count() == 1:
        return jax.device_put(parts, over_parts(mesh))
    return jax.tree.map(
        lambda x: jax.make_array_from_process_local_data(over_parts(mesh), x), parts
    )


def local_copy(tree: Any, mesh: Mesh) -> Any:
    """Arrays whole on one device of this process; every process must ask for them."""
    return jax.tree.map(lambda x: x.addressable_data(0), _gatherer(mesh)(tree))


@functools.lru_cache
def _gatherer(mesh: Mesh) -> Callable[[Any], Any]:
    return jax.jit(lambda tree: tree, out_shardings=replicated(mesh))


def check_batch(
    name: str, count: int, graph_size: int, num_devices: int, num_parts: int = 1
) -> None:
    """Refuses a batch that does not cut into whole graphs on every device.

    Args:
      name: the config key that set `count`.
      count: images a batch.
      graph_size: images a graph; 1 where there are no graphs.
      num_devices: over how many devices the batch is cut.
      num_parts: into how many parts it is cut before that.

    Raises:
      ValueError: names the key, and the nearest values that fit.
    """
    unit = graph_size * num_devices * num_parts
    if count > 0 and count % unit == 0:
        return
    below = count // unit * unit
    nearest = f"{below} or {below + unit}" if below > 0 else f"{unit}"
    parts = f" in {num_parts} parts" if num_parts > 1 else ""
    graphs = f" into graphs of {graph_size} images" if graph_size > 1 else ""
    raise ValueError(
        f"{name}={count} does not cut{graphs} on {num_devices} device(s){parts}: use a "
        f"multiple of {unit}, e.g. {nearest}"
    )
