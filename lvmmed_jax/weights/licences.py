"""What may be done with the weights of others; it stays with what is made of them."""

import re
from typing import NamedTuple


class Licence(NamedTuple):
    """Terms, as metadata keep them."""

    name: str
    notice: str


SOURCES = {
    # its README says CC BY-NC-ND 2.0, its License.txt CC BY-NC-SA 4.0: the stricter of
    # both in each point
    "lvmmed": Licence(
        "CC BY-NC-ND 2.0 / CC BY-NC-SA 4.0",
        "LVM-Med (D. M. H. Nguyen et al., NeurIPS 2023), "
        "https://github.com/duyhominhnguyen/LVM-Med: for non-commercial, academic use "
        "only. Its README says CC BY-NC-ND 2.0, its License.txt CC BY-NC-SA 4.0. "
        "Converted or fine-tuned weights are derived from them: keep them to yourself, "
        "and keep this attribution. Commercial use: ask the authors.",
    ),
    "own": None,
}
_LVMMED_NAMES = re.compile(
    r"lvm[-_ ]?med|vit_b_largescale_(neck|dim)|vissl_ssl_graph_large", re.IGNORECASE
)


def of(source: str | None, file_name: str) -> Licence | None:
    """The terms of a source, which the user says or the file's name tells.

    Args:
      source: a key of `SOURCES`; None: the file's name decides.
      file_name: without folders.
    """
    if source is None:
        source = "lvmmed" if _LVMMED_NAMES.search(file_name) else "own"
    return SOURCES[source]
