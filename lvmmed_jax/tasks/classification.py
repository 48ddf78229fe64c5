"""Classes of images: one, any number, or grades, from the pooled features."""

import jax
import jax.numpy as jnp

from lvmmed_jax import augmentation, finetune_config
from lvmmed_jax.models import classifier
from lvmmed_jax.tasks import losses, stem


def make_task(
    config: finetune_config.Finetune, origin: stem.Origin, target: stem.Target
) -> stem.Task:
    """Builds the task.

    Args:
      config: the run's settings.
      origin: of the encoder.
      target: the classes.

    Raises:
      ValueError: fewer than two classes, or grades of which an image has several.
    """
    num_classes, multi = len(target.class_names), target.multi_label
    ordinal = config.model.head == "ordinal"
    if num_classes < 2 and not multi:
        raise ValueError(f"the data has {num_classes} class: two at least are told")
    if ordinal and multi:
        raise ValueError(
            "model.head=ordinal is for grades, one an image; the data has images with "
            "several labels: use model.head=linear"
        )
    if ordinal and not stem.are_grades(target.class_names):
        raise ValueError(
            "model.head=ordinal is for grades, whose names are whole numbers; the data "
            f"has {', '.join(target.class_names)}: use model.head=linear"
        )
    encoder = stem.make(config, origin)
    head = classifier.Classifier(num_classes, config.model.hidden, ordinal)
    weights, focal = target.weights, config.loss.focal

    def init(key):
        keys = jax.random.split(key)
        params, model_state = stem.init(encoder, keys[0], config.data.size)
        image = jnp.zeros((1, config.data.size, config.data.size, 3))
        (feature_map,), _ = stem.apply(encoder, params, model_state, image, train=False)
        return {
            **params,
            "head": head.init(keys[1], feature_map)["params"],
        }, model_state

    def scores(params, model_state, images, train):
        images = stem.normalise(encoder, images)
        (found,), statistics = stem.apply(
            encoder, params, model_state, images, train=train
        )
        logits = head.apply({"params": params["head"]}, found)
        return logits, {**model_state, "batch_stats": statistics}

    def loss_fn(params, model_state, batch, key):
        images = augmentation.augment(batch, key, config.augmentation)["image"]
        logits, model_state = scores(params, model_state, images, train=True)
        labels = batch["label"]
        if multi:
            loss = losses.binary_cross_entropy(
                logits, labels, positive_weights=weights, focal=focal
            )
            right = (logits > 0) == (labels > 0.5)
        else:
            loss = losses.cross_entropy(
                logits, labels, class_weights=weights, focal=focal
            )
            right = jnp.argmax(logits, axis=-1) == labels
        return loss, (model_state, {"accuracy": jnp.mean(right.astype(jnp.float32))})

    def predict(params, model_state, images):
        images = augmentation.plain(images)
        logits, _ = scores(params, model_state, images, train=False)
        return jax.nn.sigmoid(logits) if multi else jax.nn.softmax(logits)

    return stem.Task(init, loss_fn, predict)
