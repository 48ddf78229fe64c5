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
