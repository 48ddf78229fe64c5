"""Reads PNG, JPEG and TIFF files; each page is a slice."""

import pathlib
from collections.abc import Iterator

import numpy as np

from data_pipelines import intensity, slices

FORMATS = ("PNG", "JPEG", "TIFF")  # Pillow opens these and nothing else
# Pillow's modes that are 8-bit once converted; the others hold measured values
_CONVERSIONS = {
    **dict.fromkeys(("1", "L", "LA"), "L"),
    **dict.fromkeys(("P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB"), "RGB"),
}


def read(path: pathlib.Path, context: slices.Context) -> Iterator[slices.Slice]:
    """Yields the pages of an image file.

    8-bit pages stay as they are; pages of more bits are scaled together.

    Args:
      path: a PNG, JPEG or TIFF file.
      context: these files say nothing of it themselves.
    """
    pages = pixels(path)
    modality = slices.modality_of(context.modality, None)
    name = intensity.UNTOUCHED
    if any(page.dtype != np.uint8 for page in pages):
        rule = intensity.rule_for(modality=modality, organ=None, hounsfield=False)
        pages, name = _scaled(pages, rule), rule.name
    for index, page in enumerate(pages):
        yield slices.Slice(
            pixels=slices.grey_where_equal(page),
            modality=modality,
            organ=None,
            spacing=None,
            identity=context.identity,
            index=index if len(pages) > 1 else None,
            intensity_rule=name,
        )


def pixels(path: pathlib.Path) -> list[np.ndarray]:
    """The pages of a file: [H, W] of any type, or [H, W, 3] RGB; alpha is dropped."""
    import PIL.Image
    import PIL.ImageSequence

    try:
        with PIL.Image.open(path, formats=FORMATS) as image:
            return [_array(page) for page in PIL.ImageSequence.Iterator(image)]
    except PIL.UnidentifiedImageError:
        if path.suffix.lower() in (".tif", ".tiff"):
            return _tiff_pages(path)
        raise


def _array(page) -> np.ndarray:
    mode = _CONVERSIONS.get(page.mode)
    return np.asarray(page.convert(mode) if mode else page)


def _tiff_pages(path):
    """What Pillow refuses: 16-bit colour, floats of 64 bits, rare compressions."""
    import tifffile

    with tifffile.TiffFile(path) as file:
        pages = [page.asarray() for page in file.pages]
    for page in pages:
        if page.ndim != 2 and (page.ndim != 3 or page.shape[-1] not in (3, 4)):
            raise slices.SkippedError("TIFF page that is neither grey nor RGB")
    return [page[..., :3] if page.ndim == 3 else page for page in pages]


def _scaled(pages, rule):
    """One scale for all pages where they have one shape, else one for each."""
    if len({page.shape for page in pages}) == 1:
        return list(intensity.to_uint8(np.stack(pages), rule))
    return [intensity.to_uint8(page, rule) for page in pages]
