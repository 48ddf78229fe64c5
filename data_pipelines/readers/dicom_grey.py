"""Grey DICOM values become uint8, as those who read such images see them."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from data_pipelines import intensity
from data_pipelines.readers import dicom_header, dicom_tables, dicom_window

# projections, and what is of an unknown device: their values have no unit, and they are
# read in the window that the file brings
_SHOWN_AS_SENT = ("CR", "DX", "MG", "OT", "PX", "RF", "XA")
_HOUNSFIELD = ("", "HU", "US")  # US: unspecified, as several writers say of all
_HOUNSFIELD_SLOPES = 1e-2, 1e2  # beyond them CT's values are in no unit that we know
_SAMPLED = 2**25  # values of a volume that percentiles are taken of


class Scale(NamedTuple):
    """How the grey values of a file or a series become uint8.

    Attributes:
      name: what a record stores.
      view: which of the file's own views, or None.
      rule: a row of `intensity`, or None; with neither the values are kept.
    """

    name: str
    view: int | None = None
    rule: intensity.Rule | None = None


def scale_of(
    dataset, modality: str, organ: str | None, index: int, stored: np.ndarray
) -> Scale:
    """The scale of a file.

    Radiographs and what has no modality: the first VOI table, else the first window,
    that does not leave the frame constant. All others, see `table_scale`.

    Args:
      dataset: the header.
      modality, organ: see `slices.Slice`.
      index, stored: a frame from the middle of the file, as it is stored.
    """
    if modality in _SHOWN_AS_SENT:
        values = _values(dataset, index, stored)
        for number, view in enumerate(dicom_window.views(dataset, index)):
            levels = dicom_window.to_grey(values, view.how)
            if levels.min() < levels.max():
                return Scale(view.name, view=number)
    return table_scale(dataset, modality, organ)


def table_scale(dataset, modality: str, organ: str | None) -> Scale:
    """The scale where the file's own windows do not count.

    8-bit values that no table or slope changes are kept. CT in Hounsfield units has a
    window of our table, all others percentiles, see `intensity`.
    """
    if _is_for_screens(dataset):
        return Scale(intensity.UNTOUCHED)
    rule = intensity.rule_for(
        modality=modality, organ=organ, hounsfield=is_hounsfield(dataset)
    )
    return Scale(rule.name, rule=rule)


def is_open(scale: Scale) -> bool:
    """Whether limits are still to be found in the values."""
    rule = scale.rule
    return rule is not None and (rule.low is None or rule.high is None)


def sample(dataset, index: int, stored: np.ndarray, *, num_values: int) -> np.ndarray:
    """Values of a frame, in their unit: all, or of a large volume an even part.

    Args:
      dataset, index, stored: the frame.
      num_values: of the whole volume.
    """
    step = 1 + num_values // _SAMPLED
    step += 1 - step % 2  # odd: sides are even, so that no columns are preferred
    return np.ravel(_values(dataset, index, stored))[::step]


def with_limits(scale: Scale, samples: Iterable[np.ndarray]) -> Scale:
    """The scale with limits from samples of all frames of a volume, see `is_open`."""
    return scale._replace(rule=intensity.with_limits(scale.rule, list(samples)))


def to_uint8(dataset, index: int, stored: np.ndarray, scale: Scale) -> np.ndarray:
    """A frame in its scale: bright is dense, and what was not measured is black."""
    values = _values(dataset, index, stored)
    if scale.view is not None:
        views = dicom_window.views(dataset, index) or dicom_window.views(dataset, 0)
        grey = dicom_window.to_grey(values, views[scale.view % len(views)].how)
    elif scale.rule is not None:
        grey = intensity.to_uint8(values, scale.rule)
    else:
        grey = stored.astype(np.uint8)
    if is_inverted(dataset):
        grey = 255 - grey
    grey[_is_padding(dataset, stored)] = 0
    return grey


def is_hounsfield(dataset) -> bool:
    """Whether its values, rescaled, are in Hounsfield units if it is CT."""
    item = _modality_table(dataset)
    if item is not None:
        return str(item.get("ModalityLUTType") or "").strip().upper() == "HU"
    found = dicom_header.rescale(dataset, 0)
    kind = dicom_header.nearest(dataset, 0, dicom_header.TRANSFORM, "RescaleType")
    kind = str(kind or "").strip().upper()
    low, high = _HOUNSFIELD_SLOPES
    if found is None or not low <= abs(found[0]) <= high:
        return False
    return kind in _HOUNSFIELD


def is_inverted(dataset) -> bool:
    """Whether low values are shown bright.

    MONOCHROME1 says so; the presentation shape INVERSE, which must stand beside it,
    says the same once more.
    """
    shape = str(dataset.get("PresentationLUTShape") or "").strip().upper()
    return dataset.PhotometricInterpretation == "MONOCHROME1" or shape == "INVERSE"


def _is_for_screens(dataset) -> bool:
    return (
        dataset.BitsStored == 8
        and dataset.PixelRepresentation == 0
        and _modality_table(dataset) is None
        and dicom_header.rescale(dataset, 0) in (None, (1.0, 0.0))
    )


def _values(dataset, index, stored) -> np.ndarray:
    """A frame in its unit, Hounsfield units for CT; NaN where nothing was measured."""
    item = _modality_table(dataset)
    if item is not None:
        table = dicom_tables.of_item(item, dataset)
        values = dicom_tables.look_up(table, stored).astype(np.float32)
    else:
        slope, intercept = dicom_header.rescale(dataset, index) or (1.0, 0.0)
        wide = stored.dtype.itemsize > 2  # whose last digits float32 would lose
        values = stored.astype(np.float64 if wide else np.float32) * slope + intercept
    values[_is_padding(dataset, stored)] = np.nan
    return values


def _modality_table(dataset):
    for item in dataset.get("ModalityLUTSequence") or []:
        if item.get("LUTDescriptor") and item.get("LUTData"):
            return item
    return None


def _is_padding(dataset, stored) -> np.ndarray:
    """Where a stored value means that the device measured nothing."""
    names = ("PixelPaddingValue", "PixelPaddingRangeLimit")
    if stored.dtype.kind == "f":
        double = "Double" if stored.dtype.itemsize == 8 else ""
        names = tuple(f"{double}Float{name}" for name in names)
    first, last = (_as_stored(dataset.get(name), stored.dtype) for name in names)
    if first is None:
        return np.zeros(stored.shape, bool)
    last = first if last is None else last
    return (stored >= min(first, last)) & (stored <= max(first, last))


def _as_stored(value, dtype):
    """A padding value in the type of the pixels: headers mix up the signs."""
    found = dicom_header.number(value)
    if found is None or dtype.kind == "f":
        return found
    bits = 8 * dtype.itemsize
    limits = np.iinfo(dtype)
    if limits.min <= found <= limits.max:
        return int(found)
    wrapped = int(found) % 2**bits
    return wrapped - 2**bits if wrapped > limits.max else wrapped
