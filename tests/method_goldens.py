"""Makes `goldens/methods.npz`: losses and gradients of the package lightly.

    pip install -r requirements-torch.txt lightly
    PYTHONPATH=.:tests python tests/method_goldens.py

takes seconds. The tensors are drawn anew wherever they are needed. lightly's VICRegL
orders matches by distance and ours by place, which the variance and covariance of lists
of matches see: they are compared on lists that are given.
"""

import pathlib
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lvmmed_jax import method_config
from lvmmed_jax.matching import affinity
from lvmmed_jax.methods import (
    barlow_twins,
    dino,
    mae,
    moco,
    simclr,
    swav,
    vicreg,
    vicregl,
)

FILE = pathlib.Path(__file__).with_name("goldens") / "methods.npz"
_VICREG = method_config.VICReg()
_HIDDEN = np.array([[0, 3], [2, 1], [1, 0], [3, 2]])


class Case(NamedTuple):
    """A loss of ours; the gradient is that of its first argument."""

    loss: Callable
    shapes: tuple[tuple[int, ...], ...]


def _invariance_of_cells(cells, places):
    weights = method_config.VICReg(variance=0.0, covariance=0.0)
    views = [(cells[:, v], places[:, v], 9) for v in range(cells.shape[1])]
    return vicregl.local_loss(views, weights)


def _lists(first, second):
    images, cells = first.shape[:2]
    same = jnp.broadcast_to(jnp.arange(cells), (images, cells))
    return vicregl.of_matches(first, second, same, same, _VICREG)


def _dino(scores, targets, centre):
    return dino.distillation(scores, targets, centre, 0.1, 0.04)[0]


def _swav(scores, queue):
    return swav.swapped_loss(scores, queue, jnp.array(True), 0.1, 0.05, 3)[0]


def _moco(queries, keys, queue):
    return moco.info_nce(*map(affinity.normalise, (queries, keys, queue)), 0.2)


def _mae(told, images):
    return mae.reconstruction(told, mae.patches_of(images, 4), _HIDDEN, True)


CASES = {
    "simclr": Case(lambda x: simclr.nt_xent(x, 0.1), ((8, 2, 5),)),
    "moco": Case(_moco, ((8, 5), (8, 5), (12, 5))),
    "barlow_twins": Case(
        lambda a, b: barlow_twins.redundancy(a, b, 0.0051), ((12, 5), (12, 5))
    ),
    "vicreg": Case(
        lambda x: vicreg.loss_of_views(x, vicreg.of_two(_VICREG)), ((9, 2, 5),)
    ),
    "vicregl global": Case(lambda x: vicreg.loss_of_views(x, _VICREG), ((9, 4, 5),)),
    "vicregl cells": Case(_invariance_of_cells, ((5, 3, 9, 4), (5, 3, 9, 2))),
    "vicregl lists": Case(_lists, ((6, 7, 4), (6, 7, 4))),
    "swav": Case(_swav, ((8, 4, 6), (2, 10, 6))),
    "dino": Case(_dino, ((6, 4, 7), (6, 2, 7), (7,))),
    "mae": Case(_mae, ((4, 4, 48), (4, 8, 8, 3))),
}


def arrays(name: str) -> list[np.ndarray]:
    """The tensors of a case, numbers in [-1, 1]."""
    generator = np.random.default_rng(list(CASES).index(name))
    return [
        generator.uniform(-1, 1, shape).astype(np.float32)
        for shape in CASES[name].shapes
    ]


def ours(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Our loss and its gradient."""
    found = jax.jit(jax.value_and_grad(CASES[name].loss))(*arrays(name))
    return jax.device_get(found)


def theirs(name: str) -> tuple[np.ndarray, np.ndarray]:
    """lightly's; needs it and torch."""
    import torch

    tensors = [torch.tensor(each) for each in arrays(name)]
    tensors[0].requires_grad_()
    loss = _of_lightly(name)(*tensors).sum()
    loss.backward()
    return loss.detach().numpy(), tensors[0].grad.numpy()


def _of_lightly(name: str) -> Callable:
    import torch
    from lightly import loss
    from lightly.models import utils

    def views(x):
        return [x[:, view] for view in range(x.shape[1])]

    def moco_loss(queries, keys, queue):
        found = loss.NTXentLoss(0.2, memory_bank_size=tuple(queue.shape))
        queue = torch.nn.functional.normalize(queue, dim=1)
        found.memory_bank.bank = queue.clone()
        found.memory_bank.bank_ptr = torch.zeros(1, dtype=torch.long)
        return found(queries, keys)

    def vicregl_global(x):
        return loss.VICRegLLoss()._global_loss(
            [(each, None) for each in views(x)[:2]],
            [(each, None) for each in views(x)[2:]],
        )

    def cells(cells, places):
        found = loss.VICRegLLoss(
            lambda_param=25.0, mu_param=0.0, nu_param=0.0, num_matches=(9, 9)
        )
        grids = [each.reshape(-1, 3, 3, 2) for each in views(places)]
        maps = [(each, each.reshape(-1, 3, 3, 4)) for each in views(cells)]
        return found._local_loss(maps[:2], grids[:2], maps[2:], grids[2:])

    def dino_loss(scores, targets, centre):
        found = loss.DINOLoss(7, warmup_teacher_temp_epochs=1)
        found.center = centre.reshape(1, 1, -1)
        return found(views(targets), views(scores))

    def mae_loss(told, images):
        true = utils.patchify(images.permute(0, 3, 1, 2), 4)
        rows = torch.arange(4)[:, None]
        true = utils.normalize_mean_var(true)[rows, _HIDDEN]
        return torch.nn.functional.mse_loss(told[rows, _HIDDEN], true)

    return {
        "simclr": lambda x: loss.NTXentLoss(0.1)(*views(x)),
        "moco": moco_loss,
        "barlow_twins": loss.BarlowTwinsLoss(lambda_param=0.0051),
        "vicreg": lambda x: loss.VICRegLoss()(*views(x)),
        "vicregl global": vicregl_global,
        "vicregl cells": cells,
        "vicregl lists": loss.VICRegLoss(nu_param=0.5),
        "swav": lambda x, queue: loss.SwaVLoss()(views(x)[:2], views(x)[2:], queue),
        "dino": dino_loss,
        "mae": mae_loss,
    }[name]


def main():
    """Writes the file."""
    found = {}
    for name in CASES:
        found[f"{name} loss"], found[f"{name} gradient"] = theirs(name)
    FILE.parent.mkdir(exist_ok=True)
    np.savez_compressed(FILE, **found)
    print(f"{len(found)} arrays, {FILE.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
