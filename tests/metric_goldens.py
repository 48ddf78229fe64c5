"""Makes `goldens/metrics.json`: what MONAI and torchmetrics say of the same inputs.

    pip install torch monai==1.5.1 torchmetrics==1.9.0
    PYTHONPATH=.:tests python tests/metric_goldens.py

takes seconds. Inputs are drawn anew wherever they are needed.
"""

import json
import pathlib

import numpy as np

FILE = pathlib.Path(__file__).with_name("goldens") / "metrics.json"
SPACING = (0.7, 1.3)
NUM_CLASSES = 4
SEEDS = (0, 1, 2)


def pairs():
    """Name -> (truth, prediction), bool [40, 48], in which all that may happen does."""
    rows, columns = np.mgrid[:40, :48]

    def disc(row, column, radius):
        return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2

    rng = np.random.default_rng(7)
    one = np.zeros((40, 48), bool)
    one[3, 5] = True
    return {
        "shifted": (disc(20, 20, 9), disc(23, 24, 9)),
        "far part": (disc(20, 20, 9), disc(20, 20, 9) | disc(3, 44, 2)),
        "at the edge": (disc(0, 10, 8), disc(2, 12, 8)),
        "ring": (disc(20, 24, 12) & ~disc(20, 24, 6), disc(20, 24, 11)),
        "noise": (rng.random((40, 48)) < 0.2, rng.random((40, 48)) < 0.2),
        "a pixel": (one, disc(20, 20, 3)),
        "equal": (disc(15, 30, 7), disc(15, 30, 7)),
        "all": (np.ones((40, 48), bool), disc(20, 20, 9)),
    }


def classified(seed, classes=range(NUM_CLASSES), count=60, digits=2):
    """Classes [n], and probabilities [n, K], of few digits with ties."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(list(classes), count)
    scores = rng.normal(size=(count, NUM_CLASSES)) + 1.5 * np.eye(NUM_CLASSES)[truth]
    chances = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return truth, chances.round(digits)


def main():
    """Computes and writes them."""
    import monai
    import torch
    import torchmetrics
    from monai import metrics
    from torchmetrics.functional import classification

    def of(function, pair, **more):
        truth, prediction = (torch.tensor(each[None, None]) for each in pair)
        return float(function(prediction, truth, include_background=True, **more))

    distance, share = metrics.compute_hausdorff_distance, metrics.compute_surface_dice
    borders = {
        name: {
            "hausdorff95": of(distance, pair, percentile=95),
            "hausdorff95_spacing": of(distance, pair, percentile=95, spacing=SPACING),
            "surface_dice_1": of(share, pair, class_thresholds=[1.0]),
            "surface_dice_3": of(share, pair, class_thresholds=[3.0]),
        }
        for name, pair in pairs().items()
    }
    calibration = {}
    for seed in SEEDS:
        # no confidence at the edge of a bin, which torchmetrics closes below
        truth, chances = map(torch.tensor, classified(seed, digits=9))
        calibration[str(seed)] = float(
            classification.multiclass_calibration_error(
                chances, truth, num_classes=NUM_CLASSES, n_bins=15, norm="l1"
            )
        )
    packages = {each.__name__: each.__version__ for each in (monai, torchmetrics)}
    about = {"packages": packages, "borders": borders, "calibration": calibration}
    FILE.write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    main()
