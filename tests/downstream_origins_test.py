"""Which weights a fine-tuning run begins from."""

import jax
import numpy as np
import pytest
import tiny_finetunes

from lvmmed_jax import config, encoders
from lvmmed_jax.downstream import examples, origins


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("origins")


@pytest.fixture(scope="module")
def file(folder):
    settings = config.override(
        tiny_finetunes.ENCODER, {"data.mean": (0.1, 0.2, 0.3), "train.seed": 5}
    )
    return tiny_finetunes.write_encoder(folder, settings)


def test_an_encoder_brings_its_normalisation(file):
    start, origin = origins.read(file, seed=0)
    assert (origin.encoder, origin.width) == ("resnet8", 4)
    assert origin.mean == (0.1, 0.2, 0.3) and origin.tables == {}
    assert start.about["model"] == file and len(start.about["sha256"]) == 64
    settings = config.override(tiny_finetunes.ENCODER, {"train.seed": 5})
    expected = encoders.random(settings).variables
    jax.tree.map(np.testing.assert_array_equal, start.variables, dict(expected))


def test_a_random_start_has_the_same_form_and_a_seed(file):
    trained, origin = origins.read(file, seed=0)
    first, other = (origins.read(f"random:{file}", seed)[0] for seed in (0, 1))
    assert origins.read(f"random:{file}", seed=0)[1] == origin
    shapes = [
        jax.tree.map(np.shape, each.variables) for each in (trained, first, other)
    ]
    assert shapes[0] == shapes[1] == shapes[2]
    digests = {each.about["sha256"] for each in (trained, first, other)}
    assert len(digests) == 3
    again = origins.read(f"random:{file}", seed=1)[0]
    assert again.about == other.about


@pytest.mark.slow
def test_tables_of_positions_keep_their_size(folder):
    settings = config.override(
        tiny_finetunes.ENCODER,
        {"model.encoder": "vit_s16", "model.width": 1, "views.size": 48},
    )
    _, origin = origins.read(tiny_finetunes.write_encoder(folder, settings), seed=0)
    assert origin.tables == {"positions": [1, 1 + 9, 6]}


def test_a_random_encoder_that_stays_frozen_is_calibrated(file, folder, monkeypatch):
    data = tiny_finetunes.bright_and_dark(folder / "data", 12)
    settings = tiny_finetunes.CONFIG.data
    found = examples.divide(
        examples.read(str(data)),
        settings,
        seed=0,
        splits_file=folder / "splits.json",
        salt_file=None,
    )
    start, origin = origins.read(f"random:{file}", seed=0)
    shown = []
    monkeypatch.setattr(origins, "_NUM_CALIBRATED", 6)
    picture = examples.picture
    monkeypatch.setattr(
        examples, "picture", lambda data, row: shown.append(row) or picture(data, row)
    )
    changed = origins.calibrated(start, origin, found, settings)
    told = [int(examples.truth(found, row)) for row in shown]
    assert sorted(told) == [0, 0, 0, 1, 1, 1]  # and not the first class alone
    before, after = (
        jax.tree.leaves(each.variables["batch_stats"]) for each in (start, changed)
    )
    assert all(np.any(a != b) for a, b in zip(before, after, strict=True))
    trained, _ = origins.read(file, seed=0)
    assert origins.calibrated(trained, origin, found, settings) is trained


def test_what_is_not_there_is_named(folder):
    with pytest.raises(FileNotFoundError, match="--init nowhere is no exported file"):
        origins.read("nowhere", seed=0)
    with pytest.raises(ValueError, match=r"unknown model\.encoder 'resnet5'"):
        origins.read("random:resnet5", seed=0)
