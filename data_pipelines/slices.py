"""The 2-D slice that every reader yields, and what may be said of it in public."""

from typing import NamedTuple

import numpy as np

MIN_SIDE = 32  # pixels; a shorter image holds no two views worth matching
MIN_STORED = 16  # pixels of the short side once the longest is bounded

# DICOM's codes (PS3.3, C.7.3.1.1.1) of what is an image
MODALITIES = {
    "CR": "computed radiography",
    "CT": "computed tomography",
    "DX": "digital radiography",
    "ES": "endoscopy",
    "GM": "general microscopy",
    "IVUS": "intravascular ultrasound",
    "MG": "mammography",
    "MR": "magnetic resonance",
    "NM": "nuclear medicine",
    "OCT": "intravascular optical coherence tomography",
    "OP": "fundus photography",
    "OPT": "ophthalmic tomography",
    "OT": "other",
    "PT": "positron emission tomography",
    "PX": "panoramic X-ray",
    "RF": "radio fluoroscopy",
    "SM": "slide microscopy",
    "US": "ultrasound",
    "XA": "X-ray angiography",
    "XC": "external camera",
}

BURNED_IN = "burnt-in annotation"  # the header says so
OVERLAY = "overlay"  # drawings beside the pixels; they are not drawn in

# The defined terms of BodyPartExamined (PS3.16, annex L) that data sets use. A header's
# free text is not trusted: what stands outside of this list may be a name.
_ORGANS = """
ABDOMEN ANKLE ARM BLADDER BRAIN BREAST CHEST COLON CSPINE CTSPINE ELBOW EXTREMITY EYE
FOOT HAND HEAD HEART HIP JAW KIDNEY KNEE LEG LIVER LSPINE LUNG NECK ORBIT PANCREAS
PELVIS PROSTATE RETINA SHOULDER SKIN SKULL SPINE SPLEEN TSPINE UTERUS WHOLEBODY WRIST
"""
ORGANS = frozenset(_ORGANS.split())


class Context(NamedTuple):
    """What a reader is told of a file that the file may not say itself.

    Attributes:
      identity: stands for the patient, study or volume where no header names one; in
        clear, see `Slice`. Where it is empty, the file's content does.
      modality: one of MODALITIES, or None.
      planes: the planes that volumes are cut along, see `volumes.PLANES`.
      tile_microns: side of the tiles that whole slides are cut into, in micrometres.
      size: longest side of a stored image in pixels: no more detail is needed.
      organ: one of ORGANS, or None; chooses the window of CT.
      label: number of the image's class, or None.
      held_back: whether the parts of a file that are there to test on are read too.
    """

    identity: str = ""
    modality: str | None = None
    planes: tuple[str, ...] = ("axial",)
    tile_microns: float = 128.0
    size: int = 256
    organ: str | None = None
    label: int | None = None
    held_back: bool = False


class Slice(NamedTuple):
    """One 2-D image with what a record keeps of its metadata, and its identity.

    Attributes:
      pixels: [H, W] or [H, W, 3] (RGB), uint8.
      modality: one of MODALITIES.
      organ: one of ORGANS, or None.
      spacing: (row, column) in mm, or None where the file does not say.
      identity: patient, study or volume, in clear: what must not be split. Only its
        keyed hash may leave the process.
      index: number of the slice in its volume, or None.
      intensity_rule: name of the row of `intensity` that made uint8 of the values.
      identities: (kind, text) of study, volume, instance and file name, in clear; only
        keyed hashes leave the process, to find test images among pre-training ones.
      flags: some of BURNED_IN, OVERLAY.
      file: which of the files that are read together it is from.
      label: number of its class, or None.
    """

    pixels: np.ndarray
    modality: str
    organ: str | None
    spacing: tuple[float, float] | None
    identity: str
    index: int | None
    intensity_rule: str
    identities: tuple[tuple[str, str], ...] = ()
    flags: tuple[str, ...] = ()
    file: int = 0
    label: int | None = None


class Skipped(NamedTuple):
    """One of several files that are read together holds nothing, and why."""

    file: int
    reason: str


class SkippedError(Exception):
    """A file holds nothing to learn from; the message says why and names nobody."""


def reason_of(error: Exception) -> str:
    """What may be told of an error while a file was read.

    Its message may quote the header or the path: only its type is told.
    """
    if isinstance(error, SkippedError):
        return str(error)
    if isinstance(error, MemoryError):
        return "needs more memory than a file may take (--gigabytes-per-file)"
    return f"damaged or not supported ({type(error).__name__})"


def modality_of(text: object, otherwise: str | None) -> str:
    """The code in `text` where it is one of MODALITIES, else `otherwise`, else "OT"."""
    code = str(text or "").strip().upper()
    return code if code in MODALITIES else otherwise or "OT"


def organ_of(text: object) -> str | None:
    """The body part in `text` where it is one of ORGANS, else None."""
    organ = "".join(str(text or "").upper().split())
    return organ if organ in ORGANS else None


def grey_where_equal(pixels: np.ndarray) -> np.ndarray:
    """[H, W] of an RGB image [H, W, 3] whose channels are equal; others unchanged."""
    if pixels.ndim == 3 and (pixels[..., :1] == pixels).all():
        return np.ascontiguousarray(pixels[..., 0])
    return pixels


def flaw(pixels: np.ndarray, min_side: int = MIN_SIDE) -> str | None:
    """Why an image is not worth a record, or None."""
    if min(pixels.shape[:2]) < min_side:
        return f"short side under {min_side} pixels"
    if pixels.min() == pixels.max():
        return "constant image"
    return None
