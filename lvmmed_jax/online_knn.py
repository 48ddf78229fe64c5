"""k-NN accuracy of the encoder while it trains, on labelled images."""

from collections.abc import Callable

import jax

from data_pipelines import labelled
from lvmmed_jax import config as configs
from lvmmed_jax import encoders, probes
from lvmmed_jax.train import sharding, state

METRIC = "knn_accuracy"


def make(
    config: configs.Config,
    data: str,
    first: state.TrainState,
    mesh: jax.sharding.Mesh,
) -> Callable[[state.TrainState], dict[str, float]]:
    """Builds state -> {"knn_accuracy"}: the share of images with the right class.

    Images that `evaluate` tests on (with its default seed) are left out, so that a
    checkpoint chosen by this metric was not chosen on them: measured on `val/` where
    there is one, else on a quarter of the training side.

    Args:
      config: of the run.
      data: a folder of labelled images, see `labelled.load`.
      first: any state of the run.
      mesh: its devices; one of each process computes the features.

    Raises:
      FileNotFoundError: there is no such folder.
      ValueError: it has no classes, or fewer than two.
    """
    examples = labelled.load_for_validation(data, seed=0)
    if examples.labels is None or len(set(examples.labels[~examples.is_test])) < 2:
        raise ValueError(f"{data}: on-line k-NN needs two classes at least, not masks")
    if not examples.is_test.any():
        raise ValueError(f"{data}: too few images to measure k-NN on some of them")
    images = encoders.Resized(examples.images, config.views.size)[:]
    train, test = ~examples.is_test, examples.is_test
    encoder = encoders.of_model(config, first.model)

    def variables(now: state.TrainState):
        return sharding.local_copy(encoders.variables_of(now.model), mesh)

    def measure(now: state.TrainState) -> dict[str, float]:
        current = encoder._replace(variables=variables(now))
        features = encoders.pooled_features(current, images)
        found = probes.knn(features[train], examples.labels[train], features[test])
        return {METRIC: float((found == examples.labels[test]).mean())}

    return measure
