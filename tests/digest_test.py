import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lvmmed_jax.train import digest, sharding


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int32", "uint8", "bool"])
def test_every_flipped_bit_changes_it(dtype):
    values = np.array(jnp.arange(5) % 2, jnp.dtype(dtype))
    before = digest.of_arrays({"a": jnp.asarray(values)})
    raw = values.view(np.uint8)
    for place in range(raw.size):
        for bit in range(1 if dtype == "bool" else 8):
            raw[place] ^= 1 << bit
            assert digest.of_arrays({"a": jnp.asarray(values)}) != before
            raw[place] ^= 1 << bit
    assert digest.of_arrays({"a": jnp.asarray(values)}) == before


def test_swapped_values_change_it():
    there = digest.of_arrays(jnp.array([1.0, 2.0, 3.0]))
    assert digest.of_arrays(jnp.array([2.0, 1.0, 3.0])) != there


def test_it_is_the_same_for_every_sharding():
    values = jax.random.normal(jax.random.key(0), (16, 3))
    found = []
    for num_devices in (1, 8):
        mesh = sharding.make_mesh(num_devices)
        for placed in (sharding.replicated(mesh), sharding.over_batch(mesh)):
            found.append(digest.of_arrays({"x": jax.device_put(values, placed)}))
    assert all(one == found[0] for one in found)


def test_keys_count():
    first, second = (digest.of_arrays({"k": jax.random.key(n)}) for n in (0, 1))
    assert first != second


def test_order_of_json_keys_does_not_count():
    assert digest.of_json({"a": 1, "b": [2]}) == digest.of_json({"b": [2], "a": 1})
    assert digest.of_json({"a": 1}) != digest.of_json({"a": 2})
