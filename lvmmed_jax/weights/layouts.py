"""Where in a file an encoder lies: its layout, its prefix, what lies beside it."""

import itertools
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lvmmed_jax.models import encoder_table
from lvmmed_jax.weights import reading

Shapes = dict[str, tuple[int, ...]]  # of named tensors
Tensors = dict[str, np.ndarray]


class Layout(NamedTuple):
    """How a project names the tensors of an architecture.

    Attributes:
      name: as users say it.
      anchors: groups of names that tell it from other layouts; one of each group is
        enough, so that a file that lacks another is recognised, and told what it lacks.
      rename: name in the architecture's first layout -> the names here; several
        tensors are one of ours, cut along its first axis.
      without: names that only another layout with these anchors has.
      dropped: first parts of names that belong to its classifier.
      enter: tensors that differ by more than their names, as the first layout has them.
      leave: the inverse.
    """

    name: str
    anchors: tuple[tuple[str, ...], ...]
    rename: Callable[[str], tuple[str, ...]]
    without: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    enter: Callable[[Tensors], Tensors] = lambda tensors: tensors
    leave: Callable[[Tensors], Tensors] = lambda tensors: tensors


class Written(NamedTuple):
    """A form that is written for users of another project.

    Attributes:
      name: as users say it.
      layout: the names.
      prefix: before each of them.
      zeros: shapes of the tensors -> those of what that project wants and our encoder
        does not have.
    """

    name: str
    layout: Layout
    prefix: str = ""
    zeros: Callable[[Shapes], Shapes] = lambda shapes: {}


class Family(NamedTuple):
    """An architecture.

    Attributes:
      name: of it.
      variants: its encoders, as `--encoder` has them.
      layouts: the first one is what `name_of` speaks.
      written: (settings) -> its forms for others; a torch file that no `--layout` is
        said for gets the first one.
      name_of: (path of a leaf of our variables, settings) -> its name there.
      infer: (shapes of the tensors, layout, name of a variant or None) -> settings:
        what `config.Model` needs to make the network.
      channels: (shapes of the tensors, layout) -> channels of its input.
      image_size: (shapes of the tensors, layout, settings) -> pixels a side that its
        tables are made for, or that such an encoder is used at.
      extra: (settings) -> other collections than the network's, without values.
    """

    name: str
    variants: tuple[str, ...]
    layouts: tuple[Layout, ...]
    written: Callable[[dict[str, Any]], tuple[Written, ...]]
    name_of: Callable[[tuple[str, ...], dict[str, Any]], str]
    infer: Callable[[Shapes, Layout, str | None], dict[str, Any]]
    channels: Callable[[Shapes, Layout], int]
    image_size: Callable[[Shapes, Layout, dict[str, Any]], int]
    extra: Callable[[dict[str, Any]], Any] = lambda settings: {}


class Place(NamedTuple):
    """An encoder in a file: names begin with `prefix`, which may be empty."""

    family: Family
    layout: Layout
    prefix: str


# what to take of two encoders of one file, and by which rule
PREFERRED = (
    ("encoder_q", "encoder_k", "MoCo's query encoder, the one that is trained"),
    ("base_encoder", "momentum_encoder", "MoCo v3's encoder, the one that is trained"),
    ("teacher", "student", "DINO's teacher, the one that its authors evaluate"),
    ("backbone", "backbone_momentum", "the backbone, not its moving average"),
)
# tensors beside an encoder, by the first part of their names or by whole names
DROPPED = {
    "classifier": "fc head heads head_dist classifier classification_head",
    "projector": "projector maps_projector projection_head prediction_head predictor "
    "prototypes neck mlp_head pooler online_network_head",
    "other copy": "encoder_k momentum_encoder student teacher backbone_momentum "
    "projection_head_momentum",
    "queue": "queue queue_ptr queue2 queue_ptr2",
    "optimiser": "optimizer optimizer_states optimizers optimizer_state_dict optim "
    "scaler fp16_scaler amp scheduler lr_schedulers lr_scheduler",
    "loss": "loss criterion dino_loss ibot_patch_loss center",
    "decoder of masked images": "mask_token embeddings.mask_token decoder_embed "
    "decoder_pos_embed decoder_blocks decoder_norm decoder_pred",
    "SAM's other parts": "prompt_encoder mask_decoder pixel_mean pixel_std",
}
_RULES = {word: rule for rule, words in DROPPED.items() for word in words.split()}


def shapes(family: Family, settings: dict[str, Any], channels: int, size: int) -> Any:
    """An encoder's variables, without values, for images of a size."""
    name, width = settings["encoder"], settings["width"]
    network = encoder_table.find(name).make(name, width, jnp.float32, False)
    images = jax.ShapeDtypeStruct((1, size, size, channels), jnp.float32)
    variables = jax.eval_shape(
        lambda key, x: network.init(key, x, train=False), jax.random.key(0), images
    )
    return {**variables, **family.extra(settings)}


def find(
    names: Iterable[str], families: tuple[Family, ...], prefix: str | None = None
) -> tuple[Place, str | None]:
    """The encoder of a file, and by which rule it was chosen where there are two.

    Args:
      names: of the file's tensors.
      families: the architectures.
      prefix: the user's choice.

    Raises:
      ValueError: no encoder there, or several and no rule.
    """
    names = set(names)
    places = [
        Place(family, layout, found)
        for family in families
        for layout in family.layouts
        for found in _prefixes(names, layout)
    ]
    if prefix is not None:
        places = [
            place for place in places if place.prefix.rstrip(".") == prefix.rstrip(".")
        ]
    if not places:
        where = "" if prefix is None else f" under --prefix {prefix!r}"
        raise ValueError(
            f"no known layout{where}: the tensors are called "
            f"{reading.listed(sorted(names))}"
        )
    places, rule = _preferred(places)
    if len(places) > 1:
        found = ", ".join(f"{place.prefix!r} ({place.layout.name})" for place in places)
        raise ValueError(f"several encoders: say which by --prefix, of {found}")
    return places[0], rule


def drop_rule(name: str, place: Place) -> str | None:
    """Why a tensor beside the encoder is left out; None: no rule knows it.

    The rules look at the first part of a name that the encoder's prefix does not have:
    `fc` is a classifier, `layer1.0.se.fc` is not.
    """
    ours, theirs = place.prefix.split(".")[:-1], name.split(".")
    pairs = zip(ours, theirs, strict=False)
    same = itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)
    shared = len(list(same))
    rest = theirs[shared:]
    first = rest[0] if rest else ""
    if first in place.layout.dropped:
        return "classifier"
    return _RULES.get(".".join(rest)) or _RULES.get(first)


def renaming(rules: Iterable[tuple[str, str]]) -> Callable[[str], tuple[str, ...]]:
    """`Layout.rename` of rules, of which the first that fits a whole name counts.

    Args:
      rules: a regular expression and, parted by spaces, templates for what it finds.
    """
    rules = [(re.compile(pattern), new.split()) for pattern, new in rules]

    def rename(name: str) -> tuple[str, ...]:
        for pattern, templates in rules:
            if found := pattern.fullmatch(name):
                return tuple(found.expand(template) for template in templates)
        return (name,)

    return rename


def _prefixes(names: set[str], layout: Layout) -> list[str]:
    groups = [
        {
            name.removesuffix(anchor)
            for anchor in group
            for name in names
            if name.endswith(anchor)
        }
        for group in layout.anchors
    ]
    return sorted(
        prefix
        for prefix in set.intersection(*groups)
        if prefix[-1:] in ("", ".")
        and not any(f"{prefix}{other}" in names for other in layout.without)
    )


def _preferred(places: list[Place]) -> tuple[list[Place], str | None]:
    for better, worse, rule in PREFERRED:
        parts = [place.prefix.split(".") for place in places]
        if any(better in each for each in parts) and any(
            worse in each for each in parts
        ):
            kept = [
                place
                for place, each in zip(places, parts, strict=True)
                if worse not in each
            ]
            return kept, rule
    return places, None
