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


def put_batch(batch: dict[str, Any], mesh: Mesh) -> dict[str, jax.Array]:
    """A host batch on the devices; the copy runs while the host goes on."""
    return jax.device_put(batch, over_batch(mesh))


def check_batch(name: str, count: int, graph_size: int, num_devices: int) -> None:
    """Refuses a batch that does not cut into whole graphs on every device.

    Args:
      name: the config key that set `count`.
      count: images a batch.
      graph_size: images a graph.
      num_devices: over how many devices the batch is cut.

    Raises:
      ValueError: names the key, and the nearest values that fit.
    """
    unit = graph_size * num_devices
    if count > 0 and count % unit == 0:
        return
    below = count // unit * unit
    nearest = f"{below} or {below + unit}" if below > 0 else f"{unit}"
    raise ValueError(
        f"{name}={count} does not cut into graphs of {graph_size} "
        f"images on {num_devices} device(s): use a multiple of {unit}, e.g. {nearest}"
    )
