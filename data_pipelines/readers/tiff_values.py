"""The values of a TIFF page, block by block, as grey or RGB."""

import math
from collections.abc import Iterator

import numpy as np

from data_pipelines.readers import planes

_JPEG = (6, 7, 33007, 34892)  # compressions whose decoder gives RGB
_ALPHA = (1, 2)  # of ExtraSamples: multiplied already, not yet
# samples that a colour space has; others are not read
SAMPLES = {
    "MINISWHITE": 1,
    "MINISBLACK": 1,
    "PALETTE": 1,
    "RGB": 3,
    "YCBCR": 3,
    "SEPARATED": 4,
}


def blocks(file, page, skipped: int) -> Iterator[tuple[int, int, np.ndarray]]:
    """(top, left, [h, w] or RGB [h, w, 3]) of a page, as `planes.Plane` has them.

    Args:
      file: opened by tifffile.
      page: of it, whose colour space is one of SAMPLES.
      skipped: bytes before the image in the data of a page that is stored plainly.
    """
    found = _rows(file, page, skipped) if page.is_final else _segments(file, page)
    for top, left, values in found:
        yield top, left, _colours(page, values)


def _rows(file, page, skipped) -> Iterator[tuple[int, int, np.ndarray]]:
    """Bands [h, W, samples] of what is stored plainly, whatever its strips."""
    height, width = page.imagelength, page.imagewidth
    apart = page.samplesperpixel if page.planarconfig == 2 else 1
    together = page.samplesperpixel // apart
    dtype = page.dtype.newbyteorder(file.byteorder)
    row = width * together * dtype.itemsize
    band = max(1, planes.BLOCK // row)
    for top in range(0, height, band):
        count = min(band, height - top)
        parts = []
        for sample in range(apart):
            start = page.dataoffsets[0] + skipped + (sample * height + top) * row
            file.filehandle.seek(start)
            data = np.frombuffer(file.filehandle.read(count * row), dtype)
            parts.append(data.reshape(count, width, together))
        yield top, 0, parts[0] if apart == 1 else np.concatenate(parts, axis=-1)


def _segments(file, page) -> Iterator[tuple[int, int, np.ndarray]]:
    """Tiles or strips [h, w, samples], decoded one by one."""
    apart = page.samplesperpixel if page.planarconfig == 2 else 1
    number = math.prod(page.chunked) // apart
    for index in range(number):
        parts = [
            _decoded(file, page, index + sample * number) for sample in range(apart)
        ]
        if any(values is None for _, values in parts):
            continue  # never written: stays black
        (_, _, top, left, _), _ = parts[0]
        values = np.concatenate([values[0] for _, values in parts], axis=-1)
        yield top, left, values[: page.imagelength - top, : page.imagewidth - left]


def _decoded(file, page, index):
    """(where in the page, values [1, h, w, samples] or None) of a tile or strip."""
    offset, size = page.dataoffsets[index], page.databytecounts[index]
    data = None
    if offset and size:
        file.filehandle.seek(offset)
        data = file.filehandle.read(size)
    values, place, _ = page.decode(
        data, index, jpegtables=page.jpegtables, jpegheader=page.jpegheader
    )
    return place, values


def _colours(page, values) -> np.ndarray:
    """[h, w] or RGB [h, w, 3] of the samples [h, w, s] of a page, alpha applied."""
    name = page.photometric.name
    count = SAMPLES[name]
    colours = values[..., :count]
    if name == "PALETTE":
        return _palette(page.colormap)[colours[..., 0]]
    if colours.dtype == np.uint8 and page.bitspersample < 8:
        highest = 2**page.bitspersample - 1
        colours = (colours.astype(np.uint16) * 255 // highest).astype(np.uint8)
    if name == "SEPARATED":
        colours = _from_inks(colours)
    if name == "YCBCR" and page.compression not in _JPEG:
        colours = _from_luminance(colours)
    colours = colours[..., 0] if count == 1 else colours
    kinds = list(page.extrasamples)
    alpha = next((i for i, kind in enumerate(kinds) if kind in _ALPHA), None)
    if alpha is not None and kinds[alpha] == 2 and count + alpha < values.shape[-1]:
        return planes.over_black(colours, values[..., count + alpha])
    return colours


def _palette(colormap) -> np.ndarray:
    """uint8 [n, 3]; most files hold 16 bits, as they should, some hold 8."""
    colormap = np.asarray(colormap)
    shift = 8 if colormap.max() > 255 else 0
    return (colormap >> shift).astype(np.uint8).T


def _from_inks(values) -> np.ndarray:
    """RGB of cyan, magenta, yellow and black, without a colour profile."""
    highest = np.iinfo(values.dtype).max
    light = 1 - values.astype(np.float32) / highest
    return np.rint(light[..., :3] * light[..., 3:] * highest).astype(values.dtype)


def _from_luminance(values) -> np.ndarray:
    import PIL.Image

    height, width = values.shape[:2]
    raw = PIL.Image.frombytes("YCbCr", (width, height), values.tobytes())
    return np.asarray(raw.convert("RGB"))
