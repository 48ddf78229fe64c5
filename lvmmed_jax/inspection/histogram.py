"""The chart of a modality's grey levels."""

import numpy as np
from matplotlib import axes

from lvmmed_jax.report import figures

_SIZE = (3.6, 2.1)  # inches
_LEVELS_A_BAR = 2


def histogram(name: str, shares: np.ndarray) -> str:
    """Inline SVG of the share of pixels at each grey level.

    The two ends of the scale are left out: background or what was clipped would
    flatten all else.

    Args:
      name: of the modality.
      shares: [256], sum to 1.
    """
    inner = 100 * shares[1:-1].reshape(-1, _LEVELS_A_BAR).sum(axis=-1)
    edges = 1 + _LEVELS_A_BAR * np.arange(len(inner) + 1)

    def draw(ax: axes.Axes) -> None:
        ax.stairs(inner, edges, fill=True, color=figures.SERIES[0])
        ax.set(xlim=(0, 256), xlabel="grey level", ylabel="% of pixels")
        ax.set_xticks([0, 64, 128, 192, 255])
        ax.set_ylim(bottom=0)
        ax.grid(axis="x", visible=False)

    return figures.chart(f"Grey levels of {name}", _SIZE, draw)
