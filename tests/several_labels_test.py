"""Several labels an image: areas beside scikit-learn's, probes that learn."""

import numpy as np
import pytest
from sklearn import metrics

from lvmmed_jax import several_labels

RNG = np.random.default_rng(0)


def test_areas_are_those_of_scikit_learn_with_ties_and_weights():
    truth = RNG.random(200) < 0.3
    scores = np.round(truth + RNG.normal(size=200), 1)  # many ties
    weights = RNG.integers(0, 4, 200)
    place = np.unique(scores, return_inverse=True)[1]
    curve = several_labels.Curve(place, truth)
    for each in (np.ones(200), weights):
        expected = metrics.roc_auc_score(truth, scores, sample_weight=each)
        assert curve.area(each) == pytest.approx(expected, abs=1e-12)
    assert np.isnan(curve.area(1.0 * truth))  # only one side counts


@pytest.mark.parametrize("probe", [several_labels.knn, several_labels.linear])
def test_probes_find_labels_that_features_show(probe):
    labels = RNG.random((300, 3)) < 0.4
    labels[:200, 2] = False  # no training image has it
    features = labels @ RNG.normal(size=(3, 8)) + 0.1 * RNG.normal(size=(300, 8))
    scores = probe(features[:200], labels[:200], features[200:])
    assert scores.shape == (100, 3)
    for label in (0, 1):
        assert metrics.roc_auc_score(labels[200:, label], scores[:, label]) > 0.95
    assert np.ptp(scores[:, 2]) == 0


def test_means_are_over_labels_that_can_be_measured():
    truth = RNG.random((80, 3)) < 0.5
    truth[:, 1] = True
    assert several_labels.measured(truth) == [0, 2]
    good, poor = truth + 0.5 * RNG.random((80, 3)), RNG.random((80, 3))
    found = several_labels.mean_area(
        truth, {"pretrained": good, "random": poor}, seed=0
    )
    expected = metrics.roc_auc_score(truth[:, [0, 2]], poor[:, [0, 2]])
    assert found["random"].value == pytest.approx(expected)
    assert found["pretrained"] == (1, 1, 1)
    assert found["difference"].value == pytest.approx(1 - expected)
    assert found["random"].low < expected < found["random"].high
    with pytest.raises(ValueError, match="no label"):
        several_labels.mean_area(truth[:, [1]], {"random": poor[:, [1]]}, seed=0)
