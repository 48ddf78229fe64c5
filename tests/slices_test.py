"""What may be said of a slice, and which slices are worth a record."""

import numpy as np
import pytest

from data_pipelines import slices


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (np.eye(40, 31, dtype=np.uint8), "short side under 32 pixels"),
        (np.full((40, 40), 9, np.uint8), "constant image"),
        (np.eye(32, 32, dtype=np.uint8), None),
    ],
)
def test_flaw(pixels, reason):
    assert slices.flaw(pixels) == reason


def test_only_known_terms_pass():
    assert slices.modality_of(" ct", None) == "CT"
    assert slices.modality_of("DOE", None) == slices.modality_of(None, None) == "OT"
    assert slices.modality_of(None, "US") == "US"
    assert slices.organ_of("whole body") == "WHOLEBODY"
    assert slices.organ_of("JOHN DOE") is slices.organ_of(None) is None
