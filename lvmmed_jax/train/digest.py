"""Sums over the bits of arrays, so that a damaged checkpoint is known on loading.

Orbax does not notice a flipped byte. The sums are computed where the arrays lie, are
the same for every sharding, and change with every single flipped bit.
"""

import hashlib
import json
from typing import Any

import jax
import jax.numpy as jnp

_ODD = 2654435761  # 2^32 over the golden ratio: spreads neighbouring places apart


def of_arrays(tree: Any) -> dict[str, list[int]]:
    """{path of a leaf: two sums modulo 2^32 of its bits, the second one by place}."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    sums = jax.device_get([_sums(leaf) for _, leaf in leaves])
    return {
        jax.tree_util.keystr(path): [int(value) for value in pair]
        for (path, _), pair in zip(leaves, sums, strict=True)
    }


def of_json(value: Any) -> str:
    """SHA-256 in hex of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


@jax.jit
def _sums(leaf: jax.Array) -> jax.Array:
    """[2] uint32."""
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    if leaf.dtype == bool:
        leaf = leaf.astype(jnp.uint8)
    unsigned = jnp.dtype(f"uint{8 * leaf.dtype.itemsize}")
    bits = jax.lax.bitcast_convert_type(leaf, unsigned).astype(jnp.uint32).reshape(-1)
    weights = jax.lax.iota(jnp.uint32, bits.size) * jnp.uint32(_ODD) | jnp.uint32(1)
    return jnp.stack([bits.sum(), (bits * weights).sum()])
