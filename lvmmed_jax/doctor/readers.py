"""Checks of `doctor` on what it can read: DICOM syntaxes, other image formats."""

import importlib

from lvmmed_jax.doctor import findings

_PREFIX = "1.2.840.10008.1.2"
_TWELVE_BIT = "JPEG extended 12 bit"
_TWELVE_BIT_PACKAGE = "pylibjpeg-libjpeg"
# what is read -> (its transfer syntaxes, the package that brings a decoder)
_SYNTAXES = {
    "uncompressed": (("", ".1", ".2"), "pydicom"),
    "deflated": ((".1.99",), "pydicom"),
    "RLE": ((".5",), "pydicom"),
    "JPEG baseline": ((".4.50",), "pillow"),
    "JPEG extended 8 bit": ((".4.51",), "pillow"),
    _TWELVE_BIT: ((".4.51",), _TWELVE_BIT_PACKAGE),
    "JPEG lossless": ((".4.57", ".4.70"), "python-gdcm"),
    "JPEG-LS": ((".4.80", ".4.81"), "python-gdcm"),
    "JPEG 2000": ((".4.90", ".4.91"), "pillow"),
    "HTJ2K": ((".4.201", ".4.202", ".4.203"), "pylibjpeg-openjpeg"),
}
_READERS = {
    "PIL": ("PNG and JPEG", "pillow"),
    "tifffile": ("TIFF", "tifffile"),
    "imagecodecs": ("compressed TIFF", "imagecodecs"),
    "nibabel": ("NIfTI", "nibabel"),
}


def dicom() -> findings.Finding:
    """The DICOM transfer syntaxes that the installed decoders read.

    Raises:
      ImportError: pydicom is missing, or a broken plug-in keeps it from importing.
    """
    missing = {
        text: package
        for text, (ends, package) in _SYNTAXES.items()
        if not all(_is_read(text, _PREFIX + end) for end in ends)
    }
    facts = {text: text not in missing for text in _SYNTAXES}
    value = f"reads {', '.join(text for text in _SYNTAXES if text not in missing)}"
    if not missing:
        return findings.Finding("dicom", value, facts=facts)
    advice = []
    ours = sorted(set(missing.values()) - {_TWELVE_BIT_PACKAGE})
    if ours:
        advice.append(f"pip install {' '.join(ours)}")
    if _TWELVE_BIT in missing:
        advice.append(
            f"for 12 bit: pip install {_TWELVE_BIT_PACKAGE} (GPL v3: your choice)"
        )
    value += f"; not {', '.join(missing)}"
    status = findings.PROBLEM if ours else findings.NOTE
    return findings.Finding("dicom", value, status, "; ".join(advice), facts)


def _is_read(text: str, uid: str) -> bool:
    from pydicom import pixels

    try:
        decoder = pixels.get_decoder(uid)
    except NotImplementedError:  # a pydicom that does not know the syntax
        return False
    # GDCM and Pillow offer extended JPEG too, and then fail on 12 bits
    if text == _TWELVE_BIT:
        return "pylibjpeg" in decoder.available_plugins
    return decoder.is_available


def images() -> findings.Finding:
    """The readers of other formats than DICOM, imported one by one."""
    reads, broken, install = [], [], []
    for module, (format_, package) in _READERS.items():
        try:
            importlib.import_module(module)
        except Exception as error:  # a broken one may raise anything
            broken.append(f"{format_} ({module}: {type(error).__name__})")
            install.append(package)
        else:
            reads.append(format_)
    value = f"reads {', '.join(reads)}"
    if not broken:
        return findings.Finding("images", value)
    value += f"; not {', '.join(broken)}"
    advice = f"pip install --force-reinstall {' '.join(install)}"
    return findings.Finding("images", value, findings.PROBLEM, advice)
