"""Which transfer syntaxes are decoded, and what the others need."""

from data_pipelines import slices

_JPEG_2000 = "pylibjpeg pylibjpeg-openjpeg"
# transfer syntax, after 1.2.840.10008.1.2. -> the package that brings a decoder
_PACKAGES = {
    "4.50": "pillow",
    "4.51": "pillow",
    "4.57": "python-gdcm",
    "4.70": "python-gdcm",
    "4.80": "python-gdcm",
    "4.81": "python-gdcm",
    "4.90": _JPEG_2000,
    "4.91": _JPEG_2000,
    "4.201": _JPEG_2000,
    "4.202": _JPEG_2000,
    "4.203": _JPEG_2000,
}
_PREFIX = "1.2.840.10008.1.2."
_TWELVE_BIT = _PREFIX + "4.51"
# of the decoders that there are the first is taken, and no other: GDCM, the last, ends
# the process on some broken streams
_ORDER = ("pydicom", "pylibjpeg", "pyjpegls", "pillow", "gdcm")
_ORDER_OF_8_BIT_JPEG = ("pillow", "pylibjpeg", "gdcm")
_8_BIT_JPEG = (_PREFIX + "4.50", _TWELVE_BIT)
_VIDEO = ("4.10", "7.1", "7.2")  # beginnings: MPEG2, MPEG-4, HEVC, SMPTE 2110
_ELSEWHERE = ("4.94", "4.95", "4.204", "4.205")  # JPIP: pixels on a server


def check(dataset) -> None:
    """Refuses pixels that no installed decoder reads.

    Raises:
      slices.SkippedError: names the transfer syntax and what to do.
    """
    from pydicom import pixels

    uid = str(dataset.file_meta.TransferSyntaxUID).strip()
    try:
        decoder = pixels.get_decoder(uid)
    except (NotImplementedError, ValueError):
        raise slices.SkippedError(_refusal(uid)) from None
    if not decoder.is_available:
        package = _PACKAGES.get(uid.removeprefix(_PREFIX), "pylibjpeg")
        raise slices.SkippedError(f"{name(uid)}: pip install {package}")
    twelve_bit = uid == _TWELVE_BIT and dataset.BitsStored > 8
    if twelve_bit and "pylibjpeg" not in decoder.available_plugins:
        raise slices.SkippedError(
            f"{name(uid)}, 12-bit: pip install pylibjpeg pylibjpeg-libjpeg (GPL v3)"
        )


def plugin(dataset) -> str:
    """The name of the decoder for a data set that `check` lets pass; "" for none."""
    from pydicom import pixels

    uid = str(dataset.file_meta.TransferSyntaxUID).strip()
    plugins = pixels.get_decoder(uid).available_plugins
    eight_bit = uid in _8_BIT_JPEG and dataset.BitsStored <= 8
    order = _ORDER_OF_8_BIT_JPEG if eight_bit else _ORDER
    return next((each for each in order if each in plugins), "")


def name(uid: str) -> str:
    """DICOM's own name of a transfer syntax: the text of a header is not repeated."""
    from pydicom.uid import UID, UID_dictionary

    known = uid in UID_dictionary
    return UID(uid).name if known else "a transfer syntax that DICOM does not name"


def _refusal(uid: str) -> str:
    numbers = uid.removeprefix(_PREFIX)
    if uid.startswith(_PREFIX) and numbers.startswith(_VIDEO):
        return f"{name(uid)}: a video; take its frames out with ffmpeg and add those"
    if uid.startswith(_PREFIX) and numbers in _ELSEWHERE:
        return f"{name(uid)}: the pixels lie on a server, not in the file"
    return (
        f"{name(uid)}: pydicom has no decoder; convert the file to an uncompressed one"
    )
