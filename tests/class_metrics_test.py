import json
import warnings

import metric_goldens
import numpy as np
import pytest
from sklearn import metrics

from lvmmed_jax import class_metrics

K = metric_goldens.NUM_CLASSES


def _drawn(seed, **more):
    truth, chances = metric_goldens.classified(seed, **more)
    return truth, chances, chances.argmax(axis=1)


@pytest.mark.parametrize("seed", range(3))
def test_values_are_those_of_scikit_learn(seed):
    truth, chances, prediction = _drawn(seed)
    assert class_metrics.accuracy(truth, prediction) == pytest.approx(
        metrics.accuracy_score(truth, prediction)
    )
    assert class_metrics.balanced_accuracy(truth, prediction, K) == pytest.approx(
        metrics.balanced_accuracy_score(truth, prediction)
    )
    np.testing.assert_allclose(
        class_metrics.f1_scores(truth, prediction, K),
        metrics.f1_score(truth, prediction, average=None, labels=range(K)),
    )
    np.testing.assert_allclose(
        class_metrics.aucs(truth, chances),
        [metrics.roc_auc_score(truth == k, chances[:, k]) for k in range(K)],
    )
    assert class_metrics.quadratic_kappa(truth, prediction, K) == pytest.approx(
        metrics.cohen_kappa_score(
            truth, prediction, labels=range(K), weights="quadratic"
        )
    )


def test_an_absent_class_is_nan_and_in_no_mean():
    truth, chances, prediction = _drawn(5, classes=(0, 1, 3))
    assert (prediction == 2).any()  # called so, though none is
    for values in (
        class_metrics.recalls(truth, prediction, K),
        class_metrics.f1_scores(truth, prediction, K),
        class_metrics.aucs(truth, chances),
    ):
        np.testing.assert_array_equal(np.isnan(values), [False, False, True, False])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # y_pred has classes not in y_true
        expected = metrics.balanced_accuracy_score(truth, prediction)
    found = class_metrics.balanced_accuracy(truth, prediction, K)
    assert found == pytest.approx(expected)
    macro = metrics.f1_score(truth, prediction, average="macro", labels=[0, 1, 3])
    own = class_metrics.f1_scores(truth, prediction, K)
    assert class_metrics.mean_of_defined(own) == pytest.approx(macro)


def test_one_class_alone_has_no_area_and_equal_grades_no_kappa():
    truth, chances = np.zeros(5, int), np.full((5, K), 0.25)
    assert np.isnan(class_metrics.aucs(truth, chances)).all()
    assert np.isnan(class_metrics.mean_of_defined(class_metrics.aucs(truth, chances)))
    assert np.isnan(class_metrics.quadratic_kappa(truth, truth, K))
    assert class_metrics.quadratic_kappa(truth, truth + 1, K) == 0.0


def test_areas_of_several_labels_are_those_of_each():
    rng = np.random.default_rng(0)
    truth = (rng.random((50, 3)) < 0.4).astype(np.float32)
    chances = rng.random((50, 3)).round(1)
    expected = [metrics.roc_auc_score(truth[:, k], chances[:, k]) for k in range(3)]
    np.testing.assert_allclose(class_metrics.aucs(truth, chances), expected)


def test_calibration_error_is_that_of_torchmetrics():
    golden = json.loads(metric_goldens.FILE.read_text())["calibration"]
    for seed in metric_goldens.SEEDS:
        truth, chances, _ = _drawn(seed, digits=9)
        found = class_metrics.calibration_error(truth, chances)
        assert found == pytest.approx(golden[str(seed)], rel=1e-5)


def test_calibration_by_hand():
    chances = np.array([[0.9, 0.1], [0.9, 0.1], [0.3, 0.7]])
    truth = np.array([0, 1, 1])  # confidence 0.9 is right in half, 0.7 in all
    expected = (2 * abs(0.5 - 0.9) + abs(1.0 - 0.7)) / 3
    assert class_metrics.calibration_error(truth, chances) == pytest.approx(expected)
    labels = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    sure = class_metrics.calibration_error(labels, labels)
    assert sure == pytest.approx(0.0)
