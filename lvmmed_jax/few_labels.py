"""Probes that learn from few labels: some of each class, drawn with several seeds."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from data_pipelines import labelled
from data_pipelines.labels import splits


class Budget(NamedTuple):
    """How many labels of each class are learned from; one of the two is None.

    Attributes:
      share: of each class, in (0, 1].
      per_class: images of each class.
    """

    share: float | None
    per_class: int | None

    def __str__(self) -> str:
        """For people, such as "5 %" or "5 a class"."""
        if self.share is None:
            return f"{self.per_class} a class"
        return f"{100 * self.share:g} %"


def parse(text: str) -> tuple[Budget, ...]:
    """Budgets, such as "1%,25%,10": shares, and numbers of images a class.

    Raises:
      ValueError: another form, or out of range.
    """
    found = []
    for word in filter(None, text.split(",")):
        number = word.strip().removesuffix("%")
        try:
            share = float(number) / 100 if word.strip().endswith("%") else None
            budget = Budget(share, None if share is not None else int(number))
        except ValueError:
            raise ValueError(_refusal(word)) from None
        if not (budget.per_class if share is None else share) > 0 or (share or 0) > 1:
            raise ValueError(_refusal(word))
        found.append(budget)
    return tuple(found)


def _refusal(word: str) -> str:
    return f"few labels: {word!r} is neither a share such as 5% nor a number a class"


class Drawn(NamedTuple):
    """A probe over the seeds.

    Attributes:
      correct: bool [S, m], whether each test image's class is right.
      num_train: images that were learned from, the mean over the seeds.
    """

    correct: np.ndarray
    num_train: int


def accuracy(
    features: np.ndarray,
    data: labelled.Labelled,
    probe: Callable[..., np.ndarray],
    budget: Budget,
    seeds: Sequence[int],
) -> Drawn:
    """What a probe gets right that learned from few labels.

    A seed draws the same images whatever the features, and its larger budgets hold its
    smaller ones. Images that must stand on one side are drawn together.

    Args:
      features: [n, D].
      data: n images with their classes.
      probe: (training features, labels, test features) -> predicted labels.
      budget: of labels.
      seeds: S of them.
    """
    truth, counts, correct = data.labels[data.is_test], [], []
    for rows in _drawn(data, budget, seeds):
        counts.append(len(rows))
        found = probe(features[rows], data.labels[rows], features[data.is_test])
        correct.append(found == truth)
    return Drawn(np.stack(correct), round(np.mean(counts)))


def _drawn(data, budget, seeds) -> Iterator[np.ndarray]:
    """The rows of training images that are learned from, seed by seed."""
    train = np.flatnonzero(~data.is_test)
    keys = data.keys or [str(row).encode() for row in range(len(data.labels))]
    for seed in seeds:
        kept = splits.subset(
            [keys[row] for row in train],
            [str(data.labels[row]) for row in train],
            share=budget.share,
            per_class=budget.per_class,
            seed=seed,
        )
        yield train[kept]
