"""Which files are whole slides, and which are parts of one."""

import pathlib

import numpy as np

# micrometres a pixel of a scan; a TIFF's resolution outside of it is one for print
SCANS = (0.05, 8.0)
_MAX_INDEX = 2**20  # bytes of a .vms file that are looked through
_X_RESOLUTION, _RESOLUTION_UNIT, _XMP, _HAMAMATSU = 282, 296, 700, 65420
_UNITS = {2: 25400.0, 3: 10000.0}  # of TIFF's ResolutionUnit, in micrometres


def is_slide(file) -> bool:
    """Whether a TIFF file, opened by tifffile, is a slide that must be cut into tiles.

    It names a scanner, or has an 8-bit colour image in tiles, smaller copies, and a
    resolution that a microscope has.
    """
    page = file.pages[0]
    named = (
        str(page.description).startswith("Aperio")
        or str(page.description).rstrip().endswith("</scn>")  # Leica
        or str(page.software).startswith(("Philips DP", "MedScan"))
        or _HAMAMATSU in page.tags
        or b"<iScan" in _bytes(page.tags.valueof(_XMP))  # Ventana
    )
    if named:
        return bool(page.is_tiled or _HAMAMATSU in page.tags)
    if not page.is_tiled or page.dtype != np.uint8 or page.samplesperpixel != 3:
        return False
    has_levels = len(file.pages) > 1 and bool(file.pages[1].subfiletype & 1)
    unit = _UNITS.get(page.tags.valueof(_RESOLUTION_UNIT))
    pixels, units = page.tags.valueof(_X_RESOLUTION) or (0, 0)
    if not has_levels or not unit or not pixels:
        return False
    return SCANS[0] <= unit * units / pixels <= SCANS[1]


def companions(path: pathlib.Path) -> list[pathlib.Path]:
    """Files that a slide's main file consists of besides itself; they are no images.

    Args:
      path: a .vms or .vmu file, which names its parts, or a .mrxs file, whose parts lie
        in a folder of its name. Any other file has none.
    """
    ending = path.suffix.lower()
    if ending == ".mrxs":
        return sorted(
            each for each in path.with_suffix("").rglob("*") if each.is_file()
        )
    if ending not in (".vms", ".vmu"):
        return []
    text = path.read_bytes()[:_MAX_INDEX].decode("utf-8", "replace")
    names = {line.partition("=")[2].strip() for line in text.splitlines()}
    return sorted(each for each in path.parent.iterdir() if each.name in names)


def _bytes(value) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value or b"")
