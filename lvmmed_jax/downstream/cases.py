"""The test images that went best, in the middle and worst, as a report shows them."""

import numpy as np

from data_pipelines.labels import fitting
from lvmmed_jax.downstream import examples, predictions, scores

_NUM_OF_A_KIND = 3
_SIDE = 256  # pixels
KINDS = ("best", "median", "worst")


def arrays(
    data: examples.Examples, rows: np.ndarray, found: predictions.Of
) -> dict[str, np.ndarray]:
    """Images with truth and prediction, worst last.

    Args:
      data: the examples.
      rows: those tested on.
      found: predictions of them, at their own size or resized.

    Returns:
      `image` uint8 [M, S, S, 3], zero at bottom and right; `inner` [M, 2], what is
      image in it; `kind`, `score`, and `name`, what the public may call each; of masks
      `truth` and `prediction` int32 [M, S, S], else texts; `class_names`.
    """
    values = scores.by_image(found)
    order = np.argsort(-values, kind="stable")
    chosen = _spread(order)
    places = [place for places in chosen for place in places]
    kinds = [
        kind for kind, own in zip(KINDS, chosen, strict=True) for _ in range(len(own))
    ]
    images = [examples.picture(data, int(rows[place])) for place in places]
    sizes = [fitting.inner(each.shape[:2], _SIDE, keep_aspect=True) for each in images]
    listed = data.found.listing.examples
    made = {
        "image": np.stack(
            [fitting.image(each, _SIDE, 3, keep_aspect=True) for each in images]
        ),
        "inner": np.array(sizes),
        "kind": np.array(kinds),
        "score": values[places],
        "name": np.array([listed[rows[place]].image.public() for place in places]),
        "class_names": np.array(found.class_names),
    }
    for side, truths in (("truth", found.truth), ("prediction", found.found)):
        if found.segments:
            made[side] = np.stack([_square(truths[place]) for place in places])
        else:
            made[side] = np.array([_words(found, truths[place]) for place in places])
    return made


def _spread(order: np.ndarray) -> tuple[list[int], list[int], list[int]]:
    """Places of the best, the median and the worst, none twice."""
    count = min(_NUM_OF_A_KIND, max(len(order) // 3, 1))
    middle = max((len(order) - count) // 2, count)
    best, median = order[:count], order[middle : middle + count]
    worst = order[max(len(order) - count, middle + count) :]
    return best.tolist(), median.tolist(), worst.tolist()


def _square(mask: np.ndarray) -> np.ndarray:
    return fitting.mask(mask, _SIDE, keep_aspect=True)


def _words(found: predictions.Of, values) -> str:
    """A class, or labels, of truth or of probabilities."""
    names = found.class_names
    if np.ndim(values) == 0:
        return names[int(values)]
    if found.multi_label:
        return ", ".join(n for n, v in zip(names, values, strict=True) if v > 0.5)
    best = int(values.argmax())
    return f"{names[best]} ({values[best]:.2f})"
