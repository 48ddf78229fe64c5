import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from lvmmed_jax.train import sharding


@pytest.mark.parametrize(
    ("count", "nearest"), [(100, "64 or 128"), (3, "64"), (0, "64"), (3200, "3200")]
)
def test_batch_that_does_not_cut_names_the_nearest(count, nearest):
    if count == 3200:  # 50 graphs of 16 on 4 devices: 12.5 each
        nearest = "3200 or 3264"
        assert sharding.check_batch("data.global_batch", count, 16, 4) is None
        with pytest.raises(ValueError, match="3072 or 3328"):
            sharding.check_batch("data.global_batch", count, 16, 16)
        return
    with pytest.raises(ValueError, match=f"data.global_batch={count} .*{nearest}"):
        sharding.check_batch("data.global_batch", count, 16, 4)


def test_batches_that_cut_pass():
    sharding.check_batch("data.global_batch", 128, 16, 8)


def test_large_arrays_are_cut_along_their_largest_axis_and_small_ones_are_whole():
    place = sharding.of_state(sharding.make_mesh(8, fsdp=4))
    for shape, spec in (
        ((1000, 100), ("fsdp",)),
        ((3, 3, 64, 256), (None, None, None, "fsdp")),
        ((4096,), ("fsdp",)),
        ((100, 10), ()),
        ((99, 99), ()),
        ((), ()),
    ):
        assert place(jax.ShapeDtypeStruct(shape, "float32")).spec == P(*spec), shape
    whole = sharding.of_state(sharding.make_mesh(8))
    assert whole(jax.ShapeDtypeStruct((1000, 100), "float32")).spec == P()


def test_fsdp_that_does_not_divide_the_devices_is_refused():
    with pytest.raises(ValueError, match=r"train.fsdp=3 must divide the 8 device\(s\)"):
        sharding.make_mesh(8, fsdp=3)


def test_parts_are_consecutive_images_on_any_number_of_devices():
    batch = {"index": np.arange(48)}
    for num_devices in (1, 4, 8):
        mesh = sharding.make_mesh(num_devices, fsdp=min(num_devices, 2))
        parts = sharding.put_parts(batch, mesh, 3)["index"]
        np.testing.assert_array_equal(parts, np.arange(48).reshape(3, 16))
        assert len(parts.sharding.device_set) == num_devices
