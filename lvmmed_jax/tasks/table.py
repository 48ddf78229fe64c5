"""The downstream tasks by name."""

from lvmmed_jax import finetune_config
from lvmmed_jax.tasks import classification, segmentation, stem

MAKERS = {
    "classification": classification.make_task,
    "segmentation": segmentation.make_task,
}


def make(
    config: finetune_config.Finetune, origin: stem.Origin, target: stem.Target
) -> stem.Task:
    """The task of a config.

    Raises:
      ValueError: it does not fit the encoder or the data.
    """
    return MAKERS[config.model.task](config, origin, target)
