"""VICRegL (Bardes et al. 2022): VICReg on whole views and on matched cells of views.

Cells are matched by where they lie in the image, and by their embeddings. As in the
official code, variance and covariance of cells are taken a place in the list of matches
over the batch; by embeddings all cells are matched, not the best few. Unlike there, a
flipped view has flipped locations, and a large view keeps `num_matches` whichever side
it is on (section 3.2).
"""

import collections

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from lvmmed_jax import config as configs
from lvmmed_jax import method_config
from lvmmed_jax.methods import encoding, objective, vicreg
from lvmmed_jax.models import projector
from lvmmed_jax.train import task

View = tuple[Float[Array, "B P F"], Float[Array, "B P 2"], int]


def make_task(config: configs.Config, mesh: Mesh) -> task.Task:
    """Builds the method for the training loop."""
    settings, weights = config.vicregl, config.vicreg
    head = vicreg.make_head(weights)
    local_head = projector.MLP((settings.local_width,) * 3)

    def init(key, encoder, feature_map):
        del encoder
        keys = jax.random.split(key)
        vector = jnp.zeros((1, feature_map.shape[-1]))
        return {
            "head": head.init(keys[0], vector)["params"],
            "local_head": local_head.init(keys[1], vector)["params"],
        }, {}

    def apply(params, model_state, encoded, batch, key):
        del key
        pooled = encoding.pooled(encoded)
        embedding = head.apply({"params": params["head"]}, pooled)
        whole = vicreg.loss_of_views(embedding, weights)
        views = _local(params, encoded, batch["size"])
        local = local_loss(views, weights)
        loss = settings.alpha * whole + (1 - settings.alpha) * local
        metrics = {"global_loss": whole, "local_loss": local}
        return objective.Found(loss, embedding[:, :2], model_state, metrics)

    def _local(params, encoded, sizes) -> list[View]:
        """Embeddings and places, in pixels, of every view's cells."""
        found, counts = [], (settings.num_matches, settings.num_small_matches)
        for crops, count in zip(encoded, counts, strict=True):
            if crops is None:
                continue
            own = {"params": params["local_head"]}
            cells = local_head.apply(own, crops.feature_map)
            cells = cells.reshape(*cells.shape[:2], -1, cells.shape[-1])  # B V P F
            places = crops.locations * sizes[:, None, None, None]
            places = places.reshape(*cells.shape[:3], 2)
            count = min(count, cells.shape[2])
            found += [
                (cells[:, view], places[:, view], count)
                for view in range(cells.shape[1])
            ]
        return found

    return objective.make_task(config, mesh, objective.Objective(init, apply))


def local_loss(views: list[View], weights: method_config.VICReg) -> Float[Array, ""]:
    """Section 3.2: VICReg on matched cells, by place and by embedding, both ways.

    Args:
      views: of each the embeddings of its cells, their places, and how many matches by
        place are kept where it is the one that asks; the two large ones first.
      weights: of the terms.
    """
    pairs = vicreg.pairs(len(views))
    directed = collections.Counter(pairs + [(b, a) for a, b in pairs])
    total = 0.0
    for (asking, asked), times in directed.items():
        cells, places, count = views[asking]
        others, other_places, _ = views[asked]
        by_place = _nearest(places, other_places, count)
        by_embedding = _nearest(cells, others, cells.shape[1])
        for rows, columns in (by_place, by_embedding):
            total += times * of_matches(cells, others, rows, columns, weights)
    return total / 2 / len(pairs)


def _nearest(points, others, count):
    """`nearest` in each image."""
    return jax.vmap(lambda a, b: nearest(a, b, count))(points, others)


def nearest(
    points: Float[Array, "P X"], others: Float[Array, "Q X"], count: int
) -> tuple[Int[Array, "M"], Int[Array, "M"]]:
    """The M = `count` points nearest to any other, in order, and those others."""
    points, others = jax.lax.stop_gradient((points, others))
    distances = jnp.sum((points[:, None] - others[None]) ** 2, axis=-1)
    _, kept = jax.lax.top_k(-jnp.min(distances, axis=1), count)
    kept = jnp.sort(kept)
    return kept, jnp.argmin(distances, axis=1)[kept]


def of_matches(cells, others, rows, columns, weights):
    """VICReg of [B, M] matched cells; M lists over the batch."""
    pair = jnp.stack(
        [
            jnp.take_along_axis(cells, rows[..., None], axis=1),
            jnp.take_along_axis(others, columns[..., None], axis=1),
        ]
    )  # 2 B M F
    lists = jnp.swapaxes(pair, 1, 2)  # 2 M B F
    return (
        weights.invariance * jnp.mean((pair[0] - pair[1]) ** 2)
        + weights.variance * vicreg.variance_term(lists)
        + weights.covariance * vicreg.covariance_term(lists)
    )
