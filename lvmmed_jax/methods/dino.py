"""DINO (Caron et al. 2021): a student tells what a slow teacher says of other views.

The last layer's rows are of length one (the official `norm_last_layer`). The teacher
starts with the student. What is evaluated is the student; `optimizer.ema_decay` gives
an average of it, as the official teacher is.
"""

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Float

from lvmmed_jax import config as configs
from lvmmed_jax.matching import affinity
from lvmmed_jax.methods import encoding, objective, teacher
from lvmmed_jax.models import mlp, projector
from lvmmed_jax.train import task


def make_task(config: configs.Config, mesh: Mesh) -> task.Task:
    """Builds the method for the training loop."""
    settings = config.dino
    encoder = encoding.make_encoder(config.model)
    head = projector.MLP(
        (settings.hidden, settings.hidden, settings.width),
        norm=settings.norm,
        activation=mlp.gelu,
    )

    def init(key, weights, feature_map):
        keys = jax.random.split(key)
        shape = (settings.num_prototypes, settings.width)
        own = {
            "head": head.init(keys[0], jnp.zeros((1, feature_map.shape[-1])))["params"],
            "prototypes": affinity.normalise(jax.random.normal(keys[1], shape)),
        }
        return own, {
            "teacher": {"encoder": weights, **own},
            "centre": jnp.zeros(settings.num_prototypes),
            "calls": jnp.zeros((), jnp.int32),
        }

    def apply(params, model_state, encoded, batch, key):
        del batch, key
        student = {
            "encoder": encoding.encoder_params(params),
            "head": params["head"],
            "prototypes": params["prototypes"],
        }
        calls, centre = model_state["calls"], model_state["centre"]
        decay = teacher.rising(config, settings.decay, calls)
        slow = teacher.follow(config, model_state["teacher"], student, decay, calls)
        statistics, made = model_state["batch_stats"], encoded.large.views
        maps, _ = encoding.apply(encoder, config, slow["encoder"], statistics, made)
        _, targets = _scores(slow, jnp.mean(maps, axis=(2, 3)))
        targets = jax.lax.stop_gradient(targets)
        frozen = objective.progress(config, calls) < settings.frozen
        last = student["prototypes"]
        last = jnp.where(frozen, jax.lax.stop_gradient(last), last)
        embedding, scores = _scores(
            {**student, "prototypes": last}, encoding.pooled(encoded)
        )
        loss, entropy = distillation(
            scores,
            targets,
            centre,
            settings.temperature,
            settings.teacher_temperature,
        )
        model_state = {
            **model_state,
            "teacher": slow,
            "centre": _moved(centre, targets),
            "calls": calls + 1,
        }
        metrics = {"teacher_entropy": entropy}
        return objective.Found(loss, embedding[:, :2], model_state, metrics)

    def _scores(weights, pooled):
        """[B, V, D] -> embeddings [B, V, F] of length one, scores [B, V, K]."""
        embedding = affinity.normalise(head.apply({"params": weights["head"]}, pooled))
        return embedding, embedding @ affinity.normalise(weights["prototypes"]).T

    def _moved(centre, targets):
        decay = settings.centre_decay ** (1 / config.optimizer.accumulate)
        return decay * centre + (1 - decay) * jnp.mean(targets, axis=(0, 1))

    return objective.make_task(config, mesh, objective.Objective(init, apply))


def distillation(
    scores: Float[Array, "B V K"],
    targets: Float[Array, "B 2 K"],
    centre: Float[Array, "K"],
    temperature: float,
    teacher_temperature: float,
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Eq. 3: cross-entropy of the student's views against the teacher's, but its own.

    Args:
      scores: the student's; the two large views first.
      targets: the teacher's, of the large views.
      centre: mean of the teacher's scores, which is taken off them.
      temperature: of the student.
      teacher_temperature: lower, so that its answers are sharp.

    Returns:
      The loss, and the mean entropy of the teacher's answers: from 0, all sharp, to
      log K, all alike.
    """
    told = jax.nn.log_softmax(scores / temperature, axis=-1)
    centred = (targets - centre.reshape(1, 1, -1)) / teacher_temperature
    true = jax.nn.softmax(centred, axis=-1)
    crossed = jnp.einsum("btk,bvk->tv", true, told) / len(scores)
    crossed = jnp.where(jnp.eye(*crossed.shape, dtype=bool), 0.0, crossed)
    entropy = -jnp.mean(jnp.sum(true * jax.nn.log_softmax(centred, axis=-1), axis=-1))
    return -jnp.sum(crossed) / (crossed.size - len(crossed)), entropy
