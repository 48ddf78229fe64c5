"""Position tables of transformers, brought to the size of an input as each origin does.

The weights of a resizing depend on sizes only: they are NumPy matrices, and a table is
resized by a product along each axis.
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np


class Resampling(NamedTuple):
    """How a table is resized.

    Attributes:
      cubic: the coefficient a of Keys' cubic kernel; None: linear interpolation.
      antialias: whether the kernel widens where the table shrinks, weights outside the
        table being left out; else it keeps its width and the border is repeated.
      offset: added to the number of cells when the step from cell to cell is computed.
    """

    cubic: float | None
    antialias: bool
    offset: float = 0.0


# relative tables: torch's interpolate, mode linear (segment_anything, image_encoder.py)
LINEAR = Resampling(None, antialias=False)
# timm's resample_abs_pos_embed: torch's bicubic with antialias=True
TIMM = Resampling(-0.5, antialias=True)
# DINOv2's interpolate_pos_encoding: bicubic without antialias, sizes raised by 0.1
DINOV2 = Resampling(-0.75, antialias=False, offset=0.1)
# the same for its models with registers: interpolate_antialias=True, offset 0
DINOV2_REGISTERS = Resampling(-0.5, antialias=True)


TABLES = ("positions", "relative_rows", "relative_columns")  # names of parameters


def parameter(
    module: nn.Module, name: str, initializer: Any, shape: tuple[int, ...]
) -> jax.Array:
    """A parameter that is made in `shape` and may have been stored in another.

    Flax refuses a stored array of another shape, but a table is resized anyway.
    """
    if module.has_variable("params", name):
        return module.get_variable("params", name)
    return module.param(name, initializer, shape)


def with_tables(params: dict[str, Any], shapes: dict[str, Any]) -> dict[str, Any]:
    """An encoder's parameters with zeros for tables that are stored in other shapes.

    Args:
      params: arrays, or what is traced of them.
      shapes: keys joined by "/" -> the shape of that table.
    """

    def replace(path, leaf):
        shape = shapes.get("/".join(key.key for key in path))
        return leaf if shape is None else jnp.zeros(tuple(shape), leaf.dtype)

    return jax.tree_util.tree_map_with_path(replace, params)


def resize(
    table: jax.Array, grid: tuple[int, ...], resampling: Resampling
) -> jax.Array:
    """A table [N1, ..., D] with as many rows along its first axes as `grid` says.

    Returns:
      float32 [*grid, D]; a table of the right size as it is.
    """
    table = table.astype(jnp.float32)
    for axis, size in enumerate(grid):
        if table.shape[axis] != size:
            weights = resizing_matrix(table.shape[axis], size, resampling)
            table = jnp.moveaxis(
                jnp.tensordot(
                    weights, table, (1, axis), precision=jax.lax.Precision.HIGHEST
                ),
                0,
                axis,
            )
    return table


def resizing_matrix(num_in: int, num_out: int, resampling: Resampling) -> np.ndarray:
    """float32 [num_out, num_in]: what each new entry takes of the old ones.

    Entry i of n lies at (i + 1/2) / n (torch's align_corners=False).
    """
    step = num_in / (num_out + resampling.offset)
    places = (np.arange(num_out)[:, None] + 0.5) * step - 0.5
    if resampling.antialias:
        distances = np.arange(num_in) - places
        weights = _kernel(distances / max(step, 1.0), resampling.cubic)
        return (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    taps = np.floor(places).astype(int) + np.arange(-1, 3)
    shares = _kernel(taps - places, resampling.cubic)
    weights = np.zeros((num_out, num_in))
    rows = np.broadcast_to(np.arange(num_out)[:, None], taps.shape)
    np.add.at(weights, (rows, taps.clip(0, num_in - 1)), shares)
    return weights.astype(np.float32)


def _kernel(distances: np.ndarray, cubic: float | None) -> np.ndarray:
    """The share of an entry at some distance: a triangle, or Keys' cubic (1981)."""
    x = np.abs(distances)
    if cubic is None:
        return np.maximum(1 - x, 0)
    near = ((cubic + 2) * x - (cubic + 3)) * x**2 + 1
    far = cubic * (((x - 5) * x + 8) * x - 4)
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def relative_matrix(size: int) -> np.ndarray:
    """[size, size] which entry of a table [2 size - 1] belongs to query i and key j."""
    return np.arange(size)[:, None] - np.arange(size) + size - 1
