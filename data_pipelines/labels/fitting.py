"""Images, masks and boxes to one square, and predictions back to the original size."""

import numpy as np
import PIL.Image

_RESAMPLING = PIL.Image.Resampling


def inner(size: tuple[int, int], side: int, *, keep_aspect: bool) -> tuple[int, int]:
    """(height, width) of the resized image in its square, at the top left.

    Args:
      size: of the original, in pixels.
      side: of the square.
      keep_aspect: the longer side fills the square, the rest is zero; else all is.
    """
    if not keep_aspect:
        return side, side
    longest = max(size)
    height, width = (max(1, round(each * side / longest)) for each in size)
    return height, width


def image(
    pixels: np.ndarray, side: int, channels: int, *, keep_aspect: bool
) -> np.ndarray:
    """uint8 [side, side, channels]; linear, and of a larger image an average.

    Args:
      pixels: uint8 [H, W] or [H, W, 3].
      side: pixels.
      channels: 1 makes colour grey (ITU-R BT.601), 3 repeats grey.
      keep_aspect: see `inner`.
    """
    picture = PIL.Image.fromarray(pixels).convert("L" if channels == 1 else "RGB")
    height, width = inner(pixels.shape[:2], side, keep_aspect=keep_aspect)
    resized = picture.resize((width, height), _RESAMPLING.BILINEAR)
    out = np.zeros((side, side, channels), np.uint8)
    out[:height, :width] = np.asarray(resized).reshape(height, width, channels)
    return out


def mask(values: np.ndarray, side: int, *, keep_aspect: bool) -> np.ndarray:
    """int32 [side, side]: the class at the nearest pixel; 0 beside the image.

    Args:
      values: int32 [H, W].
      side: pixels.
      keep_aspect: see `inner`.
    """
    height, width = inner(values.shape, side, keep_aspect=keep_aspect)
    out = np.zeros((side, side), np.int32)
    out[:height, :width] = _nearest(values, (height, width))
    return out


def window(
    size: tuple[int, int], side: int, place: tuple[float, float]
) -> tuple[slice, slice]:
    """Rows and columns of a window of an image as it is.

    Args:
      size: (height, width) of the image.
      side: of the window, which is smaller where the image is.
      place: among all there could be, in [0, 1), of rows and of columns.
    """
    starts = (
        int(share * (max(length - side, 0) + 1))
        for length, share in zip(size, place, strict=True)
    )
    return tuple(slice(start, start + side) for start in starts)


def padded_image(pixels: np.ndarray, side: int, channels: int) -> np.ndarray:
    """uint8 [side, side, channels] of a window, zero at bottom and right."""
    picture = PIL.Image.fromarray(pixels).convert("L" if channels == 1 else "RGB")
    return padded(np.asarray(picture).reshape(*pixels.shape[:2], channels), side)


def padded(values: np.ndarray, side: int) -> np.ndarray:
    """[side, side, ...] of [H, W, ...], zero at bottom and right."""
    out = np.zeros((side, side, *values.shape[2:]), values.dtype)
    out[: values.shape[0], : values.shape[1]] = values
    return out


def boxes(
    edges: np.ndarray, size: tuple[int, int], side: int, *, keep_aspect: bool
) -> np.ndarray:
    """float32 [m, 4] (y0, x0, y1, x1) in pixels of the square.

    Args:
      edges: float [m, 4] in pixels of the original.
      size: (height, width) of the original.
      side: pixels.
      keep_aspect: see `inner`.
    """
    scale = _scale(size, side, keep_aspect)
    return (edges * scale).astype(np.float32)


def original_boxes(
    edges: np.ndarray, size: tuple[int, int], side: int, *, keep_aspect: bool
) -> np.ndarray:
    """Boxes [m, 4] of the square, in pixels of the original, cut at its edges."""
    most = np.array([*size, *size], np.float64)
    return np.clip(edges / _scale(size, side, keep_aspect), 0, most)


def original_mask(
    values: np.ndarray, size: tuple[int, int], *, keep_aspect: bool
) -> np.ndarray:
    """A mask [side, side] at the original's size [H, W]: the nearest pixel.

    Scores make better edges: `original_scores`.
    """
    height, width = inner(size, len(values), keep_aspect=keep_aspect)
    return _nearest(values[:height, :width], size)


def original_scores(
    scores: np.ndarray, size: tuple[int, int], *, keep_aspect: bool
) -> np.ndarray:
    """Scores [side, side, K] -> float32 [H, W, K] at the original's size, linear."""
    height, width = inner(size, len(scores), keep_aspect=keep_aspect)
    planes = [
        PIL.Image.fromarray(
            np.ascontiguousarray(scores[:height, :width, label], np.float32)
        ).resize(size[::-1], _RESAMPLING.BILINEAR)
        for label in range(scores.shape[-1])
    ]
    return np.stack([np.asarray(plane) for plane in planes], axis=-1)


def _nearest(values, size) -> np.ndarray:
    """[H, W] of any integers; the pixel under each centre, as linear resizing sees."""
    rows, columns = (
        ((np.arange(to) + 0.5) * of / to).astype(np.int64)
        for to, of in zip(size, values.shape, strict=True)
    )
    return values[rows[:, None], columns]


def _scale(size, side, keep_aspect) -> np.ndarray:
    height, width = inner(size, side, keep_aspect=keep_aspect)
    return np.array([height / size[0], width / size[1]] * 2)
