"""The device mesh: data parallel over every device, parameters replicated."""

from typing import Any

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

AXIS = "data"


def make_mesh(num_devices: int | None = None) -> Mesh:
    """A one-dimensional mesh over the first `num_devices` devices; None: over all.

    Its axes are `Auto`: with explicit ones, vmap of a custom_vjp does not trace.
    """
    devices = jax.devices()[:num_devices]
    return jax.make_mesh(
        (len(devices),), (AXIS,), axis_types=(AxisType.Auto,), devices=devices
    )


def over_batch(mesh: Mesh) -> NamedSharding:
    """The leading axis cut over the devices."""
    return NamedSharding(mesh, PartitionSpec(AXIS))


def replicated(mesh: Mesh) -> NamedSharding:
    """The same on every device."""
    return NamedSharding(mesh, PartitionSpec())


def over_parts(mesh: Mesh) -> NamedSharding:
    """The second axis cut over the devices; the first counts parts of a batch."""
    return NamedSharding(mesh, PartitionSpec(None, AXIS))


def put_batch(batch: dict[str, Any], mesh: Mesh) -> dict[str, jax.Array]:
    """A host batch on the devices; the copy runs while the host goes on."""
    return jax.device_put(batch, over_batch(mesh))


def put_parts(batch: dict[str, Any], mesh: Mesh, num_parts: int) -> dict[str, Any]:
    """A host batch [B, ...] on the devices as [A, B / A, ...], in A parts.

    Parts are consecutive images, whatever the number of devices; they are cut here
    because the devices would have to exchange images for it.
    """
    parts = jax.tree.map(lambda x: x.reshape(num_parts, -1, *x.shape[1:]), batch)
    return jax.device_put(parts, over_parts(mesh))


def check_batch(
    name: str, count: int, graph_size: int, num_devices: int, num_parts: int = 1
) -> None:
    """Refuses a batch that does not cut into whole graphs on every device.

    Args:
      name: the config key that set `count`.
      count: images a batch.
      graph_size: images a graph.
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
    raise ValueError(
        f"{name}={count} does not cut into graphs of {graph_size} "
        f"images on {num_devices} device(s){parts}: use a multiple of {unit}, "
        f"e.g. {nearest}"
    )
