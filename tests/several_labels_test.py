"""Several labels an image: mean areas beside scikit-learn's."""

import numpy as np
import pytest
from sklearn import metrics

from lvmmed_jax import several_labels

RNG = np.random.default_rng(0)


def test_means_are_over_labels_that_can_be_measured():
    truth = RNG.random((80, 3)) < 0.5
    truth[:, 1] = True
    assert several_labels.measured(truth) == [0, 2]
    good, poor = truth + 0.5 * RNG.random((80, 3)), RNG.random((80, 3))
    scores, alone = {"pretrained": good, "random": poor}, np.arange(80)
    found = several_labels.mean_area(truth, scores, alone, seed=0)
    expected = metrics.roc_auc_score(truth[:, [0, 2]], poor[:, [0, 2]])
    assert found["random"].value == pytest.approx(expected)
    assert found["pretrained"] == (1, 1, 1)
    assert found["difference"].value == pytest.approx(1 - expected)
    assert found["random"].low < expected < found["random"].high
    with pytest.raises(ValueError, match="no label"):
        several_labels.mean_area(truth[:, [1]], {"random": poor[:, [1]]}, alone, seed=0)
