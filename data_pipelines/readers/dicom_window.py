"""A file's own windows and VOI lookup tables: what its maker shows of the values."""

import math
from typing import NamedTuple

import numpy as np

from data_pipelines.readers import dicom_header, dicom_tables

_SEQUENCE = "FrameVOILUTSequence"  # where frames of enhanced objects name theirs


class Window(NamedTuple):
    """Values around `centre` become 0 to 255 (PS3.3, C.11.2.1.2).

    Attributes:
      centre, width: in the unit of the values.
      function: LINEAR, LINEAR_EXACT or SIGMOID.
    """

    centre: float
    width: float
    function: str


class View(NamedTuple):
    """One of the ways in which a file says that its values be shown.

    Attributes:
      name: what a record stores: "window_2_of_3", "voi_lut_1_of_1".
      how: turns values into grey levels.
    """

    name: str
    how: Window | dicom_tables.Table


def views(dataset, index: int) -> list[View]:
    """The views of a frame: its tables, then its windows; broken ones left out."""
    tables = [
        item
        for item in dataset.get("VOILUTSequence") or []
        if item.get("LUTDescriptor") and item.get("LUTData")
    ]
    found = [
        View(f"voi_lut_{place}_of_{len(tables)}", dicom_tables.of_item(item, dataset))
        for place, item in enumerate(tables, start=1)
    ]
    windows = _windows(dataset, index)
    return found + [
        View(f"window_{place}_of_{len(windows)}", window)
        for place, window in enumerate(windows, start=1)
        if _is_sound(window)
    ]


def to_grey(values: np.ndarray, how: Window | dicom_tables.Table) -> np.ndarray:
    """uint8 of values in their unit; what is not a number becomes 0."""
    if isinstance(how, Window):
        levels = _windowed(np.asarray(values, np.float32), how)
    else:
        levels = _looked_up(values, how)
    return np.rint(np.nan_to_num(levels)).astype(np.uint8)


def _windows(dataset, index) -> list[Window]:
    item = dicom_header.nearest_item(dataset, index, _SEQUENCE, "WindowCenter")
    item = dataset if item is None else item
    centres, widths = (
        dicom_header.numbers(item.get(name)) for name in ("WindowCenter", "WindowWidth")
    )
    function = str(item.get("VOILUTFunction") or "LINEAR").strip().upper()
    pairs = zip(centres, widths, strict=False)
    return [Window(centre, width, function) for centre, width in pairs]


def _is_sound(window: Window) -> bool:
    least = {"LINEAR": 1.0, "LINEAR_EXACT": 0.0, "SIGMOID": 0.0}.get(window.function)
    if least is None or not math.isfinite(window.centre + window.width):
        return False
    return window.width > 0 and window.width >= least


def _windowed(values, window) -> np.ndarray:
    centre, width, function = window
    if function == "SIGMOID":
        with np.errstate(over="ignore"):
            return 255 / (1 + np.exp(-4 * (values - centre) / width))
    if function == "LINEAR":  # through the centres of whole numbers
        centre, width = centre - 0.5, width - 1
    if width == 0:
        return np.where(values > centre, 255.0, 0.0)
    return np.clip((values - centre) / width + 0.5, 0, 1) * 255


def _looked_up(values, table) -> np.ndarray:
    highest = 2.0**table.bits - 1
    used = float(table.entries.max())
    if not highest / 2 <= used <= highest:  # the descriptor is wrong: nearly all black
        highest = max(used, 1.0)
    levels = dicom_tables.look_up(table, values) * (255 / highest)
    return np.where(np.isfinite(values), levels, 0)
