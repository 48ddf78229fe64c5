"""What file and folder names tell: an order, a stem, whether many are called so."""

import re

# endings of images, and of what stands for them in lists; a dot may also be in a name
_ENDINGS = re.compile(
    r"(\.(bif|bmp|csv|dcm|dicom|gz|h5|hdf5|hdr|ima|img|jpe?g|json|mha|mhd|mrxs|ndpi|nii"
    r"|npy|npz|nhdr|nrrd|png|raw|scn|svs|tiff?|txt|vms|webp|xml|zip|zraw))+$",
    re.ASCII,
)
# names that many files have, of many patients: IM-0001, slice_12, 0042
_COMMON_FILE = re.compile(
    r"(brain|case|dicom|file|flair|frame|i|im|image|images|imaging|img|label|mask|orig"
    r"|page|patient|pic|s|scan|seg|segmentation|slice|sub|subject|t1|t1ce|t1gd|t1w|t2|t2w"
    r"|vol|volume)?[-_. ]*\d{0,6}([-_](t1w|t2w|flair|bold|dwi))?",
    re.ASCII,
)
_FOLDERS = """
abnormal all annotations benign data dataset disease healthy jpeg jpg labels malignant
masks negative no normal original other png positive public raw scans series slices
study test testing tif train training val valid validation volumes yes
"""
_COMMON_FOLDERS = frozenset(_FOLDERS.split())


def natural(text: str) -> tuple[list[tuple[int, str]], str]:
    """Sorts slice_2 before slice_10; no two texts are equal."""
    parts = [
        (int(part), "") if part.isdecimal() else (-1, part)
        for part in re.split(r"(\d+)", text)
    ]
    return parts, text


def stem(name: str) -> str:
    """A file's name in lower case without its known endings: .nii.gz, .dcm, ..."""
    lower = name.lower()
    return _ENDINGS.sub("", lower) or lower


def is_common(stem: str) -> bool:
    """Whether files or folders of many data sets are called so."""
    return bool(_COMMON_FILE.fullmatch(stem)) or stem in _COMMON_FOLDERS
