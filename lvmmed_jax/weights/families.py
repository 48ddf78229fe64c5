"""The architectures whose weights are known, one row each."""

from typing import Any

from lvmmed_jax.weights import convnext_names, layouts, resnet_names, vit_names

FAMILIES = (resnet_names.FAMILY, vit_names.FAMILY, convnext_names.FAMILY)


def of_encoder(name: str) -> layouts.Family:
    """The architecture of an encoder.

    Raises:
      ValueError: no such encoder.
    """
    for family in FAMILIES:
        if name in family.variants:
            return family
    known = [name for family in FAMILIES for name in family.variants]
    raise ValueError(f"unknown encoder {name!r}; known: {', '.join(known)}")


def written_layout(settings: dict[str, Any], name: str | None) -> layouts.Written:
    """How an encoder is written for another project; None: its first form.

    Raises:
      ValueError: that project has no such encoder.
    """
    encoder = settings["encoder"]
    written = of_encoder(encoder).written(settings)
    if name is None:
        return written[0]
    for each in written:
        if each.name == name:
            return each
    raise ValueError(
        f"--layout {name} has no {encoder}; there are "
        f"{', '.join(each.name for each in written)}"
    )
