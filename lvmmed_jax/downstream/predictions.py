"""What a network says of images, at their own size, beside the truth."""

import concurrent.futures
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from data_pipelines.labels import batches, fitting
from lvmmed_jax import finetune_config
from lvmmed_jax.downstream import examples, windows
from lvmmed_jax.tasks import stem
from lvmmed_jax.train import sharding

_NUM_AHEAD = 16  # images that threads decode meanwhile


class Predictor(NamedTuple):
    """A task's `predict` on whole images.

    Attributes:
      apply: ({"params", "model_state"}, uint8 [B, S, S, C]) -> probabilities.
      form: what images become.
      batch_size: B.
      segments: whether pixels are told, not images.
    """

    apply: Callable[[dict[str, Any], np.ndarray], np.ndarray]
    form: batches.Form
    batch_size: int
    segments: bool


class Of(NamedTuple):
    """Predictions of some test images.

    Attributes:
      class_names: K.
      multi_label: whether an image may have several.
      groups: [n], images of one number belong together.
      truth: [n], or [n, K]; n of int32 [H, W].
      found: probabilities [n, K]; n of predicted classes, int32 [H, W].
    """

    class_names: tuple[str, ...]
    multi_label: bool
    groups: np.ndarray
    truth: Any
    found: Any

    @property
    def segments(self) -> bool:
        """Whether these are masks."""
        return isinstance(self.found, list)


def make(
    config: finetune_config.Finetune,
    task: stem.Task,
    mesh: jax.sharding.Mesh,
    *,
    flips: bool = False,
) -> Predictor:
    """The predictor of a run.

    Args:
      config: its settings.
      task: what predicts.
      mesh: the devices; batches are cut over them.
      flips: the mean over an image, its mirror images and the image turned by half.
    """
    segments = config.model.task == "segmentation"

    @jax.jit
    def run(params, model_state, images):
        params, model_state = sharding.gather((params, model_state), mesh)
        found = []
        for axes in ((), (1,), (2,), (1, 2)) if flips else ((),):
            each = task.predict(params, model_state, jnp.flip(images, axes))
            found.append(jnp.flip(each, axes) if segments else each)
        return sum(found) / len(found)

    def apply(model, images):
        placed = jax.device_put(images, sharding.over_batch(mesh))
        return np.asarray(run(model["params"], model["model_state"], placed))

    size = config.data.global_batch // config.optimizer.accumulate
    size = -(-size // mesh.size) * mesh.size
    return Predictor(apply, examples.form(config.data), size, segments)


def probabilities(
    predictor: Predictor,
    model: dict[str, Any],
    images: Iterable[np.ndarray],
    *,
    resized: bool = False,
) -> Iterator[np.ndarray]:
    """Of each image [K], or [H, W, K] at its own size; see `windows`."""

    def network(squares):
        return predictor.apply(model, squares)

    if predictor.segments:
        return windows.masks(
            images, network, predictor.form, predictor.batch_size, resized=resized
        )
    return windows.classes(images, network, predictor.form, predictor.batch_size)


def of_rows(
    predictor: Predictor,
    model: dict[str, Any],
    data: examples.Examples,
    rows: np.ndarray,
    *,
    resized: bool = False,
    progress: Callable[[int], None] = lambda number: None,
) -> Of:
    """Predictions of some of a data set's examples.

    Args:
      predictor: of `make`.
      model: {"params", "model_state"}.
      data: the examples.
      rows: their numbers.
      resized: masks at the network's size, as the paper's code measures them.
      progress: told the number of images done.
    """
    rows, form = rows.tolist(), predictor.form
    images = ahead(data, rows)
    found, truths = [], []
    each = probabilities(predictor, model, images, resized=resized)
    for number, (row, one) in enumerate(zip(rows, each, strict=True), start=1):
        truth = examples.truth(data, row)
        if predictor.segments:
            one = one.argmax(axis=-1).astype(np.int32)
            if resized:
                side, keep = form.side, form.keep_aspect
                height, width = fitting.inner(truth.shape, side, keep_aspect=keep)
                truth = fitting.mask(truth, side, keep_aspect=keep)[:height, :width]
        found.append(one)
        truths.append(truth)
        progress(number)
    target = examples.target(data, False)
    if not predictor.segments:
        found, truths = np.stack(found), np.stack(truths)
    return Of(target.class_names, target.multi_label, data.of[rows], truths, found)


def ahead(data: examples.Examples, rows: Sequence[int]) -> Iterator[np.ndarray]:
    """The images of some rows, in order, a few decoded while others are used."""
    with concurrent.futures.ThreadPoolExecutor() as threads:
        for begin in range(0, len(rows), _NUM_AHEAD):
            chunk = rows[begin : begin + _NUM_AHEAD]
            yield from threads.map(lambda row: examples.picture(data, row), chunk)
