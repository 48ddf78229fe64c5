"""Which rule values take, and what it makes of them."""

import numpy as np
import pytest

from data_pipelines import intensity


def rule(modality="MR", organ=None, hounsfield=True):
    return intensity.rule_for(modality=modality, organ=organ, hounsfield=hounsfield)


def test_ct_window_is_in_hounsfield_units():
    values = np.array([-1000, -160, 40, 240, 3000])
    scaled = intensity.to_uint8(values, rule("CT"))
    assert scaled.tolist() == [0, 0, 128, 255, 255]


@pytest.mark.parametrize(
    ("organ", "name"),
    [
        (None, "ct_soft_tissue"),
        ("LIVER", "ct_soft_tissue"),
        ("HEAD", "ct_brain"),
        ("CHEST", "ct_chest"),
        ("TSPINE", "ct_bone"),
    ],
)
def test_body_part_chooses_the_window(organ, name):
    assert rule("CT", organ).name == name


def test_ct_values_of_unknown_unit_take_percentiles():
    assert rule("CT", hounsfield=False) == rule("MR")


def test_percentiles_are_of_the_whole_volume():
    volume = np.stack([np.full((10, 10), level) for level in range(200)])
    scaled = intensity.to_uint8(volume, rule())
    assert scaled[0].max() == 0 and scaled[-1].min() == 255
    assert (np.diff(scaled[:, 0, 0].astype(int)) >= 0).all()
    assert scaled[100, 0, 0] == pytest.approx(128, abs=2)


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan, np.inf])
def test_constant_values_become_zero(value):
    assert not intensity.to_uint8(np.full((4, 4), value), rule()).any()


def test_rare_bright_spot_is_kept():
    values = np.zeros((100, 100), np.int16)
    values[3, 3] = 900
    assert intensity.to_uint8(values, rule())[3, 3] == 255


def test_not_a_number_counts_as_lowest():
    values = np.array([np.nan, *np.linspace(-5, 5, 50)])
    scaled = intensity.to_uint8(values, rule())
    assert scaled[0] == 0 and scaled[-1] == 255


@pytest.mark.parametrize("kind", ["int16", "uint16", "int8", "int32", "float64"])
@pytest.mark.parametrize("modality", ["MR", "PT"])
def test_percentiles_are_numpys_for_every_type(monkeypatch, kind, modality):
    monkeypatch.setattr(intensity, "_SLAB", 100)  # several parts
    values = np.random.default_rng(0).normal(20, 40, (9, 8, 11)).clip(-99, 99)
    values = values.astype(kind).transpose(2, 0, 1)[::-1]
    low, high = np.percentile(values, (1, 99) if modality == "MR" else (0, 99.9))
    low = low if modality == "MR" else 0
    expected = (values.astype(float).clip(low, high) - low) * 255 / (high - low)
    scaled = intensity.to_uint8(values, rule(modality))
    np.testing.assert_allclose(scaled, expected, atol=0.501)


def test_values_at_the_end_of_a_type_do_not_overflow():
    values = np.array([-1e300, -3e38, 0, 1, 2, 3e38, np.inf, np.nan])
    assert intensity.to_uint8(values, rule()).tolist() == [0, 0, 0, 128, 255, 0, 0, 0]
    lowest, highest = np.iinfo(np.int16).min, np.iinfo(np.int16).max
    values = np.array([lowest, 0, highest], np.int16)
    assert intensity.to_uint8(values, rule("PT")).tolist() == [0, 0, 255]
