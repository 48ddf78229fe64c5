"""The test images that went best, in the middle and worst, as a report shows them."""

import numpy as np

from data_pipelines.labels import fitting
from lvmmed_jax.downstream import examples, predictions, scores, trained

_NUM_OF_A_KIND = 3
_SIDE = 256  # pixels
KINDS = ("best", "median", "worst")


def arrays(
    network: trained.Trained,
    data: examples.Examples,
    rows: np.ndarray,
    found: scores.Found,
) -> dict[str, np.ndarray]:
    """Images with truth and prediction, worst last.

    Args:
      network: what predicted; masks are predicted once more.
      data: the examples.
      rows: those tested on.
      found: predictions of them.

    Returns:
      `image` uint8 [M, S, S, 3], zero at bottom and right; `inner` [M, 2], what is
      image in it; `kind`, `score`, and `name`, what the public may call each; of masks
      `truth` and `prediction` int32 [M, S, S], else texts; `class_names`.
    """
    values = scores.by_image(found)
    chosen = _spread(np.argsort(-values, kind="stable"))
    places = [place for own in chosen for place in own]
    own_rows = rows[places]
    images = [examples.picture(data, row) for row in own_rows.tolist()]
    sizes = [fitting.inner(each.shape[:2], _SIDE, keep_aspect=True) for each in images]
    listed = data.found.listing.examples
    made = {
        "image": np.stack(
            [fitting.image(each, _SIDE, 3, keep_aspect=True) for each in images]
        ),
        "inner": np.array(sizes),
        "kind": np.repeat(KINDS, list(map(len, chosen))),
        "score": values[places],
        "name": np.array([listed[row].image.public() for row in own_rows.tolist()]),
        "class_names": np.array(found.class_names),
    }
    if isinstance(found, predictions.Masks):
        pairs = predictions.each_mask(network.predictor, network.model, data, own_rows)
        sides = [[_square(mask) for mask in pair] for pair in pairs]
        truth, prediction = np.array(sides).swapaxes(0, 1)
    else:
        truth = np.array([_words(found, found.truth[place]) for place in places])
        prediction = np.array([_words(found, found.chances[place]) for place in places])
    return {**made, "truth": truth, "prediction": prediction}


def _spread(order: np.ndarray) -> tuple[list[int], list[int], list[int]]:
    """Places of the best, the median and the worst, none twice."""
    count = min(_NUM_OF_A_KIND, max(len(order) // 3, 1))
    middle = max((len(order) - count) // 2, count)
    best, median = order[:count], order[middle : middle + count]
    worst = order[max(len(order) - count, middle + count) :]
    return best.tolist(), median.tolist(), worst.tolist()


def _square(mask: np.ndarray) -> np.ndarray:
    return fitting.mask(mask, _SIDE, keep_aspect=True)


def _words(found: predictions.Classes, values: np.ndarray) -> str:
    """A class, or labels, of truth or of probabilities."""
    names = found.class_names
    if np.ndim(values) == 0:
        return names[int(values)]
    if found.multi_label:
        return ", ".join(n for n, v in zip(names, values, strict=True) if v > 0.5)
    best = int(values.argmax())
    return f"{names[best]} ({values[best]:.2f})"
