"""The pre-training methods by name."""

from collections.abc import Callable
from typing import NamedTuple

from jax.sharding import Mesh

from lvmmed_jax import config as configs
from lvmmed_jax.methods import (
    barlow_twins,
    deepcluster,
    dino,
    graph_matching,
    mae,
    moco,
    moco_v3,
    simclr,
    supervised,
    swav,
    vicreg,
    vicregl,
)
from lvmmed_jax.train import task


class Method(NamedTuple):
    """A method.

    Attributes:
      make_task: (config, mesh) -> what the loop needs.
      make_pictures: (config, mesh) -> a function to arrays that the report draws; None
        where a method has none.
      beside: whether `matching.beside` can add the matching loss.
      small_crops: whether it takes views of a second size.
    """

    make_task: Callable[[configs.Config, Mesh], task.Task]
    make_pictures: Callable | None = None
    beside: bool = True
    small_crops: bool = False


METHODS = {
    "graph_matching": Method(
        graph_matching.make_task, graph_matching.make_pictures, beside=False
    ),
    "simclr": Method(simclr.make_task),
    "moco_v2": Method(moco.make_task),
    "moco_v3": Method(moco_v3.make_task),
    "barlow_twins": Method(barlow_twins.make_task),
    "vicreg": Method(vicreg.make_task, small_crops=True),
    "vicregl": Method(vicregl.make_task, small_crops=True),
    "swav": Method(swav.make_task, small_crops=True),
    "deepcluster_v2": Method(deepcluster.make_task, small_crops=True),
    "dino": Method(dino.make_task, small_crops=True),
    "mae": Method(mae.make_task),
    "supervised": Method(supervised.make_task, small_crops=True),
}


def make(config: configs.Config, mesh: Mesh) -> task.Task:
    """What the loop needs of `train.method`.

    Raises:
      ValueError: there is no such method, or it does not take a setting.
    """
    name = config.train.method
    method = find(name)
    if config.matching.beside and not method.beside:
        raise ValueError(
            f"matching.beside={config.matching.beside} adds the matching loss to "
            f"another method's, not to {name!r}: one of "
            + ", ".join(key for key, row in METHODS.items() if row.beside)
        )
    if config.views.small_crops and not method.small_crops:
        raise ValueError(
            f"views.small_crops={config.views.small_crops} must be 0 with "
            f"train.method={name!r}; these take small crops: "
            + ", ".join(key for key, row in METHODS.items() if row.small_crops)
        )
    return method.make_task(config, mesh)


def find(name: str) -> Method:
    """The method of that name.

    Raises:
      ValueError: there is none.
    """
    if name not in METHODS:
        raise ValueError(f"unknown train.method {name!r}; known: {', '.join(METHODS)}")
    return METHODS[name]
