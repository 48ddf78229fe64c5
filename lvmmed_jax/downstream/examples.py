"""The labelled images of a run: read, grouped, split, and few of them chosen."""

import collections
import contextlib
import hashlib
import json
import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from data_pipelines import labelled, reading, salt, slices
from data_pipelines.labels import (
    batches,
    decoding,
    examples,
    groups,
    layouts,
    masks,
    splits,
    survey,
)
from lvmmed_jax import few_labels, finetune_config, progress
from lvmmed_jax.tasks import stem

_NUM_THREADS = 4  # that read images once, to look at them
_SPLIT_SEED = 0  # the same for every run, so that all are tested on the same images
_KINDS = {
    examples.CLASSES: "classification",
    examples.LABELS: "classification",
    examples.MASKS: "segmentation",
}


class Examples(NamedTuple):
    """A labelled data set and which of it is for what.

    Attributes:
      found: the examples.
      rows: part -> the numbers of its examples; of "train" the few that are wanted.
      of: [n] the number of each example's group.
      notes: reason -> how many examples were left out or changed for it.
      sha256: of all contents and their truth.
    """

    found: survey.Survey
    rows: dict[str, np.ndarray]
    of: np.ndarray
    notes: dict[str, int]
    sha256: str


def read(data: str) -> survey.Survey:
    """Reads every example once.

    Args:
      data: see `labels.layouts.find`.

    Raises:
      FileNotFoundError: there is no such data.
      ValueError: it has another layout, or nothing that can be used.
    """
    if data == labelled.MNI:
        raise ValueError(f"{data} is for probes: fine-tuning takes a folder or a file")
    context = slices.Context()
    listing = layouts.find(data, context)
    total = len(listing.examples)
    with progress.counted("reading", total=total, unit="images") as done:
        return survey.survey(
            listing,
            decoding.Decoder(context, None),
            num_threads=_NUM_THREADS,
            progress=done,
        )


def divide(
    found: survey.Survey,
    settings: finetune_config.Data,
    *,
    seed: int,
    splits_file: pathlib.Path,
    salt_file: pathlib.Path | None,
) -> Examples:
    """Splits examples by groups and chooses few of those to train on.

    Args:
      found: of `read`.
      settings: of the data.
      seed: of the choice of few labels.
      splits_file: where the split is kept; of data that brings one, none.
      salt_file: keys its hashes; None: the user's own.

    Raises:
      ValueError: the file is of other data, or no example is left for training.
    """
    together = groups.find(found, near=settings.near_copies)
    split = splits.decide(
        found,
        together,
        path=splits_file,
        salt_key=salt.load(salt_file or salt.default_path()),
        shares=splits.Shares(settings.val_share, settings.test_share),
        seed=_SPLIT_SEED,
    )
    rows = {part: split.of(part) for part in examples.PARTS}
    rows["train"] = _few(found, together, rows["train"], settings.labels, seed)
    if not len(rows["train"]):
        raise ValueError(f"{found.listing.root}: no example is left to train on")
    notes = examples.counts([*found.listing.notes, *split.notes])
    return Examples(found, rows, together.of, notes, _digest(found))


def elsewhere(found: survey.Survey, names: tuple[str, ...]) -> Examples:
    """Data that no run was trained on: all of it is to test on.

    Args:
      found: of `read`.
      names: the classes that a network tells; the data may lack some.

    Raises:
      ValueError: the data has a class that the network does not know.
    """
    unknown = [name for name in found.class_names if name not in names]
    if unknown:
        raise ValueError(
            f"{found.listing.root}: has {', '.join(found.class_names)}, and the "
            f"network tells {', '.join(names)}"
        )
    if found.meaning is None:
        found = found._replace(listing=found.listing._replace(class_names=names))
    elif found.class_names != names:  # classes of masks are called as they are stored
        values = tuple(map(int, names[1:]))
        found = found._replace(
            meaning=found.meaning._replace(values=values, names=names)
        )
    rows = {part: np.arange(0) for part in examples.PARTS}
    rows["test"] = np.arange(len(found.looks))
    together = groups.find(found, near=True)
    notes = examples.counts(found.listing.notes)
    return Examples(found, rows, together.of, notes, _digest(found))


def _few(found, together, train, labels: str, seed: int) -> np.ndarray:
    """The rows of the training part that few labels leave."""
    if not labels:
        return train
    budgets = few_labels.parse(labels)
    if len(budgets) != 1:
        raise ValueError(f"data.labels={labels!r} must be one share or number")
    strata = splits.rarest(found)
    kept = splits.subset(
        [together.keys[group] for group in together.of[train].tolist()],
        [strata[row] for row in train.tolist()],
        share=budgets[0].share,
        per_class=budgets[0].per_class,
        seed=seed,
    )
    return train[kept]


def _digest(found: survey.Survey) -> str:
    """Of contents and truth, whatever the files are called."""
    digest = hashlib.sha256(repr(found.class_names).encode())
    for example, look in zip(found.listing.examples, found.looks, strict=True):
        truth = example.label if look.mask is None else look.mask.content
        digest.update(look.content + repr(truth).encode())
    return digest.hexdigest()


def check_task(found: survey.Survey, task: str) -> None:
    """Refuses data whose truth is of another task.

    Raises:
      ValueError: so.
    """
    listing = found.listing
    own = _KINDS.get(listing.kind)
    if own != task:
        raise ValueError(
            f"{listing.root}: has {listing.kind}; model.task={task} takes "
            + ("masks" if task == "segmentation" else "classes of images")
        )


def target(data: Examples, class_weights: bool) -> stem.Target:
    """What is to be told, with the weights of classes that training images give.

    Class k of n images in K classes has n / (K n_k), as scikit-learn's "balanced"; a
    label of several an image n / n_k - 1, as torch's pos_weight. One without an image
    to train on weighs nothing: no image would show it; a label of all images weighs 1.

    Args:
      data: the examples.
      class_weights: whether there are weights.
    """
    found = data.found
    names, train = found.class_names, data.rows["train"]
    multi = found.listing.kind == examples.LABELS
    weights: tuple[float, ...] = ()
    if class_weights:
        times = collections.Counter(
            name for row in train.tolist() for name in found.classes_of(row)
        )
        total = len(train)
        counts = [times[name] for name in names]
        if multi:
            weights = tuple(
                total / each - 1 if 0 < each < total else float(each > 0)
                for each in counts
            )
        else:
            weights = tuple(
                total / (len(names) * each) if each else 0.0 for each in counts
            )
    return stem.Target(names, multi, weights)


def train_batches(
    data: Examples, settings: finetune_config.Data, *, seed: int, start: int
) -> Iterator[dict[str, np.ndarray]]:
    """An endless iterator of batches to train on, see `labels.batches`; close it."""
    return batches.train_batches(
        data.found,
        data.rows["train"],
        form=form(settings),
        global_batch=settings.global_batch,
        balance=settings.balance_by,
        seed=seed,
        start=start,
        num_workers=settings.num_workers,
        share=batches.Share(0, 1),
    )


def form(settings: finetune_config.Data) -> batches.Form:
    """What an example becomes in a batch."""
    return batches.Form(
        settings.size, settings.channels, settings.keep_aspect, settings.native
    )


def truth(data: Examples, row: int) -> Any:
    """A class's number, or float32 [K] of labels, or int32 [H, W] of a mask."""
    example = data.found.listing.examples[row]
    if example.mask is not None:
        with _as_error(example.mask):
            return batches.stored_mask(data.found, example)
    return batches.label_of(example.label, data.found.class_names)


def picture(data: Examples, row: int) -> np.ndarray:
    """The image of a row, uint8 [H, W] or [H, W, 3]."""
    place = data.found.listing.examples[row].image
    with _as_error(place):
        return data.found.decoder.picture(place).pixels


@contextlib.contextmanager
def _as_error(place: Any) -> Iterator[None]:
    """A file that could be read when the run began is a mistake when it cannot."""
    try:
        yield
    except slices.SkippedError as error:
        raise ValueError(f"{place.public()} {error}, which was read before") from error


def mask_values(meaning: masks.Meaning) -> list[int]:
    """What a mask's file holds for each class, as the data's own files do.

    The foreground alone is 255: a person sees it, and it is read back as foreground.
    Values that 8 bits do not hold become the numbers of the classes.
    """
    if len(meaning.names) == 2:
        return [0, 255]
    if min(meaning.values) < 0 or max(meaning.values) > 255:
        return list(range(len(meaning.names)))
    return [0, *meaning.values]


def split_sha256(data: Examples) -> str:
    """Of which example is for what."""
    parts = {part: rows.tolist() for part, rows in data.rows.items()}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def identities(data: Examples, row: int) -> tuple[tuple[str, str], ...]:
    """What names the image of a row, in clear, see `slices.Slice`; stays in memory."""
    place = data.found.listing.examples[row].image
    own = () if place.array else reading.base_name(place.path)
    return (*data.found.decoder.picture(place).identities, *own)
