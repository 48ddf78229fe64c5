import json

import metric_goldens
import numpy as np
import pytest

from lvmmed_jax import mask_metrics

GOLDENS = json.loads(metric_goldens.FILE.read_text())["borders"]
PAIRS = metric_goldens.pairs()


@pytest.mark.parametrize("name", list(PAIRS))
def test_border_distances_are_those_of_monai(name):
    truth, prediction = (each.astype(int) for each in PAIRS[name])
    found = {
        "hausdorff95": mask_metrics.hausdorff95(truth, prediction, 1),
        "hausdorff95_spacing": mask_metrics.hausdorff95(
            truth, prediction, 1, metric_goldens.SPACING
        ),
        "surface_dice_1": mask_metrics.surface_dice(truth, prediction, 1),
        "surface_dice_3": mask_metrics.surface_dice(truth, prediction, 1, 3.0),
    }
    assert found == pytest.approx(GOLDENS[name], rel=1e-5, abs=1e-6)


def test_overlaps_by_hand():
    truth, prediction = np.array([[1, 1, 2, 0]]), np.array([[1, 2, 2, 0]])
    assert mask_metrics.dice(truth, prediction, 1) == pytest.approx(2 / 3)
    assert mask_metrics.iou(truth, prediction, 1) == pytest.approx(1 / 2)
    assert mask_metrics.dice(truth, prediction, 2) == pytest.approx(2 / 3)


@pytest.mark.parametrize("function", [mask_metrics.dice, mask_metrics.iou])
def test_empty_masks_agree_and_one_empty_mask_is_all_wrong(function):
    empty, full = np.zeros((4, 4), int), np.ones((4, 4), int)
    assert function(empty, empty, 1) == 1.0
    assert function(full, empty, 1) == function(empty, full, 1) == 0.0


def test_without_a_border_there_is_no_distance():
    empty, full = np.zeros((4, 4), int), np.ones((4, 4), int)
    for pair in ((empty, empty), (full, empty), (empty, full)):
        assert np.isnan(mask_metrics.hausdorff95(*pair, 1))
    assert np.isnan(mask_metrics.surface_dice(empty, empty, 1))
    assert mask_metrics.surface_dice(full, empty, 1) == 0.0


def test_volumes_are_measured_whole():
    truth = np.zeros((5, 9, 9), int)
    truth[2, 4, 4] = 1
    moved = np.roll(truth, 2, axis=0)
    assert mask_metrics.hausdorff95(truth, moved, 1, (1.5, 1.0, 1.0)) == 3.0
    assert mask_metrics.dice(truth, truth, 1) == 1.0
