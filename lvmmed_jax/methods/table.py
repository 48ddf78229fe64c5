"""The pre-training methods by name."""

from collections.abc import Callable
from typing import NamedTuple

from jax.sharding import Mesh

from lvmmed_jax import config as configs
from lvmmed_jax.methods import graph_matching, simclr
from lvmmed_jax.train import task


class Method(NamedTuple):
    """A method.

    Attributes:
      make_task: (config, mesh) -> what the loop needs.
      make_pictures: (config, mesh) -> a function to arrays that the report draws; None
        where a method has none.
    """

    make_task: Callable[[configs.Config, Mesh], task.Task]
    make_pictures: Callable | None


METHODS = {
    "graph_matching": Method(graph_matching.make_task, graph_matching.make_pictures),
    "simclr": Method(simclr.make_task, None),
}


def find(name: str) -> Method:
    """The method of that name.

    Raises:
      ValueError: there is none.
    """
    if name not in METHODS:
        raise ValueError(f"unknown train.method {name!r}; known: {', '.join(METHODS)}")
    return METHODS[name]
