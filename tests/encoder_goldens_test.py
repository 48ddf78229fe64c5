"""Encoders beside stored numbers of torch packages; see encoder_goldens.py."""

import encoder_goldens
import encoder_weights
import jax
import numpy as np
import pytest

from lvmmed_jax.models import position

GOLDENS = np.load(encoder_goldens.FILE)
SIZES = {  # pixels a side that the position tables are for, and the width
    "sam_b16": (320, 2),
    "lvmmed_b16": (320, 2),
    "dinov2_s14": (56, 4),
    "dinov2_s14_reg": (56, 4),
    "dinov2_g14": (56, 1),
}


@pytest.mark.parametrize(("peer", "shape"), encoder_goldens.SMALL)
def test_maps_are_those_of_torch(peer, shape):
    encoder = peer.split()[1]
    _compare(peer, shape, encoder, *SIZES.get(encoder, (64, 4)))


@pytest.mark.lengthy
@pytest.mark.parametrize(("peer", "shape"), encoder_goldens.PUBLISHED)
def test_published_sizes_give_torchs_maps(peer, shape):
    _compare(peer, shape, peer.split()[1], 224, 64)


def _compare(peer, shape, encoder, size, width):
    variables = encoder_weights.random_variables(encoder, width, size, shape[3])
    prefix = encoder_goldens.name(peer, shape, "")
    goldens = {
        int(key.removeprefix(prefix)): GOLDENS[key]
        for key in GOLDENS
        if key.startswith(prefix)
    }
    network = encoder_weights.make(encoder, width)
    found = jax.jit(
        lambda v, x: network.apply(v, x, train=False, stages=tuple(goldens))
    )(variables, encoder_weights.random_images(*shape))
    assert len(goldens) >= 4
    for ours, theirs in zip(found, goldens.values(), strict=True):
        error = np.abs(encoder_goldens.part(ours) - theirs).max() / np.abs(theirs).max()
        assert error < 1e-4


@pytest.mark.parametrize(("num_in", "num_out"), encoder_goldens.TABLES)
def test_dinov2_resizes_its_table_as_torch_does(num_in, num_out):
    table = encoder_goldens.table(num_in)
    found = position.resize(table, (num_out,), position.DINOV2)
    expected = GOLDENS[f"dinov2 table {num_in} {num_out}"]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
