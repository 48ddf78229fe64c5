"""What a network says of images, at their own size, beside the truth."""

import concurrent.futures
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from data_pipelines.labels import batches, fitting, masks
from lvmmed_jax import finetune_config, mask_metrics
from lvmmed_jax.downstream import examples, windows
from lvmmed_jax.tasks import stem
from lvmmed_jax.train import sharding

_NUM_AHEAD = 16  # images that threads decode meanwhile


Progress = Callable[[int], None]


def _unheard(number: int) -> None:
    """Progress that nobody is told."""


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


class Classes(NamedTuple):
    """Predicted classes of some images.

    Attributes:
      class_names: K.
      multi_label: whether an image may have several.
      groups: [n], images of one number belong together.
      truth: int [n], or float [n, K] of 0 and 1.
      chances: probabilities, [n, K].
    """

    class_names: tuple[str, ...]
    multi_label: bool
    groups: np.ndarray
    truth: np.ndarray
    chances: np.ndarray


class Masks(NamedTuple):
    """Predicted masks of some images, measured; the masks themselves are not kept.

    Attributes:
      class_names: K, background first.
      groups: [n], images of one number belong together.
      in_truth: bool [n, K - 1], whether an image's truth has each class.
      in_found: bool [n, K - 1], whether what was found has.
      values: metric -> [n, K - 1]; nan where it is undefined.
    """

    class_names: tuple[str, ...]
    groups: np.ndarray
    in_truth: np.ndarray
    in_found: np.ndarray
    values: dict[str, np.ndarray]


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


def classes_of(
    predictor: Predictor,
    model: dict[str, Any],
    data: examples.Examples,
    rows: np.ndarray,
    *,
    progress: Progress = _unheard,
) -> Classes:
    """Predicted classes of some of a data set's examples.

    Args:
      predictor: of `make`.
      model: {"params", "model_state"}.
      data: the examples.
      rows: their numbers.
      progress: told the number of images done.
    """
    found = []
    for one in probabilities(predictor, model, ahead(data, rows.tolist())):
        found.append(one)
        progress(len(found))
    target = examples.target(data, False)
    truth = np.stack([examples.truth(data, row) for row in rows.tolist()])
    names, multi_label = target.class_names, target.multi_label
    return Classes(names, multi_label, data.of[rows], truth, np.stack(found))


def masks_of(
    predictor: Predictor,
    model: dict[str, Any],
    data: examples.Examples,
    rows: np.ndarray,
    *,
    metrics: Sequence[str] = tuple(mask_metrics.METRICS),
    resized: bool = False,
    progress: Progress = _unheard,
) -> Masks:
    """As `classes_of`, of masks.

    Args:
      predictor: see there; likewise the next three and the last.
      model: see there.
      data: see there.
      rows: see there.
      metrics: of `mask_metrics.METRICS`.
      resized: as the paper's code measures masks: at the network's size, all classes as
        one foreground.
      progress: see there.
    """
    names = masks.FOREGROUND if resized else data.found.class_names
    labels = range(1, len(names))
    presence, values = [], []
    each = each_mask(predictor, model, data, rows, resized=resized)
    for number, (truth, mask) in enumerate(each, start=1):
        presence.append([[(side == k).any() for k in labels] for side in (truth, mask)])
        values.append(
            [mask_metrics.measure(truth, mask, label, metrics) for label in labels]
        )
        progress(number)
    in_truth, in_found = np.array(presence).swapaxes(0, 1)
    measured = dict(zip(metrics, np.moveaxis(np.array(values), -1, 0), strict=True))
    return Masks(names, data.of[rows], in_truth, in_found, measured)


def each_mask(
    predictor: Predictor,
    model: dict[str, Any],
    data: examples.Examples,
    rows: np.ndarray,
    *,
    resized: bool = False,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(truth, what was found), int32 [H, W] each, of some examples; see `masks_of`."""
    rows, form = rows.tolist(), predictor.form
    images = ahead(data, rows)
    found = probabilities(predictor, model, images, resized=resized)
    for row, one in zip(rows, found, strict=True):
        truth, mask = examples.truth(data, row), one.argmax(axis=-1).astype(np.int32)
        if resized:
            side, keep = form.side, form.keep_aspect
            height, width = fitting.inner(truth.shape, side, keep_aspect=keep)
            truth = fitting.mask(truth, side, keep_aspect=keep)[:height, :width]
            truth, mask = ((each > 0).astype(np.int32) for each in (truth, mask))
        yield truth, mask


def ahead(data: examples.Examples, rows: Sequence[int]) -> Iterator[np.ndarray]:
    """The images of some rows, in order, a few decoded while others are used."""
    with concurrent.futures.ThreadPoolExecutor() as threads:
        for begin in range(0, len(rows), _NUM_AHEAD):
            chunk = rows[begin : begin + _NUM_AHEAD]
            yield from threads.map(lambda row: examples.picture(data, row), chunk)
