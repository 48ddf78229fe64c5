"""Files of other projects to encoders of ours, and back."""

from typing import Any, NamedTuple

import numpy as np

from lvmmed_jax.weights import (
    exported,
    families,
    hub_folders,
    layouts,
    licences,
    mapping,
    reading,
)

# of RGB in [0, 1]; ImageNet's, which torchvision, DINOv2 and SAM (there of 255) share
# with most of timm, and which LVM-Med's own classifiers use
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Wishes(NamedTuple):
    """What the user says about a file, each None where the file or its layout tells.

    Attributes:
      encoder: which one it is.
      prefix: where in the file it lies.
      source: whose weights they are, a key of `licences.SOURCES`.
      mean: of the input's channels in [0, 1].
      std: of the same.
      image_size: pixels a side.
    """

    encoder: str | None = None
    prefix: str | None = None
    source: str | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    image_size: int | None = None


class Converted(NamedTuple):
    """An encoder of a file, and what was done to get it."""

    exported: exported.Exported
    account: mapping.Account
    place: layouts.Place
    rule: str | None  # by which it was chosen of two


def from_file(stored: reading.Stored, wishes: Wishes) -> Converted:
    """The encoder in a file of another project.

    Raises:
      ValueError: not every tensor is explained, or an encoder that we do not have.
    """
    known = families.FAMILIES
    if wishes.encoder is not None:
        known = (families.of_encoder(wishes.encoder),)
    try:
        place, rule = layouts.find(stored.tensors, known, wishes.prefix)
        inside = mapping.under(stored, place)
        shapes = {name: array.shape for name, array in inside.items()}
        settings = place.family.infer(shapes, place.layout, wishes.encoder)
    except ValueError as error:
        raise ValueError(f"{stored.path}: {error}") from None
    family, layout = place.family, place.layout
    channels = family.channels(shapes, layout)
    size = family.image_size(shapes, layout, settings)
    abstract = layouts.shapes(family, settings, channels, size)
    entries = mapping.plan(family, layout, settings, abstract)
    variables, account = mapping.to_ours(
        stored, place, inside, entries, only_prefix=wishes.prefix is not None
    )
    ours = exported.metadata_of(stored.metadata)
    about = {
        "version": exported.VERSION,
        "layout": exported.LAYOUT,
        "encoder": settings,
        "input": _input(stored, wishes, channels, size),
        "source": {
            "file": stored.path.name,
            "sha256": stored.sha256,
            "layout": layout.name,
            "prefix": place.prefix,
            "types": account.types,
            "dropped": {rule: len(names) for rule, names in account.dropped.items()},
            **({"origin": ours["source"]} if ours else {}),
        },
        "licence": _licence(stored, wishes),
        "num_batches_tracked": _short(account.counts),
        "run": ours and ours["run"],
        "training": ours and ours.get("training"),
    }
    return Converted(exported.Exported(variables, about), account, place, rule)


def with_wishes(one: exported.Exported, wishes: Wishes) -> exported.Exported:
    """An encoder of ours with another input or licence, where the user says so.

    Raises:
      ValueError: wishes about files of other projects.
    """
    if wishes.encoder is not None or wishes.prefix is not None:
        raise ValueError("--encoder and --prefix are for files of other projects")
    given = one.about["input"]
    licence = one.about["licence"]
    if not licence and wishes.source is not None:
        found = licences.SOURCES[wishes.source]
        licence = found and found._asdict()
    about = {
        "input": {**given, **_said(wishes, len(given["mean"]))},
        "licence": licence,
    }
    return one._replace(about={**one.about, **about})


def to_layout(
    one: exported.Exported, written: layouts.Written
) -> dict[str, np.ndarray]:
    """The tensors of an encoder in the names and layouts of another project."""
    settings = one.about["encoder"]
    family = families.of_encoder(settings["encoder"])
    entries = mapping.plan(family, written.layout, settings, one.variables)
    counts = one.about["num_batches_tracked"]
    if isinstance(counts, int):
        counts = {entry.layer: counts for entry in entries}
    tensors = mapping.to_torch(one.variables, entries, counts)
    shapes = {name: array.shape for name, array in tensors.items()}
    for name, shape in written.zeros(shapes).items():
        tensors.setdefault(name, np.zeros(shape, np.float32))
    tensors = written.layout.leave(tensors)
    return {f"{written.prefix}{name}": array for name, array in tensors.items()}


def _short(counts: dict[str, int] | None) -> dict[str, int] | int | None:
    """One number where all are the same."""
    if counts and len(set(counts.values())) == 1:
        return next(iter(counts.values()))
    return counts


def _licence(stored: reading.Stored, wishes: Wishes) -> dict[str, str] | None:
    """As the file's metadata have it, else by its source."""
    about = exported.metadata_of(stored.metadata)
    if about is not None and about.get("licence"):
        return about["licence"]
    found = licences.of(wishes.source, stored.path.name)
    return found and found._asdict()


def _input(
    stored: reading.Stored, wishes: Wishes, channels: int, size: int
) -> dict[str, Any]:
    """How images are to be given to the encoder."""
    found = {"channels": "RGB", "range": [0, 1], "size": size, "told_by": "default"}
    mean, std = MEAN, STD
    if channels == 1:
        mean, std = ((sum(each) / len(each),) for each in (MEAN, STD))
    found |= {"mean": list(mean), "std": list(std)}
    found |= hub_folders.told_input(stored.path)
    about = exported.metadata_of(stored.metadata)
    if about is not None:
        found |= about["input"]
    found |= _said(wishes, channels)
    if channels != 3:
        found["channels"] = "grey" if channels == 1 else f"{channels} channels"
    if len(found["mean"]) != channels:
        raise ValueError(
            f"{stored.path} takes {channels} channels: say --mean and --std of each"
        )
    return found


def _said(wishes: Wishes, channels: int) -> dict[str, Any]:
    """The user's part of the input."""
    found = {}
    for name in ("mean", "std"):
        value = getattr(wishes, name)
        if value is None:
            continue
        if len(value) != channels:
            raise ValueError(f"--{name} needs {channels} numbers, one a channel")
        found |= {name: list(value), "told_by": "user"}
    if wishes.image_size is not None:
        found["size"] = wishes.image_size
    return found
