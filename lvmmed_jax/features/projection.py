"""Features in two or three dimensions: PCA, and UMAP where it is installed."""

from collections.abc import Sequence

import numpy as np

_EDGE = 2  # per cent of the cells that may be clipped at each end of a colour
_UMAP_NEIGHBOURS = 15


def pca(features: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first components of features [n, D].

    Returns:
      [n, count], 0 beyond what there is; the share of the variance of each, [count].
    """
    from sklearn import decomposition

    most = min(count, *features.shape)
    model = decomposition.PCA(most, svd_solver="auto", random_state=0)
    with np.errstate(invalid="ignore"):  # 0 / 0 where all are equal
        points = model.fit_transform(features.astype(np.float64))
    shares = np.nan_to_num(model.explained_variance_ratio_)
    missing = count - most
    return np.pad(points, ((0, 0), (0, missing))), np.pad(shares, (0, missing))


def umap(features: np.ndarray) -> np.ndarray | None:
    """[n, 2] by UMAP on cosine distances; None where umap-learn is not installed.

    Reference: McInnes et al. 2018.
    """
    try:
        import umap as package
    except ImportError:
        return None
    neighbours = min(_UMAP_NEIGHBOURS, len(features) - 1)
    model = package.UMAP(
        n_neighbors=neighbours, metric="cosine", random_state=0, n_jobs=1
    )
    return model.fit_transform(features)


def colours(maps: Sequence[np.ndarray]) -> tuple[list[np.ndarray], float]:
    """Feature maps as colours: the first three components of all cells as RGB.

    Args:
      maps: of [R, S, D].

    Returns:
      Of each uint8 [R, S, 3], on one scale; the share of the variance that is shown.
    """
    cells = np.concatenate([each.reshape(-1, each.shape[-1]) for each in maps])
    points, shares = pca(cells, 3)
    low, high = np.percentile(points, (_EDGE, 100 - _EDGE), axis=0)
    scaled = (points - low) / np.maximum(high - low, 1e-12)
    levels = (255 * np.clip(scaled, 0, 1)).round().astype(np.uint8)
    ends = np.cumsum([each.shape[0] * each.shape[1] for each in maps])
    parts = np.split(levels, ends[:-1])
    found = [
        part.reshape(*each.shape[:2], 3) for part, each in zip(parts, maps, strict=True)
    ]
    return found, float(shares.sum())
