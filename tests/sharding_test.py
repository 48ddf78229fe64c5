import pytest

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
