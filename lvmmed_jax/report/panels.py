"""Which curves a report shows, and what it says about them."""

from collections.abc import Mapping
from typing import NamedTuple


class Panel(NamedTuple):
    """One chart of curves.

    Attributes:
      title, note: what the page writes above and below it.
      labels: the legend's word by metric name.
      chance: whether there is a line of pure chance, that of the first run.
      from_zero: whether the axis starts at zero, so that a fall keeps its proportion.
      small: for the row of lesser charts.
    """

    title: str
    note: str
    labels: Mapping[str, str]
    chance: bool = False
    from_zero: bool = False
    small: bool = False


PANELS = (
    Panel(
        "Loss",
        "Lower is better. Noise keeps the noisy loss high even where matching is "
        "good: judge by the one without noise.",
        {"loss_no_noise": "without noise", "loss": "with noise"},
    ),
    Panel(
        "Matching accuracy",
        "Share of images matched to their own other view. It should rise well above "
        "chance, 1 / N in graphs of N images.",
        {"matching_accuracy": "without noise", "matching_accuracy_noisy": "with noise"},
        chance=True,
        from_zero=True,
    ),
    Panel(
        "Retrieval accuracy",
        "Share of images whose own other view is the nearest of N by the cosine of the "
        "embeddings; every method with two views has it.",
        {"retrieval_accuracy": "nearest by embedding"},
        chance=True,
        from_zero=True,
    ),
    Panel(
        "k-NN accuracy",
        "Share of labelled images whose class their nearest neighbours know, measured "
        "while training. It should rise above that of the first step.",
        {"knn_accuracy": "k-NN accuracy"},
    ),
    Panel(
        "Affinity of pairs",
        "Mean affinity of true pairs (two views of one image) and of all others. The "
        "gap should open; others above 0.9 is collapse.",
        {"affinity_true": "true pairs", "affinity_other": "other pairs"},
    ),
    Panel(
        "Embedding rank",
        "Number of directions that the embeddings use. A slow fall is normal, a fall "
        "to a few is collapse.",
        {"embedding_rank": "effective rank"},
        from_zero=True,
    ),
    Panel(
        "Embedding spread",
        "Of the embeddings' directions: 1 fills the space, 0 is collapse.",
        {"embedding_std": "spread"},
        from_zero=True,
        small=True,
    ),
    Panel("Learning rate", "", {"learning_rate": "learning rate"}, small=True),
    Panel("Gradient norm", "", {"gradient_norm": "gradient norm"}, small=True),
)

_VALIDATION = (
    "Measured on the validation part; the best checkpoint is the one that is used."
)
FINE_TUNING = (
    Panel("Loss", "Of the images trained on; lower is better.", {"loss": "loss"}),
    Panel("Dice", _VALIDATION, {"val_dice": "Dice"}, from_zero=True),
    Panel(
        "Classes",
        _VALIDATION,
        {
            "val_accuracy": "accuracy",
            "val_balanced_accuracy": "balanced accuracy",
            "val_auc": "mean AUC",
            "val_kappa": "quadratic kappa",
        },
        from_zero=True,
    ),
    *(panel for panel in PANELS if panel.title in ("Learning rate", "Gradient norm")),
)


def title(panel: Panel, key: str) -> str:
    """A panel's title, and which of its metrics where it has several."""
    several = len(panel.labels) > 1
    return f"{panel.title}, {panel.labels[key]}" if several else panel.title
